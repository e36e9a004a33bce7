"""The power of `verify` as drawings: shares against the size of a fault, and every kind at every magnitude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from literatim.needs import need

_CAUGHT, _LOCATED = "#c8472f", "#5f7f9b"
_CELLS = {"located": "#3d7a5f", "caught": "#e3b35b", "missed": "#c8472f", "below": "#d8d8d8"}
_SAID = {
    "located": "caught and located",
    "caught": "caught, located elsewhere",
    "missed": "not caught",
    "below": "below the noise, not caught",
}
_STYLE = {"svg.hashsalt": "literatim", "svg.fonttype": "none", "font.size": 9}  # the same figures give the same file


def draw(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """`power.svg` and `kinds.svg`. Raises DependencyError."""
    mpl = need("matplotlib", "bench", "a drawing of the self-test")
    need("matplotlib.figure", "bench", "a drawing of the self-test")
    with mpl.rc_context(_STYLE):
        return [_power(report, folder / "power.svg"), _kinds(report, folder / "kinds.svg")]


def _power(report: Mapping[str, Any], path: Path) -> Path:
    from matplotlib.figure import Figure

    by_size = report["faults"]["by_size"]
    figure = Figure(figsize=(7.5, 2.9), layout="constrained")
    panels = figure.subplots(1, len(by_size), sharey=True, squeeze=False)[0]
    for axes, (dtype, bins) in zip(panels, by_size.items(), strict=True):
        for what, colour, shift in (("caught", _CAUGHT, -0.08), ("located", _LOCATED, 0.08)):
            shares = [item[what] for item in bins]
            middle = [found["share"] for found in shares]
            low = [found["share"] - found["low"] for found in shares]
            high = [found["high"] - found["share"] for found in shares]
            places = [at + shift for at in range(len(bins))]
            axes.errorbar(places, middle, (low, high), fmt="o-", color=colour, label=what, markersize=4, capsize=2)
        axes.set_xticks(range(len(bins)), [_bin(item) for item in bins], rotation=45)
        axes.set_title(dtype)
        axes.set_ylim(-0.04, 1.04)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("share of the faults")
    panels[0].legend(frameon=False)
    figure.supxlabel("size of the fault over the rounding errors of the operation that it strikes")
    figure.savefig(path, format="svg", metadata={"Date": None})
    return path


def _bin(item: Mapping[str, Any]) -> str:
    low, high = item["from"], item["to"]
    return f"> {low:g}" if high is None else f"\u2264 {high:g}"


def _kinds(report: Mapping[str, Any], path: Path) -> Path:
    from matplotlib.figure import Figure

    rows = report["faults"]["by_kind"]
    kinds, dtypes = list(dict.fromkeys(row["kind"] for row in rows)), list(report["faults"]["by_size"])
    figure = Figure(figsize=(7.5, 1.0 + 0.19 * len(kinds)), layout="constrained")
    panels = figure.subplots(1, len(dtypes), sharey=True, squeeze=False)[0]
    for axes, dtype in zip(panels, dtypes, strict=True):
        for height, kind in enumerate(kinds):
            _points(axes, height, [row for row in rows if row["kind"] == kind and row["dtype"] == dtype])
        axes.set_title(dtype)
        axes.set_xticks([])
        axes.set_ylim(len(kinds) - 0.4, -0.6)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    panels[0].set_yticks(range(len(kinds)), kinds)
    for state, colour in _CELLS.items():
        panels[0].scatter([], [], c=colour, marker="s", label=_SAID[state])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("each square a magnitude of a kind of fault, from small to large", fontsize=9)
    figure.savefig(path, format="svg", metadata={"Date": None})
    return path


def _points(axes: Any, height: int, rows: Sequence[Mapping[str, Any]]) -> None:
    for at, row in enumerate(_ordered(rows)):
        axes.scatter([at], [height], c=_CELLS[_state(row)], marker="s", s=36)


def _ordered(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """From small effects to large ones: of bits, fewer are worse; of periods, the shorter are."""
    return sorted(rows, key=lambda row: (row["ratio"] is None, row["ratio"] or 0.0))


def _state(row: Mapping[str, Any]) -> str:
    """Of a kind at a magnitude: the worst of what happened to its runs above the noise."""
    caught, located = row["caught"], row["located"]
    if located["hits"] == located["n"]:
        return "located"
    if caught["hits"] == caught["n"]:
        return "caught"
    return "missed" if row["above_the_noise"] else "below"
