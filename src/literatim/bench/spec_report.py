"""Speculation as tables: with and without a draft, what the draft did, beside the peers, and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from literatim.bench.runners import OURS
from literatim.bench.table import Table, percent

Entry = Mapping[str, Any]
_HEAD = ("runner", "decoding", "dtype")
_MEGABYTE = 1e6
NOTES = (
    "ms: from the features of all windows to all their tokens, encoder included, median over the rounds; decoder: "
    "without the encoder. speed-up: plain time by the time with a draft in the same round, median, of the same program "
    "and dtype: above 1 the draft helps. same windows: share with the very tokens of ours, plain, in that dtype.",
    "acceptance: share of the proposals that were right among those judged; a/round: proposals accepted by a row in a "
    "round; K: proposals a round, with the share of the rounds.",
)


def tables(report: Entry) -> list[Table]:
    """All of them."""
    found = [times(report), drafts(report), beside(report), memory(report)]
    return [table for table in found if table.rows or table is found[0]]


def heading(report: Entry) -> str:
    """Model, draft, work, threads and machine."""
    settings = report["settings"]
    place = report["environment"].get("device_name") or report["environment"]["cpu"]
    work = f"{settings['clips']} clips" if settings["clips"] else f"{settings['tokens']} tokens a window"
    alone = "" if settings["encoder"] else ", decoder alone with made-up keys and values of sound"
    planted = "" if settings["acceptance"] is None else f", acceptance {settings['acceptance']}"
    threads = f"{settings['threads']} thread{'s' if settings['threads'] > 1 else ''}"
    return f"{report['model']} ({report['weights']} weights{alone}){planted}, {work}, {threads}, {place}"


def times(report: Entry) -> Table:
    """A line for each way and batch."""
    figures = ("ms", "decoder", "tokens/s", "decoder tokens/s", "speed-up", "decoder's", "same windows", "WER")
    lines = []
    for row in _measured(report):
        up, speed = row.get("speed_up") or {}, row["tokens_per_s"]
        numbers = (row["latency_ms"]["median"], row["decoder_ms"], speed["total"], speed["decoder"])
        shown = (*(f"{number:.1f}" for number in numbers), _ratio(up, "total"), _ratio(up, "decoder"))
        words = percent(row["wer"]["wer"]) if row["wer"] else ""
        lines.append((*_label(row), str(row["batch"]), *shown, percent(row["same_tokens"]), words))
    title, notes = f"Decoding: {heading(report)}", (*_missing(report), *NOTES)
    return Table(title, (*_HEAD, "batch", *figures), tuple(lines), notes, texts=3)


def drafts(report: Entry) -> Table:
    """What ours did with its draft."""
    columns = ("dtype", "batch", "acceptance", "a/round", "rounds", "K")
    lines = []
    for row in _measured(report):
        found = row.get("speculation")
        if found:
            shares = ((kind["proposals"], kind["rounds"] / found["rounds"]) for kind in found["by_proposals"])
            used = ", ".join(f"{count}: {share:.0%}" for count, share in shares)
            numbers = (percent(found["acceptance"]), f"{found['accepted_a_round']:.2f}", str(found["rounds"]), used)
            lines.append((row["dtype"], str(row["batch"]), *numbers))
    return Table(f"The draft: {report['draft']}", columns, tuple(lines), texts=1)


def beside(report: Entry) -> Table:
    """Our time with a draft by that of each peer."""
    columns = (*_HEAD, "batch", "beside", "ours/this", "decoder's")
    lines = []
    for row in _measured(report):
        found = row.get("ours_to_this")
        if found:
            lines.append(
                (*_label(row), str(row["batch"]), found["ours"], _ratio(found, "total"), _ratio(found, "decoder"))
            )
    notes = ("ours/this: median over the rounds of our time with a draft by this one's; below 1 ours is faster.",)
    return Table("Beside the peers", columns, tuple(lines), notes, texts=3)


def memory(report: Entry) -> Table:
    """Bytes of the model alone, and what the draft adds."""
    columns = ("of", "batch", "weights MB", "cache MB", "draft's weights MB", "draft's cache MB", "added")
    lines = []
    for name, rows in report["memory"].items():
        for row in rows or ():
            sizes = (row[key] / _MEGABYTE for key in ("weights", "cache", "draft_weights", "draft_cache"))
            shown = (f"{size:.1f}" for size in sizes)
            lines.append((name, str(row["batch"]), *shown, percent(row["added_share"])))
    return Table("Memory", columns, tuple(lines), texts=1)


def _measured(report: Entry) -> list[Entry]:
    return [row for row in report["rows"] if row["status"] == "measured"]


def _ratio(found: Entry, name: str) -> str:
    return "" if found.get(name) is None else f"{found[name]:.2f}"


def _label(row: Entry) -> tuple[str, str, str]:
    version = row["version"] or "not installed"
    what = "with the draft" if row["name"] == OURS and row["drafted"] else row["what"]
    return f"{row['name']} {version}", what, row["dtype"]


def _missing(report: Entry) -> tuple[str, ...]:
    """A sentence for each reason why a way has no figures."""
    batches: dict[str, list[str]] = {}
    for row in report["rows"]:
        if row["status"] != "measured":
            batches.setdefault(f"{row['name']}: {row['status']}: {row['reason']}", []).append(str(row["batch"]))
    return tuple(f"batch {', '.join(dict.fromkeys(at))}: {why}" for why, at in batches.items())
