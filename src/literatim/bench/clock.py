"""A clock for the stages of a transcription."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from literatim.pipeline.engine import Engine

_OF_BATCH = ("admit", "again", "round")


class Clock:
    """Seconds spent in functions, by the name of a stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time added to the stage's."""

        def run(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

        return run

    @contextmanager
    def watching(self, engine: Engine) -> Iterator[None]:
        """Meanwhile stages are timed: `encoder`, `decoder` (all its steps) and `words`, the second pass."""
        for name, stage in (("listen", "encoder"), ("follow", "words")):
            setattr(engine, name, self.timed(stage, getattr(engine, name)))
        engine.batch = partial(self._watched, engine.batch)  # type: ignore[method-assign]
        try:
            yield
        finally:
            del engine.listen, engine.follow, engine.batch

    def _watched(self, make: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """A batch whose steps are timed."""
        batch = make(*given, **named)
        for name in _OF_BATCH:
            setattr(batch, name, self.timed("decoder", getattr(batch, name)))
        return batch
