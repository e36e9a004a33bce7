"""Long recordings as tables: speed and memory, words, and beside the peers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from literatim.bench.runners import OURS
from literatim.bench.table import Table, percent

Entry = Mapping[str, Any]
_HEAD = ("program", "way", "dtype")


def heading(report: Entry) -> str:
    """Model, work, threads and machine."""
    settings, place = report["settings"], report["environment"]
    tokens = settings["tokens"]
    work = "as many tokens as it says" if tokens is None else f"{tokens} tokens a window, safeguards off"
    threads = f"{settings['threads']} thread{'s' if settings['threads'] > 1 else ''}"
    sound = f"{settings['seconds'] / 60:g} minutes"
    machine = place["device_name"] or place["cpu"]
    return f"{report['model']} ({report['weights']} weights), {sound}, {work}, {threads}, {machine}"


def tables(report: Entry) -> list[Table]:
    """Those with something in them."""
    return [table for table in (speed(report), words(report)) if table.rows or table.title.startswith("Speed")]


def speed(report: Entry) -> Table:
    """A line for each way."""
    figures = ("s", "CPU s", "RTF", "tokens/s", "decoder tokens/s")
    notes = (
        *(f"{row['name']} {row['what']} {row['dtype']}: {row['status']}: {row['reason']}" for row in missing(report)),
        "s: from the file to its text, median over the rounds; CPU s: of all processors; RTF: s by seconds of sound.",
        "to sequential: our tokens/s by those of our sequential, of all the work and of the decoder alone; ours/this: "
        "our time the same way by this one's in the same round: below 1 ours is faster.",
    )
    columns = (*_HEAD, *figures, "to sequential", "decoder's", "ours/this", "MB beyond the model")
    lines = tuple((*label(row), *_times(row), *_ratios(row)) for row in measured(report))
    return Table(f"Speed: {heading(report)}", columns, lines, notes, texts=3)


def _times(row: Entry) -> tuple[str, ...]:
    decoder = row["decoder_tokens_per_s"]
    times = (f"{row['seconds']:.1f}", f"{row['cpu_seconds']:.1f}", f"{row['rtf']:.4f}")
    return (*times, f"{row['tokens_per_s']:.0f}", "" if decoder is None else f"{decoder:.0f}")


def _ratios(row: Entry) -> tuple[str, ...]:
    up, beside, beyond = row.get("speed_up"), row.get("ours_to_this"), row["memory"]["beyond"]
    return (
        *(("", "") if up is None else (f"{up[name]:.2f}" for name in ("tokens_per_s", "decoder_tokens_per_s"))),
        "" if beside is None else f"{beside['seconds']:.2f}",
        "" if beyond is None else f"{beyond / 1e6:.0f}",
    )


def words(report: Entry) -> Table:
    """A line for each way of a model that knows words."""
    figures = ("WER", "coverage", "inserted", "words where nobody speaks")
    lines = []
    for row in measured(report):
        if "words" in row:
            said = {name: count for name, count in row["hallucinated"].items() if count}
            kinds = f" ({', '.join(f'{name} {count}' for name, count in said.items())})" if said else ""
            found = row["words"]
            counts = (percent(found["wer"]), percent(found["coverage"]), str(found["insertions"]))
            lines.append((*label(row), *counts, f"{sum(said.values())}{kinds}"))
    notes = ("coverage: share of the words said that came out at their place.",)
    return Table("Words", (*_HEAD, *figures), tuple(lines), notes, texts=3)


def measured(report: Entry) -> list[Entry]:
    """Rows with figures."""
    return [row for row in report["rows"] if "seconds" in row]


def missing(report: Entry) -> list[Entry]:
    """Rows without."""
    return [row for row in report["rows"] if "seconds" not in row]


def label(row: Entry) -> tuple[str, str, str]:
    """Program with its version, way and dtype."""
    version = row["version"] or ""
    return (row["name"] if row["name"] == OURS else f"{row['name']} {version}".strip(), row["what"], row["dtype"])
