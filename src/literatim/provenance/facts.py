"""What a result was made with, as a part of an HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = """
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .2rem 1rem; font-size: .875rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
"""


def facts(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    """A heading and a list of names and values; it needs STYLE and the colour `--quiet`."""
    yield f"<h2>{escape(title)}</h2>\n<dl>"
    for name, value in values.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(_shown(value))}</dd>"
    yield "</dl>"


def _shown(value: Any) -> str:
    """Nested values in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return "not known" if value is None else str(value)
