"""Word error rates as a table."""

from __future__ import annotations

from typing import Any

from literatim.bench.table import Table, percent


def wer_table(report: dict[str, Any]) -> Table:
    """A line for each recording and normaliser, and those of all together."""
    rows = []
    for entry in [*report["files"], {"file": "all", **report["total"]}]:
        for name, counts in entry["scores"].items():
            edits = (str(counts[kind]) for kind in ("substitutions", "deletions", "insertions", "words"))
            rates = (percent(counts["wer"]), percent(counts["cer"]))
            rows.append((entry["file"], name, *rates, *edits, f"{entry['rtfx']:.1f}"))
    columns = ("recording", "normaliser", "WER", "CER", "sub", "del", "ins", "words", "RTFx")
    notes = (f"English spellings known to the normaliser: {report['settings']['spellings']}",)
    return Table(f"{report['model']}, {report['dtype']} on {report['device']}", columns, tuple(rows), notes, texts=2)
