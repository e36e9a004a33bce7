"""Tables of a report, and its file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Table:
    """A title, the names of the columns (text first, numbers after), rows of text, and notes below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    texts: int = 1  # how many columns from the left hold text

    def plain(self) -> str:
        """Without any package."""
        widths = [max(len(row[at]) for row in (self.columns, *self.rows)) for at in range(len(self.columns))]
        lines = [self.title, self._line(self.columns, widths), "  ".join("-" * width for width in widths)]
        return "\n".join([*lines, *(self._line(row, widths) for row in self.rows), *self.notes])

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = [
            text.ljust(width) if at < self.texts else text.rjust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()


def save(report: dict[str, Any], path: Path) -> None:
    """Write the report as JSON; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def percent(share: float | None) -> str:
    """With two digits; nothing where there is no share."""
    return "" if share is None else f"{100 * share:.2f} %"
