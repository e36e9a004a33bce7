"""What is said of sounds that are not speech, with the demo model: nothing; and that no speech is lost between them."""

from __future__ import annotations

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


def pooled(texts: list[str], found: list[str]) -> dict[str, float]:
    """Of all texts together: the share of words that came out, and of errors."""
    scores = [score(text, said) for text, said in zip(texts, found, strict=True)]
    words = sum(one["words"] for one in scores)
    return {name: sum(one[name] * one["words"] for one in scores) / words for name in ("coverage", "wer")}


@pytest.mark.slow
def test_speech_between_silences_all_comes_out(demo: Recognizer) -> None:
    """Of an hour: as many of its words as of its parts alone, in the same room tone, and errors as in these.

    Five hours, since where a part is cut, by less than a frame, moves its 413 words' errors between 9 and 13 %.
    """
    parts = sound.clips("en")
    hours = [sound.in_room_tone(parts, 3600, seed) for seed in range(1, 6)]
    pieces = [hour.samples[begin:end] for hour in hours for begin, end in hour.spans]
    apart = sorted(demo.transcribe_many(pieces, language="en", batch_size=8), key=lambda outcome: outcome.index)
    alone = [outcome.transcript.text for outcome in apart if outcome.transcript]
    by_part = pooled([part.text for part in parts] * len(hours), alone)
    whole = [demo.transcribe(hour.samples, language="en", batch_size=8).text for hour in hours]
    together = pooled([hour.text for hour in hours], whole)
    print(f"hours: {together}; their parts: {by_part}")
    assert together["coverage"] >= by_part["coverage"] - 0.02
    assert together["wer"] <= by_part["wer"] + 0.02
    assert by_part["coverage"] > 0.7
