"""Errors where languages take turns: the language detected once, and anew for each window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from literatim.api import Recognizer
from literatim.bench.long import sound
from literatim.bench.long.figures import score
from literatim.bench.table import Table, percent
from literatim.provenance.fingerprint import fingerprint

LANGUAGES = ("en", "nl")
STRATEGIES = ("sequential", "batched")


def run(recognizer: Recognizer, minutes: float, seed: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """The report: for each strategy without and with `multilingual`."""
    spoken, rows = sound.mixed(LANGUAGES, 60 * minutes, seed), []
    for strategy in STRATEGIES:
        for multilingual in (False, True):
            tell(f"{strategy}, multilingual {multilingual}")
            heard = recognizer.transcribe(spoken.samples, strategy=strategy, multilingual=multilingual)
            found = score(spoken.text, heard.text)
            rows.append({"strategy": strategy, "multilingual": multilingual, "language": heard.language, **found})
    return {
        "kind": "literatim bench mixed",
        "model": recognizer.name,
        "settings": {"languages": list(LANGUAGES), "seconds": spoken.seconds, "seed": seed},
        "rows": rows,
        "environment": fingerprint(str(recognizer.device), [str(recognizer.dtype).removeprefix("torch.")], ()),
    }


def table(report: dict[str, Any]) -> Table:
    """A line for each way."""
    rows = [
        (row["strategy"], "each window" if row["multilingual"] else f"once ({row['language']})", *_rates(row))
        for row in report["rows"]
    ]
    title = f"{report['model']}, {' and '.join(report['settings']['languages'])} in turn"
    return Table(title, ("strategy", "language detected", "words", "WER", "coverage"), tuple(rows), texts=2)


def _rates(row: dict[str, Any]) -> tuple[str, ...]:
    return (str(row["words"]), percent(row["wer"]), percent(row["coverage"]))
