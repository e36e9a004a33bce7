"""One process on one device: what runs in it, and the handle its parent holds.

It loads the model once and then works in rounds. In a round it asks for a recording whenever it has room, so that
the quicker device does more; at the end of one it waits for the next. Messages are tuples that begin with a word.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from literatim.device import DeviceWarning
from literatim.errors import LiteratimError

if TYPE_CHECKING:
    from literatim.api import Recognizer

STOP_SECONDS = 5.0  # a process that was told to end and does not is killed


@dataclass(frozen=True)
class Place:
    """What a process is told: a model's folder, its device, the numbers it is in, how many processes there are."""

    folder: str
    device: str
    numbers: dict[str, Any]
    processes: int


@dataclass
class Worker:
    """A process as its parent sees it."""

    place: Place
    connection: Connection
    process: Any  # a multiprocessing process
    ready: bool = False
    resting: bool = True
    held: dict[int, Any] = field(default_factory=dict)
    part: float = 0.0  # recordings under way, each counted by how much of it is done

    def tell(self, message: Any) -> None:
        """Send; a process that is gone is noticed where it is listened to."""
        with suppress(ConnectionError):
            self.connection.send(message)

    def end(self) -> None:
        """Let it end, or kill it where it is at work or does not answer."""
        if self.ready and self.resting:
            self.tell(None)
            self.process.join(STOP_SECONDS)
        self.connection.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join(STOP_SECONDS)

    def epitaph(self) -> str:
        """How a process that is gone ended."""
        self.process.join(STOP_SECONDS)
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"signal {-code}" + (", perhaps for want of memory" if -code == signal.SIGKILL else "")
        return f"exit code {code}"


def start(place: Place) -> Worker:
    """A process at its beginning, loading. It is spawned: accelerators cannot be used after a fork."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(theirs, place), name=f"literatim {place.device}", daemon=True)
    process.start()
    theirs.close()  # or its end would never be seen
    return Worker(place, ours, process)


def _main(connection: Connection, place: Place) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends this process
    count = getattr(os, "sched_getaffinity", None)
    cores = len(count(0)) if count else os.cpu_count() or 1
    # before torch is imported: each process would else take all cores for features and lose time to the others
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // place.processes)))
    serve(connection, lambda: _load(place))


def _load(place: Place) -> Recognizer:
    from literatim.device import import_torch

    import_torch()
    from literatim.api import load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeviceWarning)  # the parent shows them, once
        return load(place.folder, **place.numbers, device=place.device)


def serve(connection: Connection, make: Callable[[], Recognizer]) -> None:
    """Load, then a round for each dictionary of options that comes, until None does or the parent is gone."""
    try:
        recognizer = make()
        connection.send(("ready",))
        while (options := connection.recv()) is not None:
            _round(connection, recognizer, options)
            connection.send(("rests",))
    except (EOFError, ConnectionError):  # nobody is there to hear
        return
    except LiteratimError as error:
        _last(connection, "refused", error)
    except Exception as error:  # the parent knows what was held, and only has to learn why it is lost
        _last(connection, "crashed", f"{type(error).__name__}: {error}")


def _last(connection: Connection, word: str, why: Any) -> None:
    with suppress(ConnectionError):  # another process's failure has made the parent leave
        connection.send((word, why))


def _round(connection: Connection, recognizer: Recognizer, options: dict[str, Any]) -> None:
    keys: list[int] = []
    ended = 0

    def audios() -> Iterator[Any]:
        while True:
            connection.send(("wants",))
            item = connection.recv()
            if item is None:
                return
            keys.append(item[0])
            yield item[1]

    def progress(done: float) -> None:
        connection.send(("part", max(0.0, done - ended)))

    for outcome in recognizer.transcribe_many(audios(), progress_callback=progress, **options):
        ended += 1
        connection.send(("outcome", keys[outcome.index], outcome.transcript, outcome.error))
