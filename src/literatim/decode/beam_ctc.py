"""Prefix beam search for CTC (Graves and Jaitly, 2014; Hannun et al., 2014), with an n-gram model and hotwords.

A text's score is ln P(text | sound) + alpha ln P(text) + beta times its tokens + what its hotwords add. The first sums
over all ways in which the text can lie in the steps, as far as the beam follows them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from literatim.decode.ctc import Token

NOTHING = -math.inf


class TokenModel(Protocol):
    """Natural logarithms of the probability of a token after others; a state stands for those before."""

    def begin(self) -> Any:
        """The state before a text's first token."""

    def after(self, state: Any, token: int) -> tuple[float, Any]:
        """ln P(token | state), and the state then."""

    def end(self, state: Any) -> float:
        """ln P(the text ends | state)."""


class Favoured(Protocol):
    """Texts that are to be heard more easily; a state is how much of them was said last."""

    def after(self, state: int, token: int) -> tuple[float, int]:
        """What is won for good by this token, and the state then; 0 is the first."""

    def promise(self, state: int) -> float:
        """What a state is worth while it may still become one of the texts."""


@dataclass(frozen=True)
class Beam:
    """Settings, with pyctcdecode's defaults: how many texts are followed, weights, and what is not looked at.

    A step's tokens below `least` (natural logarithm) are left out, and texts `far` below the best one.
    """

    width: int = 8
    alpha: float = 0.5
    beta: float = 1.5
    least: float = -5.0
    far: float = -10.0


@dataclass(eq=False)
class _Text:
    """A text that is followed: the probability of its ways that end in a blank, and of those that do not."""

    token: int
    before: _Text | None
    model: Any
    hot: int
    weight: float  # all but the sound's part
    blank: float = NOTHING
    open: float = NOTHING
    longer: dict[int, _Text] = field(default_factory=dict)  # by the next token, so that equal texts are one

    @property
    def sound(self) -> float:
        return _sum(self.blank, self.open)

    def tokens(self) -> list[int]:
        found: list[int] = []
        at: _Text | None = self
        while at is not None and at.before is not None:
            found.append(at.token)
            at = at.before
        return found[::-1]


def _sum(a: float, b: float) -> float:
    """ln(e^a + e^b)."""
    low, high = (a, b) if a < b else (b, a)
    return high if low == NOTHING else high + math.log1p(math.exp(low - high))


class Search:
    """Texts over the steps of one stretch of sound."""

    def __init__(
        self,
        beam: Beam,
        blank: int,
        model: TokenModel | None = None,
        favoured: Favoured | None = None,
        state: tuple[Any, int] | None = None,
    ) -> None:
        """`state` is where a stretch before this one ended: `Search.best`'s second value."""
        self._beam, self._blank, self._model, self._favoured = beam, blank, model, favoured
        begun = state or (model.begin() if model else None, 0)
        root = _Text(-1, None, *begun, weight=self._promise(begun[1]), blank=0.0)
        self._texts = [root]

    def take(self, logprobs: np.ndarray) -> None:
        """Steps (S, V) more, in natural logarithms."""
        for step in logprobs.astype(np.float64):
            likely = np.flatnonzero(step >= self._beam.least)
            if not len(likely):
                likely = step.argmax(keepdims=True)
            self._step([(int(token), float(step[token])) for token in likely])

    def _step(self, likely: Sequence[tuple[int, float]]) -> None:
        next: dict[int, tuple[_Text, float, float]] = {}  # by identity: the text, and its two probabilities

        def add(text: _Text, closed: float, opened: float) -> None:
            _, old_closed, old_opened = next.get(id(text), (text, NOTHING, NOTHING))
            next[id(text)] = text, _sum(old_closed, closed), _sum(old_opened, opened)

        for text in self._texts:
            whole = text.sound
            for token, logprob in likely:
                if token == self._blank:
                    add(text, whole + logprob, NOTHING)
                elif token == text.token:
                    add(text, NOTHING, text.open + logprob)
                    add(self._longer(text, token), NOTHING, text.blank + logprob)
                else:
                    add(self._longer(text, token), NOTHING, whole + logprob)
        self._keep(next.values())

    def _keep(self, found: Collection[tuple[_Text, float, float]]) -> None:
        for text, closed, opened in found:
            text.blank, text.open = closed, opened
        ranked = sorted((text for text, _, _ in found), key=self._score, reverse=True)[: self._beam.width]
        least = self._score(ranked[0]) + self._beam.far
        self._texts = [text for text in ranked if self._score(text) >= least]

    @staticmethod
    def _score(text: _Text) -> float:
        return text.sound + text.weight

    def _longer(self, text: _Text, token: int) -> _Text:
        if token not in text.longer:
            weight, state = text.weight - self._promise(text.hot) + self._beam.beta, text.model
            if self._model:
                logprob, state = self._model.after(text.model, token)
                weight += self._beam.alpha * logprob
            won, hot = self._favoured.after(text.hot, token) if self._favoured else (0.0, 0)
            text.longer[token] = _Text(token, text, state, hot, weight + won + self._promise(hot))
        return text.longer[token]

    def _promise(self, hot: int) -> float:
        return self._favoured.promise(hot) if self._favoured else 0.0

    def best(self, *, last: bool) -> tuple[list[int], tuple[Any, int], float]:
        """Tokens of the best text, the state behind them, and its score; `last`: the whole text ends here."""

        def score(text: _Text) -> float:
            found = self._score(text) - self._promise(text.hot)
            return found + self._beam.alpha * self._model.end(text.model) if self._model and last else found

        best = max(self._texts, key=score)
        return best.tokens(), (best.model, best.hot), score(best)


def align(logprobs: np.ndarray, tokens: Sequence[int], blank: int, first: int = 0) -> list[Token]:
    """Where tokens lie in steps (S, V): the likeliest way (Viterbi). Steps are numbered from `first` on.

    The steps must be able to hold the tokens: one each, and one between equal neighbours.
    """
    if not tokens:
        return []
    states = [blank]
    for token in tokens:
        states += [token, blank]
    emitted = logprobs[:, states].astype(np.float64)  # (S, 2 N + 1)
    skips = np.array([i % 2 == 1 and i > 1 and states[i] != states[i - 2] for i in range(len(states))])
    best = np.full(len(states), NOTHING)
    best[:2] = emitted[0, :2]
    back = np.zeros(emitted.shape, np.int8)
    for step in range(1, len(emitted)):
        moves = np.full((3, len(states)), NOTHING)
        moves[0], moves[1, 1:] = best, best[:-1]
        moves[2, 2:] = np.where(skips[2:], best[:-2], NOTHING)
        back[step] = moves.argmax(0)
        best = moves.max(0) + emitted[step]
    at = len(states) - 1 if best[-1] > best[-2] else len(states) - 2
    way = [at]
    for step in range(len(emitted) - 1, 0, -1):
        at -= int(back[step, at])
        way.append(at)
    return _tokens(emitted, way[::-1], tokens, first)


def _tokens(emitted: np.ndarray, way: Sequence[int], tokens: Sequence[int], first: int) -> list[Token]:
    found = []
    for number, token in enumerate(tokens):
        steps = [step for step, state in enumerate(way) if state == 2 * number + 1]
        mean = float(emitted[steps, 2 * number + 1].mean())
        found.append(Token(token, first + steps[0], first + steps[-1] + 1, mean))
    return found
