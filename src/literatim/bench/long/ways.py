"""A way through a long recording: a runner that hears the whole of it; and where to find each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from literatim.bench.runners.base import Runner

NO_DOUBT: dict[str, Any] = {"temperature": 0.0, "compression_ratio_threshold": None, "no_speech_threshold": None}
WAYS = {
    "literatim": "literatim.bench.long.ours:Ours",
    "faster-whisper": "literatim.bench.long.faster_whisper:FasterWhisperLong",
    "transformers": "literatim.bench.long.transformers:TransformersLong",
}


@dataclass(frozen=True)
class Heard:
    """What was made of a recording; `tokens` of text, and seconds of parts of the work where they can be seen."""

    text: str
    tokens: int
    stages: Mapping[str, float] = field(default_factory=dict)


class Listener(Runner):
    """A runner that hears whole recordings."""

    @abstractmethod
    def hear(self, audio: Path, language: str, tokens: int | None) -> Heard:
        """A recording; with `tokens`, exactly so many of each window, without timestamps, fallback or thresholds."""
