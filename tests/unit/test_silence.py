"""What is said of sounds that are not speech, with the demo model: nothing; and that no speech is lost between them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest

from literatim.api import Recognizer, load
from literatim.audio.decode import decode
from literatim.demo import recording_path
from literatim.train import sounds

RATE = 16_000
CLIPS = recording_path("meeting").parent.parent / "clips"
WAYS: dict[str, dict[str, Any]] = {
    "sequential": {"strategy": "sequential"},
    "sequential, speech alone": {"strategy": "sequential", "vad_filter": True},
    "batched": {"strategy": "batched"},
    "batched, all of it": {"strategy": "batched", "vad_filter": False},
}


@pytest.fixture(scope="module")
def demo() -> Recognizer:
    return load("demo", device="cpu", assistant="none")


def white(random: np.random.Generator, count: int) -> np.ndarray:
    return random.standard_normal(count).astype(np.float32)


def room(random: np.random.Generator, count: int) -> np.ndarray:
    """Soft noise under a little hum, with something that knocks now and then."""
    tone = 0.8 * sounds.noise(random, count) + 0.2 * sounds.hum(random, count)
    for at in random.integers(0, count - 800, count // (20 * RATE)):
        tone[at : at + 800] += 3 * np.exp(-np.arange(800) / 100) * random.standard_normal(800)
    return tone.astype(np.float32)


KINDS = {kind.__name__: kind for kind in (white, room, *sounds.KINDS)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*KINDS, "silence"])
def test_no_words_in_what_is_no_speech(name: str, way: str, demo: Recognizer) -> None:
    for number, loudness in enumerate((0.003, 0.1)):
        random = np.random.default_rng(number)
        samples = np.zeros(9 * RATE, np.float32) if name == "silence" else KINDS[name](random, 9 * RATE)
        found = demo.transcribe((loudness * samples).astype(np.float32), **WAYS[way])
        assert found.text == "", loudness
        assert "no speech was found" in found.warnings


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sequential", "batched"])
def test_no_words_in_ten_minutes_of_room_tone(way: str, demo: Recognizer) -> None:
    samples = 0.01 * room(np.random.default_rng(7), 600 * RATE)
    assert demo.transcribe(samples, **WAYS[way]).text == ""


@functools.cache
def clips() -> list[tuple[np.ndarray, str, str]]:
    """Sound, words and language of the bundled clips without noise of their own."""
    lines = [json.loads(line) for line in (CLIPS / "clips.jsonl").read_text("utf-8").splitlines()]
    return [
        (decode(Path(CLIPS / line["audio"])).samples[0], line["text"], line["language"])
        for line in lines
        if "noise" not in line["audio"]
    ]


def plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split())


def counted(said: list[str], heard: list[str]) -> tuple[float, float]:
    """Coverage, the share of the words said that came out, and the word error rate."""
    found = jiwer.process_words([plain(text) for text in said], [plain(text) for text in heard])
    total = found.hits + found.substitutions + found.deletions
    return found.hits / total, found.wer


def hour(language: str, seconds: int) -> tuple[np.ndarray, list[np.ndarray], list[str]]:
    """So much room tone in which all clips of a language are spoken, one by one; the clips, and their words."""
    parts, words = zip(*[(sound, text) for sound, text, spoken in clips() if spoken == language], strict=True)
    random = np.random.default_rng(1)
    samples = 0.002 * room(random, seconds * RATE)
    gaps = random.dirichlet(np.ones(len(parts) + 1)) * (len(samples) - sum(map(len, parts)) - RATE * len(parts))
    at = 0
    for gap, part in zip(gaps, parts, strict=False):
        at += int(gap) + RATE
        samples[at : at + len(part)] += part
        at += len(part)
    return samples.astype(np.float32), list(parts), list(words)


@pytest.mark.slow
def test_speech_between_silences_all_comes_out(demo: Recognizer) -> None:
    """Of an hour: as many of its words as of its parts alone, and no more errors than the model makes in these."""
    long, parts, words = hour("en", 3600)
    apart = demo.transcribe_many(parts, language="en", batch_size=8)
    alone = [outcome.transcript.text for outcome in sorted(apart, key=lambda item: item.index) if outcome.transcript]
    together = demo.transcribe(long, language="en", batch_size=8)
    (coverage, errors), (part_coverage, part_errors) = (
        counted([" ".join(words)], [together.text]),
        counted(words, alone),
    )
    print(f"an hour: coverage {coverage:.3f}, WER {errors:.3f}; its parts: {part_coverage:.3f}, {part_errors:.3f}")
    assert coverage >= part_coverage - 0.02
    assert errors <= part_errors + 0.02
    assert part_coverage > 0.7
