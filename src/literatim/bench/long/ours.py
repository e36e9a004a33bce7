"""Ours on whole recordings, by strategy."""

from __future__ import annotations

from pathlib import Path

from literatim.bench.clock import Clock
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
        clock = Clock()
        with clock.watching(engine):
            found = self._recognizer.transcribe(audio, language=language, **how)
        texts = [token for segment in found.segments for token in segment.tokens if token < engine.tokenizer.eot]
        return Heard(found.text, len(texts), clock.seconds)
