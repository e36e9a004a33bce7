"""Two speed reports: how much longer the second took, row by row, with an interval from the single times."""

from __future__ import annotations

from statistics import median
from typing import Any

from literatim.bench import stats
from literatim.bench.table import Table
from literatim.errors import OptionError
from literatim.provenance.differences import differences, sentences

FEWEST_TURNS = 3  # below that, draws of the times say nothing about their spread
Key = tuple[str, str, str, int, int]


def compare_speed(a: dict[str, Any], b: dict[str, Any], *, limit: float | None = None, seed: int = 0) -> dict[str, Any]:
    """Rows matched by name, setting, dtype, batch and tokens: medians in seconds, b's by a's, and the interval.

    The times of the two runs are drawn apart: turn 1 of one run has nothing to do with turn 1 of another. Schema 1,
    which had one setting, counts as `default`. `above` has a sentence for each row whose interval lies wholly above
    `limit`. Raises OptionError where no row is in both.
    """
    mine, theirs = _rows(a), _rows(b)
    rows = [_compared(key, mine[key], theirs[key], seed) for key in mine if key in theirs]
    if not rows:
        raise OptionError("the reports have no measured row in common (name, setting, dtype, batch and tokens)")
    return {
        "schema": 1,
        "kind": "compare speed",
        "differences": differences(a, b),
        "rows": rows,
        "above": [] if limit is None else _above(rows, limit),
        "only_in_a": [_title(key) for key in mine if key not in theirs],
        "only_in_b": [_title(key) for key in theirs if key not in mine],
    }


def speed_table(found: dict[str, Any]) -> Table:
    """A line a row; below 1 the second report is faster."""
    rows = [
        (
            row["name"],
            row["setting"],
            row["dtype"],
            str(row["batch"]),
            str(row["tokens"]),
            f"{1000 * row['a_seconds']:.1f}",
            f"{1000 * row['b_seconds']:.1f}",
            f"{row['ratio']:.3f}",
            "" if row["interval"] is None else f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
            f"{row['a_turns']}, {row['b_turns']}",
        )
        for row in found["rows"]
    ]
    columns = ("runner", "setting", "dtype", "batch", "tokens", "A ms", "B ms", "B/A", "interval", "turns A, B")
    notes = [
        "A ms, B ms: medians of the time of a whole batch. B/A: the ratio of the medians; below 1, B is faster.",
        f"interval: 95 % of 1000 draws of the turns of A and of B with replacement; none below {FEWEST_TURNS} turns.",
        *sentences(found["differences"]),
        *(
            f"only in {name[-1].upper()}: {'; '.join(found[name])}"
            for name in ("only_in_a", "only_in_b")
            if found[name]
        ),
    ]
    if "machine" in found["differences"]:
        notes.append("The machines differ: the ratio is of the machines as well as of the software.")
    return Table("B by A", columns, tuple(rows), tuple(notes), texts=3)


def _above(rows: list[dict[str, Any]], limit: float) -> list[str]:
    return [
        f"{_title(_key(row))}: B/A {row['ratio']:.3f}, {row['interval'][0]:.3f} at the least, is above {limit:g}"
        for row in rows
        if row["interval"] is not None and row["interval"][0] > limit
    ]


def _compared(key: Key, mine: list[float], theirs: list[float], seed: int) -> dict[str, Any]:
    ratio, low, high = stats.ratio_interval(theirs, mine, seed=seed, paired=False)
    enough = min(len(mine), len(theirs)) >= FEWEST_TURNS
    return {
        **dict(zip(("name", "setting", "dtype", "batch", "tokens"), key, strict=True)),
        "a_seconds": median(mine),
        "b_seconds": median(theirs),
        "a_turns": len(mine),
        "b_turns": len(theirs),
        "ratio": ratio,
        "interval": [low, high] if enough else None,
    }


def _rows(report: dict[str, Any]) -> dict[Key, list[float]]:
    """Seconds of every turn of the rows that were measured."""
    found = {}
    for row in report["rows"]:
        turns = [value / 1000 for value in row.get("samples_ms", {}).get("total", [])]
        if row.get("status") == "measured" and turns:
            found[_key({"tokens": report.get("settings", {}).get("tokens", 0), **row})] = turns
    return found


def _key(row: dict[str, Any]) -> Key:
    return row["name"], row.get("setting") or "default", row["dtype"], int(row["batch"]), int(row["tokens"])


def _title(key: Key) -> str:
    name, setting, dtype, batch, tokens = key
    return f"{name} {setting} {dtype}, batch {batch}, {tokens} tokens"
