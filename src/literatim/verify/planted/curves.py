"""What the runs of a self-test add up to: shares with intervals, against magnitude, size over the noise and dtype."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

ABOVE = 4.0
"""A fault is above the noise where it moves what an operation gives by more than so many times its rounding errors."""

EDGES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 1024.0, math.inf)
"""Sizes over the noise that runs are sorted by."""

_Z = 1.959964  # of the normal distribution: 95 % lie within

Row = Mapping[str, Any]


def share(hits: int, count: int) -> dict[str, Any]:
    """`hits` of `count` with Wilson's 95 % interval (Wilson 1927), which holds near 0 and 1 too; None of none."""
    if not count:
        return {"n": 0, "hits": 0, "share": None, "low": None, "high": None}
    found, square = hits / count, _Z**2 / count
    middle = (found + square / 2) / (1 + square)
    half = _Z * math.sqrt(found * (1 - found) / count + square / (4 * count)) / (1 + square)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return {"n": count, "hits": hits, "share": round(found, 4), "low": round(low, 4), "high": round(high, 4)}


def is_above(row: Row) -> bool:
    """Whether a fault's run is one that has to be caught."""
    return bool(row["hits"]) and _ratio(row) > ABOVE


def power(faults: Sequence[Row]) -> dict[str, Any]:
    """Shares caught and located of the faults above the noise: in all, by dtype, by size, by kind and magnitude."""
    struck = [row for row in faults if row["hits"]]
    above = [row for row in struck if is_above(row)]
    dtypes = list(dict.fromkeys(row["dtype"] for row in struck))
    return {
        "runs": len(faults),
        "never_struck": len(faults) - len(struck),
        "above_the_noise": _both(above),
        "below_the_noise": _both([row for row in struck if not is_above(row)]),
        "by_dtype": {dtype: _both(_only(above, dtype=dtype)) for dtype in dtypes},
        "by_size": {dtype: _by_size(_only(struck, dtype=dtype)) for dtype in dtypes},
        "by_kind": _by_kind(struck),
    }


def alarms(clean: Sequence[Row]) -> dict[str, Any]:
    """The share of clean runs that were failed, and of those that were warned of: in all and by dtype."""
    dtypes = dict.fromkeys(row["dtype"] for row in clean)
    return {
        **_alarms(clean),
        "by_dtype": {dtype: _alarms(_only(clean, dtype=dtype)) for dtype in dtypes},
        "those": [row for row in clean if row["status"] == "fail"],
    }


def _alarms(clean: Sequence[Row]) -> dict[str, Any]:
    failed = sum(row["status"] == "fail" for row in clean)
    return {"failed": share(failed, len(clean)), "warned": share(_count(clean, _is_warned), len(clean))}


def _is_warned(row: Row) -> bool:
    return bool(row["status"] == "warn")


def _both(rows: Sequence[Row]) -> dict[str, Any]:
    return {name: share(sum(bool(row[name]) for row in rows), len(rows)) for name in ("caught", "located")}


def _by_size(rows: Sequence[Row]) -> list[dict[str, Any]]:
    found = []
    for low, high in itertools.pairwise(EDGES):
        here = [row for row in rows if low < _ratio(row) <= high]
        if here:
            found.append({"from": low, "to": None if math.isinf(high) else high, **_both(here)})
    return found


def _by_kind(rows: Sequence[Row]) -> list[dict[str, Any]]:
    keys = dict.fromkeys((row["kind"], row["magnitude"], row["period"], row["dtype"]) for row in rows)
    found = []
    for kind, magnitude, period, dtype in keys:
        here = _only(rows, kind=kind, magnitude=magnitude, period=period, dtype=dtype)
        place = {"kind": kind, "magnitude": magnitude, "period": period, "dtype": dtype, "unit": here[0]["unit"]}
        found.append({**place, "ratio": _median(here), "above_the_noise": _count(here, is_above), **_both(here)})
    return found


def _median(rows: Sequence[Row]) -> float | None:
    """The size over the noise in the middle of some runs."""
    middle = sorted(map(_ratio, rows))[len(rows) // 2]
    return None if math.isinf(middle) else middle


def _only(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _count(rows: Iterable[Row], test: Callable[[Row], bool]) -> int:
    return sum(test(row) for row in rows)


def _ratio(row: Row) -> float:
    """Of a fault to the noise; JSON has no infinity, so None stands for it."""
    return math.inf if row["ratio"] is None else float(row["ratio"])
