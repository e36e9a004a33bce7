"""A row whose numbers are lost spoils neither its neighbours nor the windows that come into its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from literatim.api import Recognizer, load
from reference.transcripts import same
from whisper_builders import random_whisper_folder

OPTIONS: dict[str, Any] = {"language": "en", "no_speech_threshold": None, "temperature": 0.0, "strategy": "sequential"}
BROKEN = 0.4375  # the first sample of a recording whose features are no numbers


def recording(number: int, first: float = 0.0) -> np.ndarray:
    samples = np.random.default_rng(number).uniform(-0.3, 0.3, 40_000).astype(np.float32)
    samples[0] = first
    return samples


@pytest.fixture
def recognizer(tmp_path: Path) -> Recognizer:
    """As an overflow on a device would leave them: the broken recording's features are NaN."""
    made = load(random_whisper_folder(tmp_path / "model", 80), device="cpu", dtype="float32")
    features = made._engine.features

    def broken(samples: torch.Tensor, *where: Any) -> list[torch.Tensor]:
        lost = float(samples[0]) == BROKEN
        return [torch.full_like(found, torch.nan) if lost else found for found in features(samples, *where)]

    made._engine.features = broken  # type: ignore[method-assign]
    return made


def test_the_next_recording_is_as_if_nothing_had_been(recognizer: Recognizer) -> None:
    alone = recognizer.transcribe(recording(1), **OPTIONS)
    assert alone.text
    lost = recognizer.transcribe(recording(2, BROKEN), **OPTIONS)
    assert not any(np.isfinite(segment.avg_logprob) for segment in lost.segments)
    same(recognizer.transcribe(recording(1), **OPTIONS), alone)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_neighbours_and_successors_are_as_alone(recognizer: Recognizer, batch_size: int) -> None:
    audios = [recording(3), recording(2, BROKEN), recording(1), recording(4, BROKEN), recording(5), recording(6)]
    alone = {at: recognizer.transcribe(audios[at], **OPTIONS) for at in (0, 2, 4, 5)}
    found = {
        outcome.index: outcome.transcript
        for outcome in recognizer.transcribe_many(audios, batch_size=batch_size, **OPTIONS)
    }
    assert len(found) == len(audios)
    for at, expected in alone.items():
        same(found[at], expected)
