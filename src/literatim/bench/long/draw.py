"""Long recordings as a drawing."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from literatim.bench.long.report import heading, label, measured
from literatim.bench.runners import OURS

_OURS, _PEER = "#c8472f", "#5f7f9b"


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Seconds of work an hour of sound as bars, and the word error rate where there is one. Raises ImportError."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    bars = sorted(measured(report), key=lambda row: float(row["rtf"]), reverse=True)
    # fixed salt and no date: the same figures give the same file
    with mpl.rc_context({"svg.hashsalt": "literatim", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.5, 1.2 + 0.26 * len(bars)), layout="constrained")
        axes = figure.subplots()
        colours = [_OURS if row["name"] == OURS else _PEER for row in bars]
        names = [" ".join(label(row)) for row in bars]
        drawn = axes.barh(names, [3600 * row["rtf"] for row in bars], color=colours)
        axes.bar_label(drawn, [_said(row) for row in bars])
        axes.set_xlabel("seconds of work an hour of sound")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.35)
        figure.suptitle("\n".join(textwrap.wrap(heading(report), 90)), fontsize=9)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _said(row: Mapping[str, Any]) -> str:
    seconds = f" {3600 * row['rtf']:.0f}"
    return f"{seconds} (WER {100 * row['words']['wer']:.1f} %)" if "words" in row else seconds
