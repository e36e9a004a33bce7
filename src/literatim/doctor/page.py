"""The findings as a page: sections, one line each, and the problems again at the end, with what mends them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from itertools import groupby

from literatim.doctor.findings import FAIL, INFO, WARN, Finding

_TITLES = {
    "python": "Python and packages",
    "machine": "Machine",
    "models": "Models",
    "warnings": "Warnings that were seen",
    "other devices": "Other devices",
}
_MARK, _NAME = 6, 16  # columns of the mark and of the name
_NARROWEST, _WIDEST = 60, 120

Paint = Callable[[str, str], str]


def plain(text: str, _state: str) -> str:
    """No colour."""
    return text


def page(found: Iterable[Finding], title: str, width: int, paint: Paint = plain) -> str:
    """The whole page; `paint(text, state)` colours a mark or, with the state `title`, a heading."""
    width = max(_NARROWEST, min(_WIDEST, width))
    listed = list(found)
    lines = [paint(title, "title")]
    for section, group in groupby(listed, key=lambda finding: finding.section):
        lines += ["", paint(_TITLES.get(section, f"Device {section}"), "title")]
        lines += [line for finding in group for line in _lines(finding, width, paint)]
    return "\n".join([*lines, "", *_verdict(listed, width, paint)]) + "\n"


def _lines(finding: Finding, width: int, paint: Paint) -> list[str]:
    mark = paint(f"{finding.state:<{_MARK}}", finding.state)
    told = f"{finding.text} -> {finding.mend}" if finding.state == INFO and finding.mend else finding.text
    body = _wrapped(told, width - _MARK - _NAME - 2)
    first = f"  {mark}{finding.name:<{_NAME}}{body[0]}"
    return [first, *(f"{'':<{_MARK + _NAME + 2}}{line}" for line in body[1:])]


def _verdict(found: list[Finding], width: int, paint: Paint) -> list[str]:
    """How it stands, and each problem with its mend; what does not work comes before what could be better."""
    failed = [finding for finding in found if finding.state == FAIL]
    doubtful = [finding for finding in found if finding.state == WARN]
    if not failed and not doubtful:
        return [paint("All that is needed works.", "ok")]
    lines = [paint(_counted(len(failed), len(doubtful)), "title")]
    for number, finding in enumerate([*failed, *doubtful], 1):
        head = f"{number:>3}. {finding.state}: {finding.section}, {finding.name}: {finding.text}"
        lines += _wrapped(head, width, "     ")
        if finding.mend:
            lines += _wrapped(f"     -> {finding.mend}", width, "        ")
    return lines


def _counted(failed: int, doubtful: int) -> str:
    if not failed:
        return f"All that is needed works; {doubtful} thing{'s' if doubtful > 1 else ''} could be better:"
    more = f", and {doubtful} could be better" if doubtful else ""
    return f"{failed} thing{'s do' if failed > 1 else ' does'} not work{more}:"


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Long paths and commands stay whole, so that they can be copied."""
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    ) or [""]
