"""The ids of a draft in those of the main model: the same, fewer of them, or another vocabulary's by their meaning."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from literatim.decode.rules import NEVER, Rules
from literatim.errors import OptionError
from literatim.text.tokenizer import WhisperTokenizer
from literatim.text.tokens import TEXTS

KNOWN_SHARE = 0.9  # of the main model's text tokens that a draft with another vocabulary must know


@dataclass(frozen=True)
class Ids:
    """What a draft can say, (W,) ids, and what they mean to the main model, with V ids.

    `rows` (W,) of the draft's output matrix are computed, None for all of them. `to_main` (W,) int32 are the main
    model's ids, -1 where it has none; `to_own` (V,) int32 are the ids to feed; each None where the ids are the same.
    """

    rows: Tensor | None = None
    to_main: Tensor | None = None
    to_own: Tensor | None = None

    @classmethod
    def subset(cls, text: Tensor, eot: int, vocab_size: int) -> Ids:
        """A draft of the same vocabulary that proposes the `text` ids, and everything from the end of text on."""
        rows = torch.cat([text[text < eot].long(), torch.arange(eot, vocab_size, device=text.device)])
        return cls(rows=rows, to_main=rows.int())

    @classmethod
    def by_meaning(cls, main: WhisperTokenizer, own: WhisperTokenizer, sizes: tuple[int, int], name: str) -> Ids:
        """Between two vocabularies, with `sizes` of the two output matrices; the same ids where they agree.

        Raises OptionError where a draft could not follow: an English-only one, other timestamps, other words.
        """
        if main.is_multilingual and not own.is_multilingual:
            raise OptionError(f"the assistant {name} knows English only and the model does not; use a multilingual one")
        counts = [item.timestamp_end - item.timestamp_begin for item in (main, own)]
        if counts[0] != counts[1]:
            raise OptionError(
                f"the assistant {name} has {counts[1]} timestamps, the model {counts[0]}; use another one"
            )
        theirs, ours = _meanings(own), _meanings(main)
        texts = [meaning for meaning, id in ours.items() if id < main.eot]
        known = sum(meaning in theirs for meaning in texts)
        if known < KNOWN_SHARE * len(texts):
            raise OptionError(
                f"the assistant {name} knows {known} of the model's {len(texts)} text tokens: its vocabulary is "
                "another; use one of the same family"
            )
        to_main, to_own = torch.full((sizes[1],), -1), torch.full((sizes[0],), own.eot)
        for meaning in ours.keys() & theirs.keys():
            to_main[theirs[meaning]], to_own[ours[meaning]] = ours[meaning], theirs[meaning]
        if sizes[0] == sizes[1] and bool((to_main == torch.arange(sizes[1])).logical_or(to_main < 0).all()):
            return cls()
        return cls(to_main=to_main.int(), to_own=to_own.int())

    def text(self, eot: int) -> int:
        """How many of the ids come before the end of text, for the main model's `eot`."""
        return eot if self.to_main is None else self.to_main.tolist().index(eot)

    def to(self, device: torch.device) -> Ids:
        """The same on a device."""
        tensors = (self.rows, self.to_main, self.to_own)
        return Ids(*(None if item is None else item.to(device) for item in tensors))

    def rules(self, rules: Rules) -> Rules:
        """The main model's rules, said in the draft's ids."""
        if self.to_main is None:
            return rules
        place = {id: at for at, id in enumerate(self.to_main.tolist())}
        unknown = self.to_main < 0
        ids = self.to_main.clamp(min=0).long()
        every, first = (some[ids].masked_fill(unknown, NEVER) for some in (rules.suppressed, rules.suppressed_first))
        if rules.timestamp_begin is None:
            return Rules(every, first, place[rules.eot], None, len(ids), len(ids))
        begin = place[rules.timestamp_begin]
        end, limit = (begin + bound - rules.timestamp_begin for bound in (rules.timestamp_end, rules.initial_limit))
        return Rules(every, first, place[rules.eot], begin, end, limit)


def _meanings(tokenizer: WhisperTokenizer) -> dict[str, int]:
    """Every id by what it stands for, however its folder spells it."""
    found = {text: id for text, id in tokenizer.vocabulary.named.items() if id < tokenizer.eot}
    for name in TEXTS:
        id = getattr(tokenizer, name)
        if id is not None:
            found[f"<|{name}|>"] = id
    found |= {f"<|language {code}|>": id for code, id in tokenizer.languages.items()}
    stamps = range(tokenizer.timestamp_begin, tokenizer.timestamp_end)
    return found | {f"<|time {index}|>": id for index, id in enumerate(stamps)}
