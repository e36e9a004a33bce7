"""Scores of trials as a drawing: how often each occurs among pairs of one speaker and of two, with the threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_COLOURS = {"one speaker": "#c8472f", "two speakers": "#5f7f9b"}


def draw(scores: NDArray[np.float64], same: NDArray[np.bool_], threshold: float | None, title: str, path: Path) -> None:
    """Two histograms, each of area 1, and a line at the threshold; the path's suffix is the format."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "literatim", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.5, 3.6), layout="constrained")
        axes = figure.subplots()
        bins = np.histogram_bin_edges(scores, bins=60).tolist()
        for (name, colour), kind in zip(_COLOURS.items(), (same, ~same), strict=True):
            if kind.any():
                label = f"{name}, {int(kind.sum()):,} pairs"
                axes.hist(scores[kind], bins=bins, density=True, color=colour, alpha=0.6, label=label)
        if threshold is not None:
            axes.axvline(threshold, color="#333333", linewidth=1, linestyle="--", label=f"threshold {threshold:.3f}")
        axes.set_xlabel("score")
        axes.set_ylabel("density")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.suptitle(title, fontsize=9)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
