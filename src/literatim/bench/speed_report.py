"""Speed as a table and a drawing."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from literatim.bench.table import Table, percent

_OURS, _PEER = "#b5382a", "#5b7083"


def speed_table(report: dict[str, Any]) -> Table:
    """A line for each runner, dtype and batch; what was not measured is in the notes with its reason."""
    settings, rows = report["settings"], []
    for row in report["rows"]:
        if row["status"] == "measured":
            ratio = row.get("ours_to_this")
            figures = (f"{row['encoder_ms']:.1f}", f"{row['token_ms']:.2f}", f"{row['window_ms']:.1f}")
            shown = "" if ratio is None else f"{ratio['total']:.2f}"
            same = percent(row["same_tokens"])
            rows.append((_label(row), row["dtype"], str(row["batch"]), *figures, shown, same))
    columns = ("runner", "dtype", "batch", "encoder ms", "ms/token", "ms/window", "ours/this", "same tokens")
    title = (
        f"{report['shape']} ({report['weights']} weights), {settings['tokens']} tokens of a "
        f"{settings['window_seconds']:g} s window, {settings['threads']} threads, {report['environment']['cpu']}"
    )
    return Table(title, columns, tuple(rows), _missing(report["rows"]), texts=2)


def _label(row: dict[str, Any]) -> str:
    """The runner with its version, and the package the version is of where that has another name."""
    version = row["version"] or "not installed"
    return (
        f"{row['name']} {version}" if row["package"] == row["name"] else f"{row['name']} ({row['package']} {version})"
    )


def _missing(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """A sentence for each reason why a runner has no figures."""
    batches: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["status"] != "measured":
            key = (f"{row['name']} {row['dtype']}", f"{row['status']}: {row['reason']}")
            batches.setdefault(key, []).append(str(row["batch"]))
    return tuple(f"{name}, batch {' and '.join(at)}: {why}" for (name, why), at in batches.items())


def draw(report: dict[str, Any], path: Path) -> None:
    """Milliseconds a window as bars, the encoder's part pale, one panel a batch. Raises ImportError."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    batches = {batch: _bars(report, batch) for batch in report["settings"]["batches"]}
    batches = {batch: bars for batch, bars in batches.items() if bars}
    heights = [len(bars) + 1.2 for bars in batches.values()]
    # fixed salt and no date: the same figures give the same file
    with mpl.rc_context({"svg.hashsalt": "literatim", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.5, 0.9 + 0.26 * sum(heights)), layout="constrained")
        panels = figure.subplots(max(len(batches), 1), 1, squeeze=False, height_ratios=heights or None)[:, 0]
        for axes, (batch, bars) in zip(panels, batches.items(), strict=False):
            _panel(axes, batch, bars)
        figure.suptitle("\n".join(textwrap.wrap(speed_table(report).title, 90)), fontsize=9)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _bars(report: dict[str, Any], batch: int) -> list[dict[str, Any]]:
    rows = [row for row in report["rows"] if row["batch"] == batch and row["status"] == "measured"]
    return sorted(rows, key=lambda row: float(row["window_ms"]), reverse=True)


def _panel(axes: Any, batch: int, bars: list[dict[str, Any]]) -> None:
    labels = [f"{bar['name']} {bar['dtype']}" for bar in bars]
    colours = [_OURS if bar["name"] == "literatim" else _PEER for bar in bars]
    encoder = [bar["encoder_ms"] / batch for bar in bars]
    rest = [bar["window_ms"] - part for bar, part in zip(bars, encoder, strict=True)]
    axes.barh(labels, encoder, color=colours, alpha=0.5)
    drawn = axes.barh(labels, rest, left=encoder, color=colours)
    axes.bar_label(drawn, [f" {bar['window_ms']:.0f}" for bar in bars])
    axes.set_xlabel(f"ms a window at batch {batch} (pale: encoder)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.1)
