"""Ours, as the pipeline runs it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch

from literatim import device as devices
from literatim.api import load
from literatim.audio import mel
from literatim.bench.runners.base import LANGUAGE, Ids, Runner, Turn
from literatim.bench.windows import Windows
from literatim.options import TranscribeOptions
from literatim.pipeline import shapes
from literatim.pipeline.steps import Steps


class Literatim(Runner):
    """Ours; there is one setting, and it is the default."""

    name, package = "literatim", "literatim"

    def _load(self) -> None:
        assistant = "none" if self.setup.assistant is None else str(self.setup.assistant)
        self._recognizer = load(self.folder, assistant=assistant, device=str(self.setup.device), dtype=self.dtype)
        self._engine = engine = self._recognizer._engine
        options = TranscribeOptions(without_timestamps=True, suppress_tokens=f"-1,{engine.tokenizer.eot}")
        self._rules = engine.rules(options)
        self._prompt = engine.tokenizer.prompt(LANGUAGE, "transcribe", False)
        self._seen: dict[str, set[Any]] = {"encoder": set(), "decoder": set()}

    def _note(self, side: str, arguments: tuple[Any, ...]) -> None:
        """The sizes that a network is given: of its tensors, and its whole numbers (the bound of keys)."""
        sizes = [tuple(item.shape) if isinstance(item, torch.Tensor) else item for item in arguments]
        self._seen[side].add(tuple(item for item in sizes if isinstance(item, (tuple, int))))

    def shapes(self) -> dict[str, int]:
        """Distinct shapes of the encoder's and the decoder's calls in the last untimed run."""
        return {side: len(seen) for side, seen in self._seen.items()}

    @torch.inference_mode()
    def encode(self, windows: Windows) -> None:
        """The network's encoder; the keys and values made of its states belong to the decoder's time."""
        encoder = self._engine.model.encoder
        device, given = self.setup.device, windows.features
        # as Engine does it: row by row on a CPU, elsewhere a batch filled up to a shape that is used anyway
        filling = shapes.rows(len(given), device) - len(given)
        features = torch.cat([given, *[given[-1:]] * filling]).to(device, encoder.positions.dtype)
        for part in torch.split(features, 1 if device.type == "cpu" else len(features)):
            encoder(part)

    def run(self, windows: Windows, tokens: int) -> Ids:
        """As the pipeline does it; never timed against others, so that the shapes can be counted here."""
        self._seen = {side: set() for side in self._seen}
        engine, steps = self._engine, self._engine.steps
        hook = engine.model.encoder.register_forward_pre_hook(lambda _, given: self._note("encoder", given))
        engine.steps = cast("Steps", _Watched(steps, partial(self._note, "decoder")))
        try:
            engine.listen(list(windows.features))
            return self._decode(len(windows), tokens)
        finally:
            engine.steps = steps
            hook.remove()

    def _decode(self, rows: int, tokens: int) -> Ids:
        found = self._engine.decode([self._prompt] * rows, self._rules, tokens)
        return [list(row.tokens) for row in found]

    def turn(self, windows: Windows, tokens: int) -> Turn:
        """Encoder alone, then a whole batch with its stages; features before and text after it are not in its total."""
        wait = devices.synchronize
        start = time.perf_counter()
        self.encode(windows)
        wait(self.setup.device)
        encoder = time.perf_counter() - start
        start = time.perf_counter()
        mel.log_mel(torch.from_numpy(windows.samples), self._engine.config.n_mels)
        marks = [time.perf_counter()]
        self._engine.listen(list(windows.features))
        wait(self.setup.device)
        marks.append(time.perf_counter())
        rows = self._decode(len(windows), tokens)
        wait(self.setup.device)
        marks.append(time.perf_counter())
        for row in rows:
            self._engine.tokenizer.decode(row)
        marks.append(time.perf_counter())
        parts = [marks[0] - start, *(after - before for before, after in pairwise(marks))]
        stages = dict(zip(("features", "encoder", "decoder", "post"), parts, strict=True))
        return Turn(encoder, stages["encoder"] + stages["decoder"], stages)

    def transcribe(self, audio: Path, language: str | None) -> str:
        """As `literatim transcribe` does it, with its defaults."""
        return self._recognizer.transcribe(audio, language=language).text


class _Watched:
    """The decoder's steps, whatever runs them, with a look at what each is given."""

    def __init__(self, steps: Steps, note: Callable[[tuple[Any, ...]], None]) -> None:
        self._steps, self._note = steps, note

    def __call__(self, *given: Any) -> torch.Tensor:
        """One step."""
        self._note(given)
        hidden: torch.Tensor = self._steps(*given)
        return hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self._steps, name)
