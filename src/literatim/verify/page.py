"""A report as one HTML page that needs nothing else: verdict, drawing, tables, tokens, what it was made with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from literatim.provenance import facts
from literatim.verify.chart import chart
from literatim.verify.grades import BROKEN, GRADES, acceptable
from literatim.verify.page_style import STYLE
from literatim.verify.page_tables import figures, row, table
from literatim.verify.page_tokens import tokens
from literatim.verify.types import FAIL, PASS, WARN, Call, Deviation, ModuleFigures, Report, Suspect

_SAID = {PASS: "as it should be", WARN: "as it should be, with remarks", FAIL: "not as it should be"}
_PLACES = ("place", "operation", "calls", "own error", "CPU's", "ratio", "left to itself", "grade", "expected", "")
_LEGEND = (
    ("pass", "own error of a place, given the reference's inputs"),
    ("warn", "the same, with a remark"),
    ("fail", "the same, beyond what is expected"),
    ("through", "error when the device is left to itself"),
    ("floor", "the CPU's own error in this dtype"),
)


def page(report: Report, remarks: Sequence[str] = ()) -> str:
    """The whole page; `remarks` are further sentences below the verdict's reasons."""
    title = escape(f"{report.model} on {report.device}, {report.dtype}")
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Verify: {title}</title>\n<style>{STYLE}{facts.STYLE}</style>\n</head>\n<body>",
        f"<h1>{title}</h1>",
        *_verdict(report, remarks),
        *_suspects(report.verdict.suspects),
        *_zoom(report.zoom),
        *_depth(report.modules),
        *figures(report.end_to_end),
        *tokens((*report.end_to_end, *report.drafted)),
        *_places(report.modules),
        *facts.facts("Reference", report.reference),
        *facts.facts("Settings", report.settings),
        *facts.facts("Environment", report.environment),
    ]
    return "\n".join([*parts, "</body>\n</html>\n"])


def _verdict(report: Report, remarks: Sequence[str]) -> Iterator[str]:
    status = report.verdict.status
    made = escape(str(report.environment.get("date", "")))
    yield f'<p class="verdict {status}"><b>{status}</b> {_SAID[status]}</p>'
    told = {_told(suspect) for suspect in report.verdict.suspects}
    for sentence in (reason for reason in report.verdict.reasons if reason not in told):
        yield f'<p class="reason">{escape(sentence)}</p>'
    if report.modules:
        yield f'<p class="reason">{_grades(report.modules)}</p>'
    for sentence in remarks:
        yield f'<p class="note">{escape(sentence)}</p>'
    yield f'<p class="note">Made by <code>literatim verify</code>{f", {made}" if made else ""}.</p>'


def _grades(modules: Sequence[ModuleFigures]) -> str:
    """How many places have an error of which size, and whether that is what was expected."""
    found = Counter((place.grade, acceptable(place.grade, place.expected)) for place in modules)
    ordered = sorted(found, key=lambda kind: GRADES.index(kind[0]))
    parts = [f"{found[kind]} {_named(kind[0])}{'' if kind[1] else ', which is not expected'}" for kind in ordered]
    return f"Places of the network: {'; '.join(parts)}."


def _named(grade: str) -> str:
    return grade if grade == BROKEN else f"{grade}-grade"


def _suspects(suspects: Sequence[Suspect]) -> Iterator[str]:
    if not suspects:
        return
    yield "<h2>Where to look</h2>\n<ol>"
    for one in suspects:
        yield f"<li><code>{escape(one.module)}</code> {escape(one.evidence)}</li>"
    yield "</ol>"


def _told(suspect: Suspect) -> str:
    """The reason that is the suspect over again."""
    return f"{suspect.module}: {suspect.evidence}"


def _zoom(calls: Sequence[Call]) -> Iterator[str]:
    if not calls:
        return
    yield f"<h2>Inside <code>{escape(calls[0].module)}</code></h2>"
    columns = ("call", "operation", "when", "shape", "error", "CPU's", "ratio")
    yield from table(columns, (_call(call) for call in calls), texts=4)


def _call(call: Call) -> str:
    own = call.deviation
    shape = " x ".join(map(str, call.shape))
    values = (
        f"{call.index}",
        call.op,
        call.stage,
        f"{shape} {call.dtype}",
        _error(own),
        _size(own.floor),
        _ratio(own.ratio),
    )
    return row(values, texts=4)


def _depth(modules: Sequence[ModuleFigures]) -> Iterator[str]:
    if not modules:
        return
    legend = "".join(f'<span><i class="{kind}"></i>{what}</span> ' for kind, what in _LEGEND)
    yield f'<h2>Error by depth</h2>\n<figure><div class="wide">{chart(modules)}</div>'
    yield (
        f'<figcaption class="legend">{legend}</figcaption><figcaption>Relative root mean square, place by place in the '
        "order of the work; dashed, what each format rounds by. The same figures are in the table below.</figcaption>"
        "</figure>"
    )


def _places(modules: Sequence[ModuleFigures]) -> Iterator[str]:
    """Those that are not as expected, and all of them below."""
    if not modules:
        return
    odd = [place for place in modules if place.status != PASS]
    yield "<h2>Places of the network</h2>"
    if odd:
        yield from table(_PLACES, map(_place, odd), texts=2)
    yield f"<details{'' if odd else ' open'}><summary>All {len(modules)} places</summary>"
    yield from table(_PLACES, map(_place, modules), texts=2)
    yield "</details>"


def _place(place: ModuleFigures) -> str:
    calls = f"{place.bad_calls} of {place.calls}" if place.bad_calls else f"{place.calls}"
    numbers = (_error(place.own), _size(place.own.floor), _ratio(place.ratio), _error(place.through))
    values = (place.name, place.op, calls, *numbers, place.grade, place.expected, place.status)
    return row(values, texts=2, kind=place.status)


def _error(found: Deviation) -> str:
    if found.not_finite:
        return f"{found.not_finite} not finite"
    if found.differing is not None:
        return f"{found.differing} wrong" if found.differing else "exact"
    return _size(found.error)


def _size(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"


def _ratio(value: float) -> str:
    return "∞" if math.isinf(value) else _short(value)


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.3g}" if value < 1e4 else f"{value:.1e}"
