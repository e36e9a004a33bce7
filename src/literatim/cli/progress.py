"""A line on a terminal that says how far a run is and how long it will still take."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

BAR = 24  # columns
PAUSE = 0.1  # seconds between two drawings, so that a fast run is not spent on its progress
ERASE = "\r\x1b[K"


class Progress:
    """How much of several recordings is done, drawn as one line of `stream` if that is a terminal.

    `sizes` weigh the recordings by the bytes of their files; one without counts as the mean of the others.
    """

    def __init__(
        self, sizes: Sequence[int | None], stream: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        known = [size for size in sizes if size]
        usual = sum(known) / len(known) if known else 1.0
        self._weights = [float(size or usual) for size in sizes]
        self._stream, self._clock = stream, clock
        self._shown = stream.isatty()
        self._start = clock()
        self._drawn = -PAUSE
        self._under_way: set[int] = set()
        self._ended = 0
        self._weight_ended = 0.0
        self.share = 0.0

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return self._clock() - self._start

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take at the pace so far; None as long as there is none."""
        return self.seconds * (1 - self.share) / self.share if self.share else None

    def begun(self, index: int) -> None:
        """A recording is being read."""
        self._under_way.add(index)

    def ended(self, index: int) -> None:
        """A recording is done, or has failed."""
        self._under_way.discard(index)
        self._ended += 1
        self._weight_ended += self._weights[index]
        self.update(self._ended)

    def update(self, done: float) -> None:
        """So many recordings are done, those under way counted in part; which part is whose is not told."""
        held = [self._weights[index] for index in self._under_way]
        part = min(max(0.0, done - self._ended), len(held)) * sum(held) / max(1, len(held))
        # a recording that turns out to weigh less than its neighbours would take the line back
        self.share = max(self.share, min(1.0, (self._weight_ended + part) / sum(self._weights)))
        if self._clock() - self._drawn >= PAUSE:
            self._draw()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """What is printed in here does not run into the line."""
        self.erase()
        try:
            yield
        finally:
            self._draw()

    def erase(self) -> None:
        """Leave no trace of the line."""
        if self._shown:
            self._stream.write(ERASE)
            self._stream.flush()

    def _draw(self) -> None:
        if not self._shown:
            return
        self._drawn = self._clock()
        columns = shutil.get_terminal_size().columns
        self._stream.write(ERASE + self.line(columns - 1))  # a full line would wrap on some terminals
        self._stream.flush()

    def line(self, columns: int) -> str:
        """The line, in at most so many columns; a narrow terminal has no bar, then fewer words."""
        count = len(self._weights)
        words = f"{self.share:4.0%}  {self._ended} of {count} recordings" if count > 1 else f"{self.share:4.0%}"
        words += f"  {clock_time(self.seconds)} gone"
        if self.left is not None:
            words += f", {clock_time(self.left)} left"
        room = columns - len(words) - 2
        bar = _bar(self.share, min(BAR, room), self._stream.encoding) + "  " if room > 4 else ""
        return (bar + words)[:columns]


def clock_time(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _bar(share: float, width: int, encoding: str | None) -> str:
    full, rest = ("━", "─") if (encoding or "").lower().replace("-", "").startswith("utf") else ("#", "-")
    done = int(share * width)
    return full * done + rest * (width - done)
