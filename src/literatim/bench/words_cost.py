"""What the times of words cost: the same recordings transcribed with and without them, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from literatim.api import Recognizer
from literatim.bench.clock import Clock
from literatim.bench.table import Table, percent
from literatim.bench.words import Known
from literatim.decode import align

OF_PATH = ("attended", "starts")  # of decode.align: what is made of the scores, and the path through them


def run(
    recognizer: Recognizer, recordings: Sequence[Known], rounds: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Medians over the rounds, after one of each that is not counted.

    `whole`: the time with words by that without; `pass` and `path`: those of the second pass and of warping by that
    of all decoding steps in the same run.
    """
    found: dict[str, list[float]] = {"whole": [], "pass": [], "path": []}
    for number in range(rounds + 1):
        tell(f"cost, round {number} of {rounds}")
        plain, _ = _taken(recognizer, recordings, timed=False)
        timed, stages = _taken(recognizer, recordings, timed=True)
        if number:
            found["whole"].append(timed / plain)
            found["pass"].append(stages.get("words", 0.0) / stages["decoder"])
            found["path"].append(stages.get("path", 0.0) / stages["decoder"])
    medians = {name: statistics.median(values) for name, values in found.items()}
    return {"recordings": [recording.name for recording in recordings], "rounds": found, **medians}


def _taken(recognizer: Recognizer, recordings: Sequence[Known], *, timed: bool) -> tuple[float, dict[str, float]]:
    """Seconds of all the work, and of its stages."""
    clock = Clock()
    with clock.watching(recognizer._engine), _watched_path(clock):
        start = time.perf_counter()
        for recording in recordings:
            recognizer.transcribe(recording.samples, language=recording.language, word_timestamps=timed)
        return time.perf_counter() - start, clock.seconds


@contextmanager
def _watched_path(clock: Clock) -> Iterator[None]:
    own = {name: getattr(align, name) for name in OF_PATH}
    for name, function in own.items():
        setattr(align, name, clock.timed("path", function))
    try:
        yield
    finally:
        for name, function in own.items():
            setattr(align, name, function)


def table(found: dict[str, Any]) -> Table:
    """One line."""
    columns = ("rounds", "time by that without", "second pass of decoding", "path of decoding")
    line = (str(len(found["rounds"]["whole"])), f"{found['whole']:.2f}", percent(found["pass"]), percent(found["path"]))
    return Table("What they cost", columns, (line,))
