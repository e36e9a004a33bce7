"""Results kept as they come, so that a run that was interrupted goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from literatim.bench.manifest import Case
from literatim.bench.wer_run import Result

_KIND = "literatim bench wer, unfinished"


def part_of(report: Path) -> Path:
    """REPORT.json.part, where a run keeps its results until the report is written."""
    return report.with_name(report.name + ".part")


@dataclass
class Part:
    """A file of JSON lines: a head that says what the results depend on, then one result a line.

    `results` are those found there for recordings that are asked for again; `differs` names what the file was made
    with and is otherwise now, in which case its results are not used.
    """

    path: Path
    head: dict[str, Any]
    results: dict[str, Result] = field(default_factory=dict)
    differs: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, depends_on: dict[str, Any], cases: Iterable[Case]) -> Part:
        """Read what an earlier run left, and write it anew without a line that was cut off."""
        head = json.loads(json.dumps({"kind": _KIND, **depends_on}))  # as it will be read again
        part = cls(path, head)
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
        before = _object(lines[0]) if lines else head
        part.differs = {
            name: (before.get(name), head.get(name))
            for name in dict.fromkeys((*before, *head))
            if before.get(name) != head.get(name)
        }
        if not part.differs:
            part._take(lines[1:], {case.id: case for case in cases})
        part._rewrite()
        return part

    def keep(self, result: Result) -> None:
        """Append a result; it is on its way to the disk when this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(result.to_dict()))

    def remove(self) -> None:
        """After the report is written."""
        self.path.unlink(missing_ok=True)

    def _take(self, lines: list[str], cases: dict[str, Case]) -> None:
        for line in lines:
            found = _object(line)
            case = cases.get(str(found.get("id")))
            if case is None or (found.get("expected"), found.get("file")) != (case.text, case.audio.name):
                continue
            try:
                self.results[case.id] = Result.from_dict(case, found)
            except (KeyError, TypeError, ValueError, AttributeError):  # a line of another kind: measured again
                continue

    def _rewrite(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        made = self.path.with_name(self.path.name + ".new")
        lines = [self.head, *(result.to_dict() for result in self.results.values())]
        made.write_text("".join(map(_line, lines)), encoding="utf-8")
        made.replace(self.path)  # never a moment without the results


def _line(found: dict[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False) + "\n"


def _object(line: str) -> dict[str, Any]:
    """The object on a line, {} for a line that was cut off or is something else."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
