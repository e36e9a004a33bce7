"""What is said of sounds that are not speech, with the demo model: nothing; and that no speech is lost between them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from literatim.api import Recognizer, load
from literatim.bench.long import sound
from literatim.bench.long.figures import score

RATE = 16_000
WAYS: dict[str, dict[str, Any]] = {
    "sequential": {"strategy": "sequential"},
    "sequential, speech alone": {"strategy": "sequential", "vad_filter": True},
    "batched": {"strategy": "batched"},
    "batched, all of it": {"strategy": "batched", "vad_filter": False},
}


@pytest.fixture(scope="module")
def demo() -> Recognizer:
    return load("demo", device="cpu", assistant="none")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*sound.KINDS, "silence"])
def test_no_words_in_what_is_no_speech(name: str, way: str, demo: Recognizer) -> None:
    for number, loudness in enumerate((0.003, 0.1)):
        random = np.random.default_rng(number)
        samples = np.zeros(9 * RATE, np.float32) if name == "silence" else sound.KINDS[name](random, 9 * RATE)
        found = demo.transcribe((loudness * samples).astype(np.float32), **WAYS[way])
        assert found.text == "", loudness
        assert "no speech was found" in found.warnings


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sequential", "batched"])
def test_no_words_in_ten_minutes_of_room_tone(way: str, demo: Recognizer) -> None:
    samples = 0.01 * sound.room(np.random.default_rng(7), 600 * RATE)
    assert demo.transcribe(samples, **WAYS[way]).text == ""


@pytest.mark.slow
def test_speech_between_silences_all_comes_out(demo: Recognizer) -> None:
    """Of an hour: as many of its words as of its parts alone, and errors as the model makes in these."""
    parts = sound.clips("en")
    long = sound.in_room_tone(parts, 3600, 1)
    apart = demo.transcribe_many([part.samples for part in parts], language="en", batch_size=8)
    alone = [outcome.transcript.text for outcome in sorted(apart, key=lambda item: item.index) if outcome.transcript]
    together = score(long.text, demo.transcribe(long.samples, language="en", batch_size=8).text)
    by_part = [score(part.text, text) for part, text in zip(parts, alone, strict=True)]
    words = sum(found["words"] for found in by_part)
    part_coverage = sum(found["coverage"] * found["words"] for found in by_part) / words
    part_errors = sum(found["wer"] * found["words"] for found in by_part) / words
    print(f"an hour: {together}; its parts: coverage {part_coverage:.3f}, WER {part_errors:.3f}")
    # the room tone in which they are said changes a word here and there, by chance: two standard errors of a difference
    chance = 2 * math.sqrt(2 * part_errors * (1 - part_errors) / words)
    assert together["coverage"] >= part_coverage - 0.02
    assert together["wer"] <= part_errors + chance
    assert part_coverage > 0.7
