"""MedASR's tokenizer: pieces of a unigram model, in which `▁` stands for the space before a word, and spoken markup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from literatim.errors import ModelFormatError

SPACE = "▁"
MARKUP_WORDS = 6  # that a piece of markup has at most, as in [CLINICAL HISTORY AND INDICATION]
# Never text, whether tokenizer.json calls them special or not.
_SPECIAL = re.compile(r"<(epsilon|blank|pad|s|/s|unk|extra_id_\d+)>")


@dataclass(frozen=True, eq=False)
class MedasrTokenizer:
    """Pieces by id, None where an id has none or is never text. Safe to share between threads."""

    pieces: tuple[str | None, ...]
    codec: Tokenizer

    @classmethod
    def from_folder(cls, folder: Path, blank: int) -> MedasrTokenizer:
        """Read tokenizer.json; ModelFormatError where there is none, or one of another kind.

        `blank` is CTC's, as config.json has it: whatever the tokenizer calls it, it is no text.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelFormatError(
                f"{folder} has no tokenizer.json; copy it there from the model this one was made from"
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            codec = Tokenizer.from_str(json.dumps({**content, "truncation": None, "padding": None}))
        except Exception as error:  # the tokenizers library raises nothing narrower
            raise ModelFormatError(f"{path} cannot be used as a tokenizer ({error}); fetch it again") from error
        if (content.get("model") or {}).get("type") != "Unigram":
            raise ModelFormatError(f"{path} is not a unigram tokenizer, so it is not of a MedASR model")
        special = {blank, *_special(content)}
        known = codec.get_vocab(with_added_tokens=True)
        pieces: list[str | None] = [None] * (max(known.values(), default=-1) + 1)
        for piece, id in known.items():
            pieces[id] = None if id in special or _SPECIAL.fullmatch(piece) else piece
        return cls(tuple(pieces), codec)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without the end of sentence that the tokenizer may add."""
        return list(self.codec.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; those that are no text are left out."""
        return "".join(map(self.spelled, ids)).strip(" ")

    def spelled(self, id: int) -> str:
        """What an id adds to a text, a space before a word included."""
        return self._spelled[id] if 0 <= id < len(self._spelled) else ""

    @cached_property
    def _spelled(self) -> tuple[str, ...]:
        return tuple((piece or "").replace(SPACE, " ") for piece in self.pieces)

    def words(self, ids: Sequence[int]) -> list[Spoken]:
        """The words of a text, each with its token numbers; markup of several words is one, as {new paragraph}."""
        parts = [self.spelled(id) for id in ids]
        owners = [number for number, part in enumerate(parts) for _ in part]
        found = re.finditer("[^ ]+", "".join(parts))
        plain = [Spoken(f" {word[0]}", owners[word.start()], owners[word.end() - 1] + 1) for word in found]
        return _with_whole_markup(plain)


@dataclass(frozen=True)
class Spoken:
    """A word with its leading space; its tokens are [first, last)."""

    text: str
    first: int
    last: int


def _with_whole_markup(words: list[Spoken]) -> list[Spoken]:
    """What stands between brackets joined to one word, where it is closed soon."""
    found: list[Spoken] = []
    at = 0
    while at < len(words):
        count = _markup(words[at : at + MARKUP_WORDS])
        taken = words[at : at + count]
        found.append(Spoken("".join(word.text for word in taken), taken[0].first, taken[-1].last))
        at += count
    return found


def _markup(words: list[Spoken]) -> int:
    """How many of these words, from the first on, are one piece of markup or one plain word."""
    opening = words[0].text[1:2]
    closing = {"{": "}", "[": "]"}.get(opening)
    if closing is None:
        return 1
    for count, word in enumerate(words, 1):
        inside, closed, _ = word.text.partition(closing)
        if count > 1 and ("{" in inside or "[" in inside):
            return 1
        if closed:
            return count
    return 1


def _special(content: dict[str, Any]) -> set[int]:
    return {token["id"] for token in content.get("added_tokens") or [] if token.get("special")}
