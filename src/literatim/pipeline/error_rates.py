"""Error rates of scored pairs of recordings: of one speaker or of two, told apart by a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PRIOR = 0.01  # of VoxCeleb's minDCF: how often a pair is of one speaker


def equal_error_rate(scores: ArrayLike, same: ArrayLike) -> float | None:
    """Where as many pairs of one speaker are refused as pairs of two are taken, as shares of each kind.

    `scores` (P,) are higher the likelier a pair is of one speaker; `same` (P,) tells which are. Between the two
    neighbouring thresholds where the rates cross, the line through them; equal scores fall together. None where one
    kind of pair is missing.
    """
    found = _crossing(scores, same)
    return None if found is None else found[0]


def equal_error_threshold(scores: ArrayLike, same: ArrayLike) -> float | None:
    """The score at which the two rates of `equal_error_rate` are equal, on the same line; None as there."""
    found = _crossing(scores, same)
    return None if found is None else found[1]


def min_dcf(scores: ArrayLike, same: ArrayLike, prior: float = PRIOR) -> float | None:
    """The least detection cost over all thresholds, both kinds of error costing 1; None as for the rate.

    `prior` is how often a pair is of one speaker. Divided by the cost of the better of the two answers that look at no
    score, as NIST's speaker recognition evaluations and VoxCeleb's challenges do, so that 1 is a system without use.
    """
    curve = _curve(scores, same)
    if curve is None:
        return None
    refused, taken, _ = curve
    cost: NDArray[np.float64] = prior * refused + (1 - prior) * taken
    return float(cost.min() / min(prior, 1 - prior))


def _curve(scores: ArrayLike, same: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], Any] | None:
    """Refused pairs of one speaker, taken pairs of two (shares) and the threshold, from none taken to all taken."""
    scored, right = np.asarray(scores, np.float64), np.asarray(same, bool)
    targets = int(right.sum())
    others = len(right) - targets
    if not targets or not others:
        return None
    order = np.argsort(-scored, kind="stable")
    ranked, right = scored[order], right[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # of equal scores
    refused = np.append(1.0, 1 - right.cumsum()[last] / targets)
    taken = np.append(0.0, (~right).cumsum()[last] / others)
    return refused, taken, np.append(ranked[0], ranked[last])


def _crossing(scores: ArrayLike, same: ArrayLike) -> tuple[float, float] | None:
    """The rate and the threshold where the curves cross."""
    curve = _curve(scores, same)
    if curve is None:
        return None
    refused, taken, at = curve
    after = int((taken >= refused).argmax())
    gap, before = taken[after] - refused[after], refused[after - 1] - taken[after - 1]
    part = before / (before + gap)
    rate = taken[after - 1] + part * (taken[after] - taken[after - 1])
    return float(rate), float(at[after - 1] + part * (at[after] - at[after - 1]))
