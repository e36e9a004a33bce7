"""Turns of speakers as a drawing: a line for each speaker, along the time of the recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from literatim.types import Turn

COLOURS = ("#c8472f", "#2f6f9f", "#4f8f4f", "#8f5fa8", "#b8862b", "#3f8f8f", "#7f7f7f", "#a84f78")
WIDTH = 9.0  # inches


def draw(rows: Sequence[tuple[str, Sequence[Turn]]], duration: float, path: Path, title: str = "") -> None:
    """Rows of turns, each with a name (`reference`, `found`), as an SVG. Raises ImportError and OSError."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    lines = [(name, speaker) for name, turns in rows for speaker in _speakers(turns)]
    # fixed salt and no date: the same turns give the same file
    with mpl.rc_context({"svg.hashsalt": "literatim", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.32 * max(1, len(lines))), layout="constrained")
        axes = figure.subplots()
        for name, turns in rows:
            for number, speaker in enumerate(_speakers(turns)):
                spans = [(turn.start, turn.end - turn.start) for turn in turns if turn.speaker == speaker]
                at = lines.index((name, speaker))
                axes.broken_barh(spans, (at - 0.36, 0.72), facecolors=COLOURS[number % len(COLOURS)])
        axes.set_yticks(range(len(lines)), [f"{name} {speaker}".strip() for name, speaker in lines])
        axes.set_ylim(len(lines) - 0.4, -0.6)
        _times(axes, duration)
        if title:
            axes.set_title(title, fontsize=9, loc="left")
        figure.savefig(path, format="svg", metadata={"Date": None})


def _speakers(turns: Sequence[Turn]) -> list[str]:
    return list(dict.fromkeys(turn.speaker for turn in turns))


def _times(axes: Any, duration: float) -> None:
    """The axis of time in minutes and seconds."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(0, max(duration, 1e-3))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _: f"{int(time // 60)}:{time % 60:02.0f}"))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
