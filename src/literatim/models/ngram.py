"""N-gram models over a vocabulary's tokens: ARPA files by ourselves, KenLM's binary files by the package kenlm.

Each token is a word of the model, as in google/medasr's lm_6.kenlm: a piece's `▁` is written `#`.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from literatim.errors import ModelFormatError, ModelNotFound
from literatim.needs import need

LN10 = math.log(10.0)
UNKNOWN = -10.0  # log10 that a token outside the model's vocabulary costs besides, as in pyctcdecode
BINARY = b"mmap lm http://kheafield.com/code"
BEGIN, END, OTHER = "<s>", "</s>", "<unk>"


class Words(Protocol):
    """A model over words, with states."""

    def begin(self) -> Any:
        """The state at the beginning of a text."""

    def knows(self, word: str) -> bool:
        """Whether it is in the vocabulary."""

    def after(self, state: Any, word: str) -> tuple[float, Any]:
        """log10 P(word | state), and the state then."""


@dataclass(frozen=True, eq=False)
class Ngrams:
    """An n-gram model of a vocabulary's tokens (`decode.beam_ctc.TokenModel`)."""

    words: Words
    spelled: tuple[str, ...]  # the model's word for each token

    def begin(self) -> Any:
        """The state before a text's first token."""
        return self.words.begin()

    def after(self, state: Any, token: int) -> tuple[float, Any]:
        """ln P(token | state), and the state then."""
        word = self.spelled[token]
        score, state = self.words.after(state, word)
        return (score if self.words.knows(word) else score + UNKNOWN) * LN10, state

    def end(self, state: Any) -> float:
        """ln P(the text ends | state)."""
        return self.words.after(state, END)[0] * LN10


class Arpa:
    """An ARPA file in memory. States are the last words, as many as the model can look back."""

    def __init__(self, path: Path) -> None:
        self._order, self._scores = 0, dict[tuple[str, ...], tuple[float, float]]()
        for words, score, backoff in _entries(path):
            self._order = max(self._order, len(words))
            self._scores[words] = score, backoff
        if (OTHER,) not in self._scores:
            self._scores[(OTHER,)] = -100.0, 0.0  # as KenLM has it

    def begin(self) -> tuple[str, ...]:
        """The state at the beginning of a text."""
        return (BEGIN,) if self._order > 1 else ()

    def knows(self, word: str) -> bool:
        """Whether it is in the vocabulary."""
        return (word,) in self._scores

    def after(self, state: tuple[str, ...], word: str) -> tuple[float, tuple[str, ...]]:
        """log10 P(word | state) with back-off (Katz, 1987), and the state then."""
        word = word if self.knows(word) else OTHER
        paid, before = 0.0, state
        while (entry := (*before, word)) not in self._scores:
            paid += self._scores[before][1] if before in self._scores else 0.0
            before = before[1:]
        kept = self._order - 1
        return self._scores[entry][0] + paid, (*state, word)[-kept:] if kept else ()


class Kenlm:
    """A binary file, which the package kenlm maps into memory."""

    def __init__(self, path: Path) -> None:
        self._kenlm = need("kenlm", "lm", "KenLM's binary files")
        try:
            self._model = self._kenlm.Model(str(path))
        except (OSError, RuntimeError) as error:
            raise ModelFormatError(f"{path} cannot be read by kenlm ({error}); fetch it again") from error

    def begin(self) -> Any:
        """The state at the beginning of a text."""
        state = self._kenlm.State()
        self._model.BeginSentenceWrite(state)
        return state

    def knows(self, word: str) -> bool:
        """Whether it is in the vocabulary."""
        return word in self._model

    def after(self, state: Any, word: str) -> tuple[float, Any]:
        """log10 P(word | state), and the state then."""
        made = self._kenlm.State()
        return float(self._model.BaseScore(state, word, made)), made


def load_ngrams(path: Path, pieces: Sequence[str | None]) -> Ngrams:
    """The model in `path` for tokens spelled `pieces`, None where one is never text.

    Raises ModelNotFound, and ModelFormatError for what is no such file or was made for other tokens.
    """
    if not path.is_file():
        raise ModelNotFound(f"there is no n-gram model {path}; give an ARPA or KenLM file")
    with path.open("rb") as file:
        words: Words = Kenlm(path) if file.read(len(BINARY)) == BINARY else Arpa(path)
    spellings = [tuple("" if piece is None else piece.replace("▁", mark) for piece in pieces) for mark in ("#", "▁")]
    known = [sum(words.knows(word) for word in spelled if word) for spelled in spellings]
    if max(known) < sum(piece is not None for piece in pieces) / 2:
        raise ModelFormatError(
            f"{path} knows {max(known)} of this model's tokens; it was made for others, or for whole words"
        )
    return Ngrams(words, spellings[known.index(max(known))])


def _entries(path: Path) -> Iterator[tuple[tuple[str, ...], float, float]]:
    """N-grams with their scores and back-offs, in log10."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        try:
            order = 0
            for line in map(str.strip, file):
                if line == "\\end\\":
                    return
                if line.endswith("-grams:") and line[0] == "\\":
                    order = int(line[1 : -len("-grams:")])
                elif order and line:
                    score, *words = line.split()
                    backoff = float(words.pop()) if len(words) == order + 1 else 0.0
                    if len(words) != order:
                        raise ValueError(f"an entry of order {order} reads {line!r}")
                    yield tuple(words), float(score), backoff
        except (ValueError, OSError, EOFError, zlib.error) as error:
            raise ModelFormatError(f"{path} is no ARPA file ({error})") from error
    raise ModelFormatError(f"{path} is no ARPA file, or not all of one: it has no \\end\\")
