"""Speed as a drawing."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from literatim.bench.runners import OURS
from literatim.bench.speed_report import heading

_OURS, _PEER = "#c8472f", "#5f7f9b"


def draw(report: Mapping[str, Any], path: Path) -> None:
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
        figure.suptitle("\n".join(textwrap.wrap(heading(report), 90)), fontsize=9)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _bars(report: Mapping[str, Any], batch: int) -> list[dict[str, Any]]:
    rows = [row for row in report["rows"] if row["batch"] == batch and row["status"] == "measured"]
    return sorted(rows, key=lambda row: float(row["window_ms"]), reverse=True)


def _panel(axes: Any, batch: int, bars: list[dict[str, Any]]) -> None:
    labels = [_name(bar) for bar in bars]
    colours = [_OURS if bar["name"] == OURS else _PEER for bar in bars]
    encoder = [bar["encoder_ms"] / batch for bar in bars]
    rest = [max(0.0, bar["window_ms"] - part) for bar, part in zip(bars, encoder, strict=True)]
    axes.barh(labels, encoder, color=colours, alpha=0.5)
    drawn = axes.barh(labels, rest, left=encoder, color=colours)
    axes.bar_label(drawn, [f" {bar['window_ms']:.0f}" for bar in bars])
    axes.set_xlabel(f"ms a window at batch {batch} (pale: encoder)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.1)


def _name(bar: Mapping[str, Any]) -> str:
    """Runner and dtype, with the setting of those that have more than one."""
    setting = "" if bar["setting"] == "default" and bar["what"] == "greedy" else f", {bar['what'].split(',')[0]}"
    return f"{bar['name']} {bar['dtype']}" + ("" if bar["name"] in {OURS, "transformers"} else setting)
