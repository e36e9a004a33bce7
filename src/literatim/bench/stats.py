"""Summaries of repeated measurements, and how far they can be trusted: bootstrap intervals, numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = Sequence[float] | Sequence[Sequence[float]] | npt.NDArray[Any]
Statistic = Callable[[npt.NDArray[np.float64]], float]
PERCENTILES = (90, 95, 99)


def summary(values: Sequence[float]) -> dict[str, float]:
    """n, mean, median, std, min, max, p90, p95 and p99 of at least one finite number; else ValueError.

    `std` is that of a sample (divided by n - 1), 0 for a single value. Percentiles are interpolated linearly between
    order statistics: number 7 of Hyndman and Fan, "Sample quantiles in statistical packages" (1996), numpy's default.
    """
    data = _checked(values)
    found = {
        "n": len(data),
        "mean": float(data.mean()),
        "median": float(np.median(data)),
        "std": float(data.std(ddof=1)) if len(data) > 1 else 0.0,
        "min": float(data.min()),
        "max": float(data.max()),
    }
    return found | {f"p{level}": float(np.percentile(data, level, method="linear")) for level in PERCENTILES}


def bootstrap(
    values: Numbers, statistic: Statistic, *, seed: int = 0, draws: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """The percentile interval (Efron 1979) of `statistic` over the rows of `values`: (N,) or (N, K).

    Rows are drawn with replacement and stay whole, so that paired figures stay pairs. Draws in which the statistic
    is not finite (a ratio by nothing) are left out; (nan, nan) where none is left.
    """
    data = _checked(values)
    generator = np.random.default_rng(seed)
    found = [float(statistic(data[generator.integers(len(data), size=len(data))])) for _ in range(draws)]
    return interval(found, level)


def interval(draws: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of finite draws; (nan, nan) where there is none."""
    finite = [value for value in draws if np.isfinite(value)]
    if not finite:
        return float("nan"), float("nan")
    rest = (1 - level) / 2
    low, high = np.quantile(finite, (rest, 1 - rest))
    return float(low), float(high)


def ratio_interval(
    a: Sequence[float],
    b: Sequence[float],
    *,
    seed: int = 0,
    draws: int = 1000,
    level: float = 0.95,
    paired: bool | None = None,
) -> tuple[float, float, float]:
    """The median of `a` by that of `b`, with the bootstrap interval's low and high end.

    Pairs (turns of one round) are drawn together, values of two separate runs (`paired=False`) each alone; not given,
    they are pairs where there are as many of both. ValueError for no values, or for pairs of unequal number.
    """
    first, second = _checked(a), _checked(b)
    together = len(first) == len(second) if paired is None else paired
    if together and len(first) != len(second):
        raise ValueError(f"{len(first)} values and {len(second)} are not pairs")
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        mine = generator.integers(len(first), size=len(first))
        theirs = mine if together else generator.integers(len(second), size=len(second))
        found.append(_ratio(first[mine], second[theirs]))
    return (_ratio(first, second), *interval(found, level))


def _ratio(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    below = float(np.median(b))
    return float(np.median(a)) / below if below else float("nan")


def _checked(values: Numbers) -> npt.NDArray[np.float64]:
    data = np.asarray(values, dtype=np.float64)
    if data.ndim == 0 or not len(data):
        raise ValueError("there are no values to summarise")
    if not np.isfinite(data).all():
        raise ValueError("the values are not all finite numbers")
    return data
