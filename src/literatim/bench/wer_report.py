"""Word error rates as a table."""

from __future__ import annotations

from typing import Any

from literatim.bench.table import Table, percent
from literatim.bench.wer import MOST_NORMALISED, SPACELESS

_COLUMNS = ("recording", "normaliser", "WER", "CER", "interval", "sub", "del", "ins", "words", "RTFx")
_EDITS = ("substitutions", "deletions", "insertions")
_FEW = 20


def wer_table(report: dict[str, Any], worst: int = 10) -> Table:
    """The `worst` recordings, the worst first, then all together; a line for each normaliser."""
    every, whole = worst_first(report["files"]), report["total"]
    shown = every[:worst]
    rows = [row for entry in shown for row in _rows(entry["id"], entry)]
    rows += _rows(f"all {whole['recordings']}", whole)
    notes = list(_notes(report))
    if len(shown) < len(every):
        notes.insert(0, f"Shown are the {len(shown)} worst of {len(every)} recordings; the report has all.")
    return Table(
        f"{report['model']}, {report['dtype']} on {report['device']}", _COLUMNS, tuple(rows), tuple(notes), texts=2
    )


def worst_first(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By the rate after the strongest normaliser that counted, then by the number of errors."""
    return sorted(files, key=_badness, reverse=True)


def rate_of(language: str) -> str:
    """The rate to read for a language: `cer` where words are written without spaces, else `wer`."""
    return "cer" if language in SPACELESS else "wer"


def _badness(entry: dict[str, Any]) -> tuple[float, int]:
    counts = next((entry["scores"][name] for name in MOST_NORMALISED if name in entry["scores"]), None)
    if counts is None:
        return 0.0, 0
    name = rate_of(entry["language"])
    errors = counts["character_errors"] if name == "cer" else sum(counts[k] for k in _EDITS)
    rate = counts[name]
    if rate is None:  # nothing should have been heard: all of it is wrong
        rate = float("inf") if errors else 0.0
    return rate, errors


def _rows(title: str, entry: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each normaliser; the interval is that of the rate to read."""
    speed = "" if entry["rtfx"] is None else f"{entry['rtfx']:.1f}"
    read = "cer" if entry.get("headline") == "cer" else "wer"
    return [
        (
            title,
            name,
            percent(counts["wer"]),
            percent(counts["cer"]),
            span(counts.get(f"{read}_interval")),
            *(str(counts[kind]) for kind in (*_EDITS, "words")),
            speed,
        )
        for name, counts in entry["scores"].items()
    ]


def span(interval: list[float] | None) -> str:
    """Two shares as `1.20 to 3.40 %`, nothing where there is no interval."""
    return "" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f} %"


def _notes(report: dict[str, Any]) -> tuple[str, ...]:
    """What each figure is."""
    whole, settings = report["total"], report["settings"]
    read = whole["headline"]
    notes = [
        "WER: (sub + del + ins) / words of the reference. CER: the same over characters, with spaces.",
        f"interval: 95 % of 1000 draws of the recordings with replacement, of the {'CER' if read == 'cer' else 'WER'}.",
        "RTFx: seconds of sound by seconds of work, reading the file included.",
    ]
    if 1 < whole["recordings"] < _FEW:
        notes[1] += f" Of {whole['recordings']} recordings it is rough: of fewer than {_FEW} the draws are alike."
    if settings.get("batch_size", 1) > 1:
        notes[-1] += f" Up to {settings['batch_size']} recordings were decoded together, so there is one for all."
    without = sorted(set(whole["languages"]) & SPACELESS)
    if without:
        names = ", ".join(without)
        notes.append(
            f"{names}: written without spaces between words; CER, counted without any spaces, is the rate to read, "
            "WER means nothing there."
        )
    if read == "mixed":
        notes.append("Languages with and without spaces are together here: rates of each need a run of its own.")
    notes.append(f"English spellings known to the normaliser: {settings['spellings']}.")
    return tuple(notes)
