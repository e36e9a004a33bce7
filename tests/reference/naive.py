"""Whisper's decoding, written for reading: one row, one token, one logit at a time, no cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
ScoresOf = Callable[[list[int]], Scores]
"""The logits (V,) that follow a row's tokens so far, prompt included."""


@dataclass(frozen=True)
class NaiveRules:
    """`stamps` are the ids of the timestamps, None where none are wanted; the first `initial` may open a window."""

    eot: int
    suppressed: frozenset[int] = frozenset()
    suppressed_first: frozenset[int] = frozenset()
    stamps: range | None = None
    initial: int = 10**9


def allowed(scores: Scores, said: Sequence[int], rules: NaiveRules) -> Scores:
    """`scores` (V,) with -inf where a token may not follow the tokens `said` so far (prompt left out)."""
    out = np.array(scores)
    banned = {token for token in rules.suppressed if token < len(out)}
    if not said:
        banned |= {token for token in rules.suppressed_first if token < len(out)}
    if rules.stamps is not None:
        banned |= _banned_by_timestamps(len(out), said, rules)
    out[sorted(banned)] = -math.inf
    if rules.stamps is not None and _mass(out[list(rules.stamps)]) > max(out[: rules.stamps.start]):
        out[: rules.stamps.start] = -math.inf
    return out


def _banned_by_timestamps(vocab_size: int, said: Sequence[int], rules: NaiveRules) -> set[int]:
    stamps = rules.stamps
    assert stamps is not None
    banned = {stamps.start - 1, *range(stamps.stop, vocab_size)}
    if not said:
        return banned | set(range(stamps.start)) | set(stamps[rules.initial :])
    before = [token for token in said if token in stamps]
    last_is_stamp = said[-1] in stamps
    second_last_is_stamp = len(said) == 1 or said[-2] in stamps
    if last_is_stamp and second_last_is_stamp:  # a segment is open: no timestamp now
        banned |= set(stamps)
    elif last_is_stamp:  # a segment is closed: no text now, and the next may begin at the same time
        banned |= set(range(rules.eot)) | set(range(stamps.start, before[-1]))
    if before and not (last_is_stamp and not second_last_is_stamp):
        banned |= set(range(stamps.start, before[-1] + 1))
    return banned


def _mass(scores: Scores) -> float:
    """log of the sum of the exponentials."""
    top = max(scores, default=-math.inf)
    return top if top == -math.inf else top + math.log(math.fsum(math.exp(score - top) for score in scores))


@dataclass
class NaiveResult:
    """Tokens without the end; `margins` are the differences of the two best scores of every choice."""

    tokens: list[int] = field(default_factory=list)
    sum_logprob: float = 0.0
    margins: list[float] = field(default_factory=list)


def greedy(scores_of: ScoresOf, prompt: Sequence[int], rules: NaiveRules, most: int) -> NaiveResult:
    """The plain loop: until the end of text or `most` tokens."""
    result = NaiveResult()
    while len(result.tokens) < most:
        scores = allowed(scores_of([*prompt, *result.tokens]).astype(np.float64), result.tokens, rules)
        first, second = np.argsort(scores)[::-1][:2]
        result.margins.append(float(scores[first] - scores[second]))
        result.sum_logprob += float(scores[first]) - _mass(scores)
        if first == rules.eot:
            break
        result.tokens.append(int(first))
    return result
