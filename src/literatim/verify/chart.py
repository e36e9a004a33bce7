"""Error by depth as a drawing: each place of the network in the order of the work, on a logarithmic scale.

Inline SVG without a script; the colours are those of the page that it stands in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from operator import itemgetter

from literatim.verify.grades import BF16, FP16, FP32, ROUNDOFF, TF32
from literatim.verify.types import PASS, Deviation, ModuleFigures

_LEFT, _RIGHT, _TOP, _BOTTOM, _HEIGHT = 44, 92, 22, 22, 300
_WIDTH, _STEP = 900, 7  # as wide as the page, or wider where the places would come closer than this
_LABEL = 60  # what the name of a layer needs
_SMALLEST, _LARGEST = -9, 1  # powers of ten; what lies beyond is drawn at the edge
_LINES = {FP32: FP32, TF32: f"{TF32}, {FP16}", BF16: BF16}
_BLOCK = re.compile(r"^(encoder|decoder)\.layers\.(\d+)\.")


def chart(modules: Sequence[ModuleFigures]) -> str:
    """An <svg> element: points are each place's own error, lines the error in the run left to itself and the noise.

    Results that have to be exact are drawn only where they are not.
    """
    drawn = [place for place in modules if place.own.differing is None or not _exact(place)]
    step = max(_STEP, (_WIDTH - _LEFT - _RIGHT) / max(len(drawn), 1))
    width = round(_LEFT + _RIGHT + step * len(drawn))
    size = f'viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}"'
    parts = [
        f'<svg role="img" aria-label="error by depth" {size}>',
        *_scale(width),
        *_blocks(drawn, step),
        *_line([place.own.floor for place in drawn], "floor", step),
        *_line([place.through.error for place in drawn], "through", step),
        *_points(drawn, step),
        "</svg>",
    ]
    return "\n".join(parts)


def _exact(place: ModuleFigures) -> bool:
    return not (place.own.differing or place.through.differing)


def _x(at: int, step: float) -> float:
    return round(_LEFT + step * (at + 0.5), 1)


def _y(size: float) -> float:
    power = _SMALLEST if size <= 0 else _LARGEST if math.isinf(size) else math.log10(size)
    share = (min(max(power, _SMALLEST), _LARGEST) - _SMALLEST) / (_LARGEST - _SMALLEST)
    return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def _scale(width: int) -> Iterator[str]:
    """Powers of ten on the left, the unit roundoff of each format on the right."""
    end = width - _RIGHT
    for power in range(_SMALLEST, _LARGEST, 2):
        y = _y(10.0**power)
        yield f'<line class="grid" x1="{_LEFT}" x2="{end}" y1="{y}" y2="{y}"/>'
        yield f'<text class="end" x="{_LEFT - 6}" y="{y + 4}">1e{power}</text>'
    for name, label in _LINES.items():
        y = _y(ROUNDOFF[name])
        yield f'<line class="unit" x1="{_LEFT}" x2="{end}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{end + 5}" y="{y + 4}">{label}</text>'


def _blocks(drawn: Sequence[ModuleFigures], step: float) -> Iterator[str]:
    """A line where a layer begins, and its name where there is room for it."""
    found = [_BLOCK.match(place.name) for place in drawn]
    begun = [(at, f"{match[1]} {match[2]}") for at, match in enumerate(found) if match]
    for layer, run in groupby(begun, key=itemgetter(1)):
        places = [at for at, _ in run]
        x = round(_LEFT + step * places[0], 1)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        if len(places) * step >= _LABEL:
            yield f'<text x="{x + 3}" y="{_HEIGHT - 7}">{layer}</text>'


def _line(sizes: Sequence[float], kind: str, step: float) -> Iterator[str]:
    """Through all but the exact ones, which a logarithm has no place for."""
    points = " ".join(f"{_x(at, step)},{_y(size)}" for at, size in enumerate(sizes) if size > 0)
    yield f'<polyline class="{kind}" points="{points}"/>'


def _points(drawn: Sequence[ModuleFigures], step: float) -> Iterator[str]:
    """A dot, a larger one where it is not as it should be, a cross at the top where values are lost."""
    for at, place in enumerate(drawn):
        own, x = place.own, _x(at, step)
        label = f"<title>{escape(place.name)}: {_said(own)}, {place.grade}</title>"
        if own.not_finite or own.differing:
            y = _y(math.inf)
            cross = f"M{x - 4} {y - 4}L{x + 4} {y + 4}M{x + 4} {y - 4}L{x - 4} {y + 4}"
            yield f'<path class="lost" d="{cross}">{label}</path>'
        else:
            size = 2.2 if place.status == PASS else 4
            yield f'<circle class="{place.status}" cx="{x}" cy="{_y(own.error)}" r="{size}">{label}</circle>'


def _said(own: Deviation) -> str:
    if own.not_finite or own.differing:
        return f"{own.not_finite or own.differing} values wrong"
    return f"{own.error:.1e}, CPU {own.floor:.1e}"
