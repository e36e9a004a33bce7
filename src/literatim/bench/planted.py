"""Drafts with planted acceptance: a decoder of a draft's true shape whose choices are replaced by known tokens.

Random weights foretell nothing, and weights of a real size cannot be had everywhere. So a draft of that size is really
run, its output matrix too, and then proposes what the main model said in an earlier plain run, with errors planted.
Acceptance is the probability that a proposal is right, those before it in the round being right. Errors of real drafts
come in clusters: they are laid out as those of demo-draft were on the bundled clips, position by position.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from literatim.bench.shapes import fill
from literatim.bench.spec_clips import MARGINS
from literatim.decode.network import Draft, Network
from literatim.decode.rules import RowState, Rules
from literatim.errors import OptionError
from literatim.models import draft as drafts
from literatim.models.whisper import SPARE, Decoder, Whisper
from literatim.pipeline.assistant import Assistant
from literatim.pipeline.ids import Ids

HIGHEST = 1e9  # a logit above all others
DIGITS = 256  # an id as two of them is exact in bfloat16 and float16
DRAWS = 1000  # of places in the trace, at most, until their share of right proposals is CLOSE to the one wanted
CLOSE = 0.005
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Trace:
    """How sure a real draft was, token by token: its logit of the right one less its best other logit, (P,)."""

    margins: NDArray[np.float64]

    @classmethod
    def read(cls, file: Path) -> Trace:
        """What `literatim.bench.margins` wrote; OptionError where there is no such file."""
        if not file.is_file():
            raise OptionError(
                f"this installation lacks {file.name}, which planted acceptance follows; reinstall literatim"
            )
        clips = json.loads(file.read_text(encoding="utf-8"))["clips"]
        return cls(np.array([margin for clip in clips for margin in clip], dtype=np.float64))

    @classmethod
    def bundled(cls) -> Trace:
        """demo-draft's on the bundled clips."""
        return cls.read(MARGINS)

    def right(self, rate: float, rows: int, length: int, seed: int) -> Flags:
        """Which proposals are right, (rows, length): stretches of the trace, the least sure of which are wrong."""
        flags = np.ones(len(self.margins), dtype=np.bool_)
        flags[np.argsort(self.margins, kind="stable")[: round((1 - rate) * len(flags))]] = False
        random, best = np.random.default_rng(seed), np.ones((rows, length), dtype=np.bool_)
        for _ in range(DRAWS):
            starts = random.integers(len(flags), size=(rows, 1))
            drawn = flags[(starts + np.arange(length)) % len(flags)]
            if abs(drawn.mean() - rate) < abs(best.mean() - rate):
                best = drawn
            if abs(best.mean() - rate) <= CLOSE:
                break
        return best


