"""Speed as tables: latency, throughput, start and memory, our stages, and what is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from literatim.bench.runners import OURS
from literatim.bench.table import Table, percent

Entry = Mapping[str, Any]
_HEAD = ("runner", "setting", "dtype")
_MEGABYTE = 1e6
LATENCY_NOTES = (
    "latency: ms from the features of a batch to all its tokens, encoder included; median, p90 and so on over the "
    "rounds. encoder: alone. ms/token: (latency - encoder) / tokens of a window, median.",
    "ours/this: median over the rounds of our latency by this runner's in the same round; below 1 ours is faster. "
    "same tokens: as ours in float32.",
)
THROUGHPUT_NOTES = (
    "windows/s, tokens/s, RTFx (seconds of sound by seconds of work) and RTF (its inverse) stand on the mean latency; "
    "features are in none of them.",
)
START_NOTES = (
    "cold start: from the process's start to the loaded model, imports included, files cached by the system; load: "
    "loading alone; first run: the first of a batch in that process; warm: median of the timed runs.",
    "MB are 10^6 bytes; host: memory of the process (after loading; after the batch; its peak in this batch); device: "
    "by torch's counters, empty where they see nothing. shapes: distinct shapes of encoder and decoder calls in a run.",
)


def tables(report: Entry) -> list[Table]:
    """All of them; what was not measured is in the notes of the first, with its reason."""
    found = [latency(report), throughput(report), start(report), stages(report), published(report)]
    return [table for table in found if table.rows or table is found[0]]


def heading(report: Entry) -> str:
    """Model, tokens a request, window, threads and machine: what every figure is of."""
    settings = report["settings"]
    place = report["environment"].get("device_name") or report["environment"]["cpu"]
    threads = f"{settings['threads']} thread{'s' if settings['threads'] > 1 else ''}"
    draft = f" with {report['assistant']}" if report.get("assistant") else ""
    return (
        f"{report['model']}{draft} ({report['weights']} weights), {settings['tokens']} tokens of a "
        f"{settings['window_seconds']:g} s window, {threads}, {place}"
    )


def latency(report: Entry) -> Table:
    """A line for each runner, setting, dtype and batch."""
    names = ("mean", "median", "std", "p90", "p95", "p99")
    columns = (*_HEAD, "batch", *names, "encoder", "ms/token", "ours/this", "same tokens")

    def figures(row: Entry) -> tuple[str, ...]:
        shown = [f"{row['latency_ms'][name]:.1f}" for name in names]
        ratio = row.get("ours_to_this", {}).get("total")
        beside = ("" if ratio is None else f"{ratio:.2f}", percent(row["same_tokens"]))
        return (*shown, f"{row['encoder_ms']:.1f}", f"{row['token_ms']:.2f}", *beside)

    notes = (*_missing(report["rows"]), *LATENCY_NOTES)
    return Table(f"Latency in ms: {heading(report)}", columns, _lines(report, figures), notes, texts=3)


def throughput(report: Entry) -> Table:
    """What a second of work does, and the word error rate beside it."""
    columns = (*_HEAD, "batch", "windows/s", "RTF", "RTFx", "tokens/s", "WER")

    def figures(row: Entry) -> tuple[str, ...]:
        numbers = (f"{row['samples_per_s']:.3g}", f"{row['rtf']:.3g}", f"{row['rtfx']:.1f}")
        return (*numbers, f"{row['tokens_per_s']:.1f}", _rate(row["wer"]))

    reasons = [row["wer"]["reason"] for row in _measured(report) if row["wer"] and row["wer"]["reason"]]
    tokens = f"{report['settings']['tokens']} tokens a request"
    notes = (*THROUGHPUT_NOTES, *dict.fromkeys(reasons))
    return Table(f"Throughput, {tokens}", columns, _lines(report, figures), notes, texts=3)


def _rate(found: Entry | None) -> str:
    return "" if found is None else percent(found["wer"]) or "no WER"


def start(report: Entry) -> Table:
    """How long until the first tokens, how many shapes, and how much memory."""
    memory = ("host loaded", "host", "host peak", "device", "device peak")
    columns = (*_HEAD, "batch", "cold start", "load", "first run", "warm", "shapes", *(f"{name} MB" for name in memory))

    def figures(row: Entry) -> tuple[str, ...]:
        times = [f"{row['start'][name]:.0f}" for name in ("cold_ms", "load_ms", "first_run_ms")]
        held, loaded = row["memory"], row["memory"].get("loaded", {})
        host, device = held.get("host", {}), held.get("device", {})
        sizes = [loaded.get("host", {}).get("allocated"), host.get("allocated"), host.get("peak")]
        sizes += [device.get("allocated"), device.get("peak")]
        shapes = "" if row["shapes"] is None else str(row["shapes"]["total"])
        return (*times, f"{row['latency_ms']['median']:.0f}", shapes, *map(_megabytes, sizes))

    return Table("Start in ms, and memory", columns, _lines(report, figures), START_NOTES, texts=3)


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / _MEGABYTE:.0f}"


def stages(report: Entry) -> Table:
    """Where our time goes."""
    names = ("decode", "features", "encoder", "decoder", "post")
    columns = (*_HEAD, "batch", *names)

    def figures(row: Entry) -> tuple[str, ...]:
        return tuple("" if row["stages_ms"].get(name) is None else f"{row['stages_ms'][name]:.1f}" for name in names)

    notes = (
        "decode: reading the sound of the batch, as its share of the recording; encoder: with the keys and values made "
        "of its states; post: tokens to text. The latency is encoder + decoder.",
    )
    lines = _lines(report, figures, lambda row: row["stages_ms"] is not None)
    return Table("Stages in ms", columns, lines, notes, texts=3)


def published(report: Entry) -> Table:
    """The figures of a published table, each with ours of the same dtype and batch after it; empty without a preset."""
    figures = ("latency ms", "samples/s", "RTFx", "MB")
    head = ("published by", "device", "setting", "dtype", "batch")
    columns = (*head, *(name for figure in figures for name in (figure, "ours")))
    ours = {(row["dtype"], row["batch"]): row for row in _measured(report) if row["name"] == OURS}
    lines = []
    for item in report["published"]:
        mine = ours.get((item["dtype"], item["batch"]), {})
        pairs: list[tuple[float | None, float | None]] = [
            (item["latency_ms"], mine.get("latency_ms", {}).get("mean")),
            (item["samples_per_s"], mine.get("samples_per_s")),
            (item["rtfx"], mine.get("rtfx")),
            (item["memory_mb"], _our_memory(mine, item["memory"])),
        ]
        numbers = [f"{value:.4g}" if value is not None else "" for pair in pairs for value in pair]
        texts = (item["system"], item["device"], item["setting"] or "", item["dtype"])
        lines.append((*texts, str(item["batch"]), *numbers))
    sources = dict.fromkeys(item["source"] for item in report["published"])
    kinds = dict.fromkeys(item["memory"] for item in report["published"] if item["memory"])
    note = report["published_note"]
    notes = (*([note] if note else []), *(f"memory: {kind}" for kind in kinds), *(f"source: {at}" for at in sources))
    return Table("Published figures, from other machines", columns, tuple(lines), notes, texts=4)


def _our_memory(row: Entry, kind: str | None) -> float | None:
    """Ours of the kind that is published: the device's, else the host's peak."""
    place, which = ("device", "allocated") if kind == "device" else ("host", "peak")
    size = row.get("memory", {}).get(place, {}).get(which)
    return None if size is None else float(size) / _MEGABYTE


def _measured(report: Entry) -> list[Entry]:
    return [row for row in report["rows"] if row["status"] == "measured"]


def _lines(
    report: Entry, figures: Callable[[Entry], tuple[str, ...]], wanted: Callable[[Entry], bool] = lambda _: True
) -> tuple[tuple[str, ...], ...]:
    """The rows that were measured: what they are, then their figures."""
    rows = [row for row in _measured(report) if wanted(row)]
    return tuple((_label(row), _setting(row), row["dtype"], str(row["batch"]), *figures(row)) for row in rows)


def _setting(row: Entry) -> str:
    return f"{row['setting']}: {row['what']}"


def _label(row: Entry) -> str:
    """The runner with its version, and the package the version is of where that has another name."""
    version = row["version"] or "not installed"
    return (
        f"{row['name']} {version}" if row["package"] == row["name"] else f"{row['name']} ({row['package']} {version})"
    )


def _missing(rows: list[Entry]) -> tuple[str, ...]:
    """A sentence for each reason why a runner has no figures."""
    batches: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["status"] != "measured":
            key = (f"{row['name']} {row['dtype']} ({_setting(row)})", f"{row['status']}: {row['reason']}")
            batches.setdefault(key, []).append(str(row["batch"]))
    return tuple(f"{name}, batch {' and '.join(at)}: {why}" for (name, why), at in batches.items())
