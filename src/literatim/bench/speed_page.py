"""Speed as one HTML page that needs nothing else: tables, drawing, environment. Written by hand, without a script."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from literatim.bench.speed_report import heading, tables
from literatim.bench.table import Table
from literatim.provenance.facts import STYLE, facts

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c1c1c; --quiet: #5a5a5a; --line: #d8d8d8; --ours: #fbeee9; }
@media (prefers-color-scheme: dark) {
  :root { --back: #161616; --text: #ececec; --quiet: #a8a8a8; --line: #3c3c3c; --ours: #3a231c; }
}
body { margin: 0 auto; padding: 1rem; max-width: 75rem; background: var(--back); color: var(--text);
  font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.1rem; margin-top: 2rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { vertical-align: bottom; }
.t { text-align: left; white-space: normal; }
tr.ours, tr.ours td { background: var(--ours); }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--back); min-width: 6.5rem; }
@media (max-width: 45rem) { th, td { padding: .25rem .4rem; white-space: normal; } td:not(.t) { white-space: nowrap; } }
p.note, figcaption { color: var(--quiet); font-size: .875rem; max-width: 60rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure svg { width: 100%; max-width: 46rem; height: auto; }
figure svg text { fill: var(--text) !important; }
figure svg [style*="fill: #ffffff"] { fill: none !important; }
figure svg [style*="stroke: #000000"] { stroke: var(--text) !important; }
"""


def page(report: Mapping[str, Any], svg: str | None) -> str:
    """The whole page; `svg` is the drawing's file, which is set into it."""
    title = escape(heading(report))
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Speed: {title}</title>\n<style>{_STYLE}{STYLE}</style>\n</head>\n<body>",
        f"<h1>Speed: {title}</h1>",
        f'<p class="note">Made by <code>literatim bench speed</code>, {escape(report["environment"]["date"])}.</p>',
        *_figure(svg, title),
    ]
    for table in tables(report):
        parts += _table(table)
    parts += facts("Settings", report["settings"])
    parts += facts("Environment", report["environment"])
    return "\n".join([*parts, "</body>\n</html>\n"])


def _figure(svg: str | None, title: str) -> Iterator[str]:
    if svg is None:
        return
    drawing = svg[svg.index("<svg") :]  # an XML declaration and a document type have no place inside a page
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    named = drawing.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
    yield f"<figure>{named}<figcaption>Milliseconds a window; the same figures are below.</figcaption></figure>"


def _table(table: Table) -> Iterator[str]:
    yield f'<h2>{escape(table.title)}</h2>\n<div class="wide">\n<table>'
    yield f"<thead><tr>{_cells(table.columns, table.texts, 'th')}</tr></thead>\n<tbody>"
    for row in table.rows:
        mark = ' class="ours"' if row[0].startswith("literatim") else ""
        yield f"<tr{mark}>{_cells(row, table.texts, 'td')}</tr>"
    yield "</tbody>\n</table>\n</div>"
    for note in table.notes:
        yield f'<p class="note">{_linked(note)}</p>'


def _cells(values: tuple[str, ...], texts: int, tag: str) -> str:
    scope = ' scope="col"' if tag == "th" else ""
    kinds = [' class="t"' if at < texts else "" for at in range(len(values))]
    return "".join(f"<{tag}{scope}{kind}>{escape(value)}</{tag}>" for kind, value in zip(kinds, values, strict=True))


def _linked(note: str) -> str:
    """The note with its address, if it ends in one, as a link."""
    found = re.fullmatch(r"(.*?)(https://[^\s\"'<>]+)", note, re.DOTALL)
    if found is None:
        return escape(note)
    return f'{escape(found[1])}<a href="{escape(found[2])}">{escape(found[2])}</a>'
