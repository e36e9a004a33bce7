"""Beam search over a dictation of any length: stretch by stretch, each from one pause to the next.

Where a stretch ends depends on the steps alone, so that windows and batches change nothing. Its best text is final
then; the n-gram model and hotwords go on from its end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from literatim.decode.beam_ctc import Beam, Search, align
from literatim.decode.ctc import Steps, Token
from literatim.decode.hotwords import Hotwords
from literatim.models.ngram import Ngrams, load_ngrams
from literatim.options import TranscribeOptions
from literatim.pipeline.listener import Listener

PAUSE = 10  # steps running in which the blank is likeliest: a stretch ends
LONG, LONGEST = 500, 1500  # steps after which it ends at the next such step, and at any


def is_search(options: TranscribeOptions) -> bool:
    """Whether more than the likeliest token of each step is asked for."""
    return options.beam_size > 1 or options.language_model is not None or bool(options.hotwords)


@dataclass(frozen=True, eq=False)
class Settings:
    """How all stretches are searched; `unsaid` are tokens that are no text, and count as blanks."""

    beam: Beam
    blank: int
    unsaid: tuple[int, ...]
    model: Ngrams | None
    hotwords: Hotwords | None

    @classmethod
    def of(cls, listener: Listener, options: TranscribeOptions) -> Settings:
        """As asked for. Raises what `load_ngrams` does for the n-gram model, and DependencyError without kenlm."""
        tokenizer, default, vocabulary = listener.tokenizer, Beam(), listener.config.vocab_size
        pieces = (*tokenizer.pieces, *[None] * vocabulary)[:vocabulary]
        model = _ngrams(_found(options.language_model, listener.folder), pieces) if options.language_model else None
        width = options.beam_size if options.beam_size > 1 else default.width
        beam = Beam(width, options.alpha, options.beta if model else 0.0)
        texts = [tokenizer.encode(text) for text in variants(options.hotwords or "")]
        blank = listener.config.blank
        unsaid = tuple(token for token, piece in enumerate(pieces) if piece is None and token != blank)
        return cls(beam, blank, unsaid, model, Hotwords(texts, options.hotword_weight) if texts else None)


def variants(hotwords: str) -> list[str]:
    """The phrases between the commas, each also as it begins a sentence."""
    phrases = [" ".join(phrase.split()) for phrase in re.split(r"[,\n]", hotwords)]
    return sorted({form for phrase in phrases if phrase for form in (phrase, phrase[0].upper() + phrase[1:])})


def _found(name: str, folder: Path | None) -> Path:
    """The file itself, or that of the model's folder."""
    inside = folder / name if folder is not None else Path(name)
    return inside if inside.is_file() and not Path(name).is_file() else Path(name)


@lru_cache(maxsize=2)
def _ngrams(path: Path, pieces: tuple[str | None, ...]) -> Ngrams:
    return load_ngrams(path, pieces)


class Stretches:
    """The tokens of one channel, as its stretches end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._steps, self._first = Steps.joined([]), 0  # of the stretch that is under way, and where it begins
        self._state: tuple[Any, int] | None = None

    def take(self, steps: Steps, *, last: bool) -> list[Token]:
        """Steps more; the tokens of the stretches that they end. `last`: nothing comes after them."""
        self._steps = Steps.joined([self._steps, steps])
        found: list[Token] = []
        while length := self._length():
            found += self._end(length, last=last and length == len(self._steps))
        if last and len(self._steps):
            found += self._end(len(self._steps), last=True)
        return found

    def _length(self) -> int:
        """Steps of the stretch, 0 where it has not ended."""
        quiet = self._steps.ids == self._settings.blank
        spoken, run = False, 0
        for number, silent in enumerate(quiet.tolist(), 1):
            spoken, run = spoken or not silent, run + 1 if silent else 0
            if (spoken and run >= PAUSE) or (silent and number >= LONG) or number >= LONGEST:
                return number
        return 0

    def _end(self, length: int, *, last: bool) -> list[Token]:
        part, settings = self._steps.part(0, length), self._settings
        assert part.whole is not None
        scores = merged(part.whole, settings.blank, settings.unsaid)
        search = Search(settings.beam, settings.blank, settings.model, settings.hotwords, self._state)
        search.take(scores)
        tokens, self._state, _ = search.best(last=last)
        found = align(scores, tokens, settings.blank, self._first)
        self._steps, self._first = self._steps.part(length, len(self._steps)), self._first + length
        return found


def merged(scores: np.ndarray, blank: int, unsaid: tuple[int, ...]) -> np.ndarray:
    """Log-probabilities (S, V) in which the blank has those of tokens that are no text."""
    if not unsaid:
        return scores
    out: np.ndarray = scores.copy()
    out[:, blank] = np.logaddexp.reduce(scores[:, [blank, *unsaid]], axis=1)
    out[:, list(unsaid)] = -np.inf
    return out
