"""Ours on whole recordings, by strategy."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from literatim.bench.long.ways import NO_DOUBT, Heard, Listener
from literatim.bench.runners.base import Setting
from literatim.bench.runners.literatim import Literatim


class Ours(Literatim, Listener):
    """Ours, by strategy."""

    settings = (
        Setting("sequential", "sequential", {"strategy": "sequential"}),
        Setting("batched-8", "batched 8", {"strategy": "batched", "batch_size": 8}),
        Setting("batched-16", "batched 16", {"strategy": "batched", "batch_size": 16}),
        Setting("chunked-8", "chunked 8", {"strategy": "chunked", "batch_size": 8}),
    )

    def hear(self, audio: Path, language: str, tokens: int | None) -> Heard:
        """With the defaults of `literatim transcribe`; the decoder's time is that of all its steps."""
        engine, how = self._engine, dict(self.setting.options)
        if tokens is not None:
            how |= {**NO_DOUBT, "logprob_threshold": None, "without_timestamps": True, "max_new_tokens": tokens}
            how |= {"suppress_tokens": f"-1,{engine.tokenizer.eot}", "condition_on_previous_text": False}
            how["cut_loops"] = False
        clock = _Clock()
        engine.listen = clock.timed("encoder", type(engine).listen.__get__(engine))  # type: ignore[method-assign]
        engine.batch = partial(_watched, clock, type(engine).batch.__get__(engine))  # type: ignore[method-assign]
        try:
            found = self._recognizer.transcribe(audio, language=language, **how)
        finally:
            del engine.listen, engine.batch
        texts = [token for segment in found.segments for token in segment.tokens if token < engine.tokenizer.eot]
        return Heard(found.text, len(texts), clock.seconds)


class _Clock:
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


def _watched(clock: _Clock, make: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """A batch whose steps are timed."""
    batch = make(*given, **named)
    for name in ("admit", "again", "round"):
        setattr(batch, name, clock.timed("decoder", getattr(batch, name)))
    return batch
