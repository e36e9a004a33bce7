"""What became of the recordings of a run, as a table for a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import TextIO

from literatim.cli.progress import clock_time

MOST_ROWS = 20  # of recordings that went well; those that failed are all named
SHORTEST_NAME = 12
WIDEST = 120  # columns of a reason where there is no terminal
HEAD = ("recording", "length", "language", "result")


@dataclass(frozen=True)
class Ended:
    """One recording at its end: seconds of sound and language where it went well, else what is wrong with it."""

    name: str
    duration: float = 0.0
    language: str = ""
    error: str = ""

    @property
    def reason(self) -> str:
        """The error without the name that most begin with."""
        label, colon, rest = self.error.partition(": ")
        return rest if colon and self.name.endswith(label) else self.error


@dataclass(frozen=True)
class Summary:
    """`asked` recordings, of which `skipped` were done before; `seconds` is what the run took."""

    asked: int
    skipped: int
    ended: tuple[Ended, ...]
    seconds: float

    def lines(self, columns: int | None) -> Iterator[str]:
        """The table in so many columns, or as wide as it comes."""
        failed = [item for item in self.ended if item.error]
        done = [item for item in self.ended if not item.error]
        shown = done[:MOST_ROWS] if len(done) <= MOST_ROWS else []
        rows = [(item.name, clock_time(item.duration), item.language, "done") for item in shown]
        rows += [(item.name, "", "", "failed") for item in failed]
        if rows:
            reasons = [""] * (1 + len(shown)) + [item.reason for item in failed]
            for line, reason in zip(_table([HEAD, *rows], columns), reasons, strict=True):
                yield line
                yield from wrap(reason, columns or WIDEST, initial_indent="  ", subsequent_indent="  ")
        if len(done) > len(shown):
            yield f"and {len(done)} that are done"
        yield self._counts(len(done), len(failed))
        sound = sum(item.duration for item in done)
        if sound and self.seconds > 0:
            took = clock_time(self.seconds) if self.seconds >= 60 else f"{self.seconds:.1f} s"
            yield f"{clock_time(sound)} of sound in {took}: {sound / self.seconds:.1f} times real time"

    def _counts(self, done: int, failed: int) -> str:
        open_still = self.asked - self.skipped - done - failed
        parts = [f"{done} done", f"{failed} failed"]
        parts += [f"{self.skipped} skipped, written before"] if self.skipped else []
        parts += [f"{open_still} not done"] if open_still else []
        return f"{self.asked} recordings: {', '.join(parts)}"


def columns_of(stream: TextIO) -> int | None:
    """Width of a terminal; None where the stream is none."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def _table(rows: list[tuple[str, str, str, str]], columns: int | None) -> Iterator[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    if columns is not None:
        widths[0] = min(widths[0], max(SHORTEST_NAME, columns - sum(widths[1:]) - 6 - len("failed")))
    for name, length, language, result in rows:
        cells = (_end(name, widths[0]).ljust(widths[0]), length.rjust(widths[1]), language.ljust(widths[2]))
        yield "  ".join((*cells, result))


def _end(name: str, width: int) -> str:
    """The end of a long path, which tells more than its beginning."""
    return name if len(name) <= width else "…" + name[1 - width :]