class PlantedNetwork:
    """`decode.network.Network` that runs another one, and then chooses what `targets` (windows, positions) say.

    A target is the draft's id of what follows the token that is fed at that position. It goes along with the hidden
    states as two more channels, so that whatever is picked from them keeps its own. Windows take slots in their order.
    """

    def __init__(self, inner: Network, targets: Tensor) -> None:
        self._inner, self._targets = inner, targets
        self._windows: dict[int, int] = {}  # by slot
        self._begun = 0

    def feed(self, tokens: Tensor, lengths: Tensor, limit: int, start: int = 0) -> Tensor:
        """Hidden states with their targets, (B, K, D + 2)."""
        hidden = self._inner.feed(tokens, lengths, limit, start)
        slots = range(start, start + len(tokens))
        if not lengths.any():  # prompts: these windows begin
            self._windows |= {slot: self._begun + place for place, slot in enumerate(slots)}
            self._begun += len(slots)
        places = lengths[:, None].long() + torch.arange(tokens.shape[1], device=tokens.device)  # (B, K)
        targets = self._targets[[self._windows[slot] for slot in slots]].gather(1, places)
        digits = torch.stack([targets // DIGITS, targets % DIGITS], -1)
        return torch.cat([hidden, digits.to(hidden.dtype)], -1)

    def choose(self, hidden: Tensor) -> Tensor:
        """(N, D + 2) -> (N, V) float32: the logits, the target's raised above all others."""
        logits = self._inner.choose(hidden[:, :-2])
        high, low = hidden[:, -2:].long().unbind(-1)
        return logits.scatter_(1, (DIGITS * high + low)[:, None], HIGHEST)

    def foretold(self, lengths: Tensor, count: int) -> Tensor:
        """The targets (B, K) of so many tokens after the `lengths` (B,) fed in the first slots."""
        places = lengths[:, None].long() - 1 + torch.arange(count, device=lengths.device)
        return self._targets[[self._windows[slot] for slot in range(len(lengths))]].gather(1, places)

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, D + 2) -> (N, V) as they are."""
        return self._inner.logits(hidden[:, :-2])

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy a row, its targets too."""
        self._inner.move(source, target, positions)
        self._windows[target] = self._windows[source]

    def branch(self, source: int, target: int, positions: int) -> None:
        """Copy a row's text."""
        self._inner.branch(source, target, positions)


class PlantedAssistant(Assistant):
    """An assistant of random weights that listens to the main model's encoder; `plant` says what it foretells."""

    def __init__(self, main: Whisper, layers: int, words: int | None, eot: int, seed: int) -> None:
        """A decoder of so many layers that proposes so many text ids, and those from `eot` on; None for all ids."""
        config = replace(main.config, decoder_layers=layers)
        with torch.device("meta"):
            decoder = Decoder(config)
        decoder.tokens, decoder.positions, decoder.head = main.decoder.tokens, main.decoder.positions, main.decoder.head
        fill(decoder, main.decoder.positions, seed)
        made = drafts.Draft(decoder.eval(), None, config, None, True, "its acceptance is planted")
        self._words, self._eot, self._size = words, eot, config.vocab_size
        super().__init__(made, "planted", main, self._ids_with(set()))
        self._targets = torch.zeros((0, 0), dtype=torch.int64)

    def _ids_with(self, said: set[int]) -> Ids:
        """These text ids among as many as it proposes."""
        if self._words is None:
            return Ids()
        others = (id for id in range(self._eot) if id not in said)
        text = sorted([*said, *islice(others, max(0, self._words - len(said)))])
        return Ids.subset(torch.tensor(text, dtype=torch.int32), self._eot, self._size)

    def plant(self, prompts: Sequence[Sequence[int]], said: Sequence[Sequence[int]], right: Flags) -> None:
        """Foretell what is `said` after the prompts by the rows of a batch, but for what `right` (rows, S) denies."""
        ids = self._ids_with({word for words in said for word in words if word < self._eot})
        self.propose_from(ids)
        width = self.config.target_positions + SPARE
        to_main = range(self._size) if ids.to_main is None else ids.to_main.tolist()
        own = {id: place for place, id in enumerate(to_main)}
        rows = []
        for prompt, words, flags in zip(prompts, said, right, strict=True):
            follow = [own[word] for word in with_errors(words, flags.tolist())]
            before = len(prompt) - 1
            rows.append([*follow[:1] * before, *follow, *follow[-1:] * (width - before - len(follow))])
        self._targets = torch.tensor(rows, device=self.decoder.positions.device)

    def draft(self, rules: Rules) -> Draft:
        """What the decoding loop calls."""
        found = super().draft(rules)
        planted, really = PlantedNetwork(found.network, self._targets), found.run
        if really is None:
            return replace(found, network=planted)

        def run(hidden: Tensor, state: RowState, lengths: Tensor, count: int) -> Tensor:
            really(hidden[:, :-2].contiguous(), state, lengths, count)
            return found.main(planted.foretold(lengths, count).int())

        return replace(found, network=planted, run=run)


def with_errors(words: Sequence[int], right: Sequence[bool]) -> list[int]:
    """`words` with another of them, which the rules allow as well, where they are not to be right."""
    made = []
    for at, (word, kept) in enumerate(zip(words, right, strict=False)):
        others = (other for other in [*words[at:], *words[:at]] if other != word)
        made.append(word if kept else next(others, word))
    return made
