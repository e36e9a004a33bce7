"""Speed-ups as a drawing."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from literatim.bench.runners import OURS
from literatim.bench.spec_report import heading

_COLOURS = {OURS: ("#c8472f", "#e39a5b", "#8a2a18"), "": ("#5f7f9b", "#93aabd", "#2f4a61")}


def draw(report: Mapping[str, Any], path: Path) -> None:
    """How many times as fast as plain decoding, by batch; a line for each program and dtype. Raises ImportError."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # fixed salt and no date: the same figures give the same file
    with mpl.rc_context({"svg.hashsalt": "literatim", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.5, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.axhline(1, color="#888888", linewidth=0.8, zorder=0)
        seen = {OURS: 0, "": 0}
        for (name, dtype, what), points in _lines(report).items():
            colours = _COLOURS[name if name == OURS else ""]
            colour = colours[seen[name if name == OURS else ""] % len(colours)]
            seen[name if name == OURS else ""] += 1
            label = f"{name} {dtype}" + ("" if name == OURS else f", {what}")
            axes.plot([at for at, _ in points], [up for _, up in points], "o-", color=colour, label=label)
            if name == OURS:
                for at, up in points:
                    away = 5 if seen[OURS] == 1 else -12  # the first line's figures above it, another's below
                    axes.annotate(f"{up:.2f}", (at, up), (0, away), textcoords="offset points", ha="center")
        batches = report["settings"]["batches"]
        axes.set_xscale("log", base=2)
        axes.set_xticks(batches, [str(batch) for batch in batches])
        axes.minorticks_off()
        axes.set_xlabel("windows decoded together")
        axes.set_ylabel("plain time / time with a draft")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.15)
        axes.legend(frameon=False)
        figure.suptitle("\n".join(textwrap.wrap(heading(report), 100)), fontsize=9)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _lines(report: Mapping[str, Any]) -> dict[tuple[str, str, str], list[tuple[int, float]]]:
    """Batches and speed-ups of every way that has a draft."""
    found: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for row in report["rows"]:
        if row["status"] == "measured" and row.get("speed_up"):
            key = (row["name"], row["dtype"], row["what"])
            found.setdefault(key, []).append((row["batch"], row["speed_up"]["total"]))
    return found
