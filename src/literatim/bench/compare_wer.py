"""Two word error reports: the difference on the recordings that are in both, and those that changed most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from literatim.bench import stats
from literatim.bench.table import Table, percent
from literatim.bench.wer import MOST_NORMALISED, NORMALIZERS
from literatim.bench.wer_report import rate_of, span
from literatim.errors import OptionError
from literatim.provenance.differences import differences, sentences

Entry = dict[str, Any]
Rows = npt.NDArray[Any]
_EDITS = ("substitutions", "deletions", "insertions")


def compare_wer(
    a: dict[str, Any], b: dict[str, Any], *, worst: int = 10, limit: float | None = None, seed: int = 0
) -> dict[str, Any]:
    """Rates of both on the recordings they share, b's less a's with an interval, and the `worst` recordings.

    Recordings are matched by id; those whose words are not the same in both are left out. The interval is a paired
    bootstrap: recordings are drawn with what both heard (Bisani and Ney, ICASSP 2004). `above` has a sentence for each
    rate of B that is above `limit` times A's in 97.5 % of the draws. Raises OptionError where none is shared.
    """
    mine, theirs = _entries(a), _entries(b)
    shared = [(entry, theirs[name]) for name, entry in mine.items() if name in theirs]
    if not shared:
        raise OptionError("the reports have no recording in common, which are matched by id")
    counted = {(name, rate): rows for name in NORMALIZERS for rate, rows in _rows(name, shared)}
    return {
        "schema": 1,
        "kind": "compare wer",
        "differences": differences(a, b),
        "recordings": len(shared),
        "only_in_a": len(mine) - len(shared),
        "only_in_b": len(theirs) - len(shared),
        "other_words": sum(not any(_same_words(name, *both) for name in NORMALIZERS) for both in shared),
        "rates": [_difference(name, rate, rows, seed) for (name, rate), rows in counted.items()],
        "above": [] if limit is None else _above(counted, limit),
        "changed": _changed(shared, worst),
    }


def wer_tables(found: dict[str, Any]) -> list[Table]:
    """The rates, and the recordings that changed most where any did."""
    rows = [
        (
            row["normaliser"],
            row["rate"].upper(),
            str(row["recordings"]),
            percent(row["a"]),
            percent(row["b"]),
            _signed(row["difference"]),
            span(row["interval"]),
        )
        for row in found["rates"]
    ]
    notes = [
        "B - A: below 0, B makes fewer errors. interval: 95 % of 1000 draws of the recordings with replacement, what A "
        "and B heard of one together; where 0 lies in it, the recordings do not show a difference.",
        *sentences(found["differences"]),
    ]
    if found["only_in_a"] or found["only_in_b"]:
        notes.append(f"not compared: {found['only_in_a']} recordings only in A, {found['only_in_b']} only in B")
    if found["other_words"]:
        notes.append(f"not compared: {found['other_words']} recordings with other reference words in A than in B")
    columns = ("normaliser", "rate", "recordings", "A", "B", "B - A", "interval")
    tables = [Table("B less A", columns, tuple(rows), tuple(notes), texts=2)]
    if found["changed"]:
        tables.append(_changes(found["changed"]))
    return tables


def _rows(name: str, shared: list[tuple[Entry, Entry]]) -> Iterator[tuple[str, Rows]]:
    """(rate, rows): of the recordings whose language that rate is for, a's errors, b's and units, (N, 3)."""
    pairs = [both for both in shared if _same_words(name, *both)]
    for rate in ("wer", "cer"):
        rows = [
            (_errors(one, name, rate), _errors(other, name, rate), _units(one, name, rate))
            for one, other in pairs
            if rate_of(one["language"]) == rate
        ]
        if any(units for _, _, units in rows):
            yield rate, np.array(rows)


def _difference(name: str, rate: str, rows: Rows, seed: int) -> Entry:
    a, b, units = (float(value) for value in rows.sum(axis=0))
    return {
        "normaliser": name,
        "rate": rate,
        "recordings": len(rows),
        "a": a / units,
        "b": b / units,
        "difference": (b - a) / units,
        "interval": list(stats.bootstrap(rows, _less, seed=seed)) if len(rows) > 1 else None,
    }


def _above(counted: dict[tuple[str, str], Rows], limit: float) -> list[str]:
    found = []
    for (name, rate), rows in counted.items():
        if len(rows) < 2:
            continue
        # b - limit * a instead of b / a, which A without an error would leave without a value
        low, _ = stats.bootstrap(rows, lambda drawn: float((drawn[:, 1] - limit * drawn[:, 0]).sum()))
        if low > 0:
            a, b, units = rows.sum(axis=0)
            found.append(
                f"{name}: {rate.upper()} of {percent(b / units)} is above {limit:g} times {percent(a / units)}"
            )
    return found


def _less(drawn: npt.NDArray[np.float64]) -> float:
    a, b, units = drawn.sum(axis=0)
    return float((b - a) / units) if units else float("nan")


def _changed(shared: list[tuple[Entry, Entry]], worst: int) -> list[Entry]:
    """By the number of errors, after its strongest normaliser, that B has more or less; the largest first."""
    found = []
    for one, other in shared:
        name = next((name for name in MOST_NORMALISED if _same_words(name, one, other)), None)
        if name is None:
            continue
        rate = rate_of(one["language"])
        before, after = _errors(one, name, rate), _errors(other, name, rate)
        if before != after:
            about = {"id": _id(one), "normaliser": name, "rate": rate, "a_errors": before, "b_errors": after}
            texts = {"expected": one.get("expected"), "a_text": one["text"], "b_text": other["text"]}
            found.append({**about, "units": _units(one, name, rate), **texts})
    return sorted(found, key=lambda item: -abs(item["b_errors"] - item["a_errors"]))[:worst]


def _changes(changed: list[Entry]) -> Table:
    rows = [
        (
            item["id"],
            item["normaliser"],
            item["rate"].upper(),
            str(item["units"]),
            str(item["a_errors"]),
            str(item["b_errors"]),
            f"{item['b_errors'] - item['a_errors']:+d}",
        )
        for item in changed
    ]
    columns = ("recording", "normaliser", "rate", "of", "errors A", "errors B", "B - A")
    notes = (
        "errors: after the strongest normaliser that counted; of: words (WER) or characters (CER) of the reference",
    )
    return Table("Recordings that changed most", columns, tuple(rows), notes, texts=3)


def _entries(report: dict[str, Any]) -> dict[str, Entry]:
    return {_id(entry): entry for entry in report["files"]}


def _id(entry: Entry) -> str:
    """Schema 1 has files by name alone."""
    return str(entry.get("id") or entry["file"])


def _same_words(name: str, one: Entry, other: Entry) -> bool:
    """Whether both counted with this normaliser, and against the same words."""
    if name not in one["scores"] or name not in other["scores"]:
        return False
    known = one.get("expected"), other.get("expected")
    if None not in known and known[0] != known[1]:
        return False
    return all(_units(one, name, rate) == _units(other, name, rate) for rate in ("wer", "cer"))


def _errors(entry: Entry, name: str, rate: str) -> int:
    counts = entry["scores"][name]
    return int(counts["character_errors"] if rate == "cer" else sum(counts[kind] for kind in _EDITS))


def _units(entry: Entry, name: str, rate: str) -> int:
    return int(entry["scores"][name]["characters" if rate == "cer" else "words"])


def _signed(share: float) -> str:
    return f"{100 * share:+.2f} %"
