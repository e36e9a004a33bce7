"""`literatim transcribe --live -`: text of a pipe while it plays."""

from __future__ import annotations

import json
import shutil
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import Empty, Queue
from statistics import quantiles
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from literatim.cli.inputs import STANDARD_INPUT, Item
from literatim.cli.output import Output, show_segment
from literatim.cli.progress import ERASE
from literatim.errors import AudioError, OptionError
from literatim.types import LiveUpdate

if TYPE_CHECKING:
    from literatim.api import Recognizer
    from literatim.pipeline.live import Live

PIECE = 1 << 15  # most bytes that are read at once: a second of the usual samples
AHEAD = 1000  # pieces that wait; then the pipe does
DIM, PLAIN = "\x1b[2m", "\x1b[0m"


def check(items: list[Item], skip_existing: bool, log_file: str | None) -> None:
    """Raises OptionError for what cannot be heard as it comes in."""
    if [item.path for item in items] != [STANDARD_INPUT]:
        raise OptionError("--live hears a pipe: give - alone, as in: arecord -f S16_LE -r 16000 | ... --live -")
    if skip_existing:
        raise OptionError("--live and --skip_existing exclude each other: a stream is never there already")
    if log_file is not None:
        raise OptionError("--live keeps no log; --json prints a line for each hearing")
    if sys.stdin is not None and sys.stdin.isatty():
        raise OptionError("--live hears a pipe, and standard input is a terminal; pipe WAV or 16-bit samples in")


def run(recognizer: Recognizer, item: Item, options: dict[str, Any], rate: int | None, output: Output) -> None:
    """Hear standard input until it ends or is interrupted; raises AudioError for what is no sound."""
    from literatim.audio.pcm import PcmStream

    live, stream = recognizer.live(**options), PcmStream(rate)
    show, arrivals = _Show(output), _Arrivals()
    try:
        for data in _pieces(sys.stdin.buffer):
            samples = stream.feed(data)
            arrivals.add(len(samples))
            show.all(live.feed(samples), arrivals)
    except KeyboardInterrupt:  # the usual end of a live session: what has been said is worth having
        show.erase()
    live_rest = stream.finish()
    arrivals.add(len(live_rest))
    show.all(live.feed(live_rest), arrivals)
    show.all(live.finish(), arrivals)
    _close(live, item, output, arrivals)


def _close(live: Live, item: Item, output: Output, arrivals: _Arrivals) -> None:
    if not live.seconds:
        raise AudioError("nothing came through the pipe; is the program before it running?")
    for warning in live.transcript.warnings:
        click.echo(f"{item.path}: {warning}", err=True)
    if output.verbose and not output.as_json and len(arrivals.delays) > 1:
        cuts = quantiles(arrivals.delays, n=20, method="inclusive")
        what = f"{len(arrivals.delays)} segments were final {cuts[9]:.1f} s after their end had come in"
        click.echo(f"{what} (median; 95 % within {cuts[18]:.1f} s)", err=True)
    output.save(item, live.transcript)


def _pieces(pipe: BinaryIO) -> Iterator[bytes]:
    """All that has come in each time; a thread reads, so that the program before us never waits for the model."""
    waiting: Queue[bytes] = Queue(AHEAD)

    def read() -> None:
        take = getattr(pipe, "read1", pipe.read)
        while data := take(PIECE):
            waiting.put(data)
        waiting.put(b"")

    Thread(target=read, daemon=True).start()
    ended = False
    while not ended:
        together = [waiting.get()]
        try:
            while True:
                together.append(waiting.get_nowait())
        except Empty:
            pass
        ended = b"" in together
        if data := b"".join(together):
            yield data


@dataclass
class _Arrivals:
    """When which sample came in, and how long after its end each final segment was there."""

    samples: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    def add(self, count: int) -> None:
        """So many samples have come in now."""
        self.samples.append(count + (self.samples[-1] if self.samples else 0))
        self.times.append(time.monotonic())

    def final(self, end: float) -> None:
        """A segment that ends there, in seconds, is final now."""
        at = min(bisect_left(self.samples, round(end * 16_000)), len(self.times) - 1)
        self.delays.append(time.monotonic() - self.times[at])


class _Show:
    """Final segments on standard output; what may still change on a line of a terminal that is written over."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._terminal = sys.stderr.isatty() and not output.as_json

    def all(self, updates: Iterator[LiveUpdate], arrivals: _Arrivals) -> None:
        """Each update as it comes."""
        for update in updates:
            self.erase()
            for segment in update.segments:
                arrivals.final(segment.end)
                if self._output.as_json:
                    continue
                if self._output.verbose:
                    show_segment(segment)
                else:
                    click.echo(segment.text.strip())
            if self._output.as_json:
                click.echo(json.dumps(update.to_dict(), ensure_ascii=False))
            if self._terminal:
                sys.stderr.write(changing_line(update, shutil.get_terminal_size().columns - 1))
                sys.stderr.flush()

    def erase(self) -> None:
        """Take the line away."""
        if self._terminal:
            sys.stderr.write(ERASE)
            sys.stderr.flush()


def changing_line(update: LiveUpdate, columns: int) -> str:
    """The end of what may still change, in so many columns; dim what one hearing alone has said."""
    agreed = update.agreed + " " if update.agreed and update.partial else update.agreed
    partial = update.partial[-columns:]
    room = columns - len(partial)
    return (agreed[-room:] if room else "") + (f"{DIM}{partial}{PLAIN}" if partial else "")
