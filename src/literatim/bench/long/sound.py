"""Long recordings made of the bundled clips in room tone, and sounds in which nobody speaks."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from literatim.audio.decode import SAMPLE_RATE, decode
from literatim.bench.spec_clips import cases
from literatim.train import sounds

Samples = NDArray[np.float32]
SPEECH = 0.6  # share of the time in which somebody speaks, where clips are repeated
ROOM = 0.002  # loudness of the tone of the room
LOUDNESSES = (0.003, 0.1)  # of what is no speech
_PAUSE = 1.0  # seconds between clips, at least


@dataclass(frozen=True)
class Clip:
    """Sound (S,) at 16 kHz and its words."""

    samples: Samples
    text: str


@dataclass(frozen=True)
class Spoken:
    """A recording (S,), the words in it, one after the other, and the samples at which each part begins and ends."""

    samples: Samples
    text: str
    spans: tuple[tuple[int, int], ...]

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / SAMPLE_RATE


def white(random: np.random.Generator, count: int) -> Samples:
    """White noise of unit variance."""
    return random.standard_normal(count).astype(np.float32)


def room(random: np.random.Generator, count: int) -> Samples:
    """Soft noise under a little hum, with something that knocks now and then."""
    tone = 0.8 * sounds.noise(random, count) + 0.2 * sounds.hum(random, count)
    for at in random.integers(0, count - 800, count // (20 * SAMPLE_RATE)):
        tone[at : at + 800] += 3 * np.exp(-np.arange(800) / 100) * random.standard_normal(800)
    return tone.astype(np.float32)


KINDS = {kind.__name__: kind for kind in (white, room, *sounds.KINDS)}


@cache
def clips(language: str) -> tuple[Clip, ...]:
    """The bundled clips of a language, those without noise of their own."""
    found = [case for case in cases() if case.language == language and "noise" not in case.id]
    return tuple(Clip(decode(case.audio).samples[0], case.text) for case in found)


def in_room_tone(parts: Sequence[Clip], seconds: float, seed: int) -> Spoken:
    """The parts one by one in so many seconds of room tone, with pauses of a second and more between them."""
    random, size = np.random.default_rng(seed), round(seconds * SAMPLE_RATE)
    samples = ROOM * _tone(random, size)
    spoken = sum(len(part.samples) for part in parts)
    pause = round(_PAUSE * SAMPLE_RATE)
    gaps = random.dirichlet(np.ones(len(parts) + 1)) * (size - spoken - pause * len(parts))
    at, spans = 0, []
    for gap, part in zip(gaps, parts, strict=False):
        at += int(gap) + pause
        samples[at : at + len(part.samples)] += part.samples
        spans.append((at, at + len(part.samples)))
        at += len(part.samples)
    return Spoken(samples, " ".join(part.text for part in parts), tuple(spans))


def _tone(random: np.random.Generator, size: int) -> Samples:
    """Another tone every minute."""
    lengths = [min(60 * SAMPLE_RATE, size - at) for at in range(0, size, 60 * SAMPLE_RATE)]
    return np.concatenate([room(random, max(length, SAMPLE_RATE))[:length] for length in lengths])


def talk(language: str, seconds: float, seed: int) -> Spoken:
    """A recording in which somebody speaks for `SPEECH` of the time: all clips, again and again in another order."""
    return in_room_tone(list(_enough([clips(language)], seconds, seed)), seconds, seed)


def mixed(languages: Sequence[str], seconds: float, seed: int) -> Spoken:
    """The same with a clip of each of the languages in turn."""
    return in_room_tone(list(_enough([clips(language) for language in languages], seconds, seed)), seconds, seed)


def _enough(sets: Sequence[Sequence[Clip]], seconds: float, seed: int) -> Iterator[Clip]:
    """Clips, of each set in turn, until the recording is full."""
    random, left = np.random.default_rng(seed + 1), SPEECH * seconds
    decks: list[list[Clip]] = [[] for _ in sets]
    turn = 0
    while True:
        deck = decks[turn % len(sets)]
        if not deck:
            own = sets[turn % len(sets)]
            deck += [own[index] for index in random.permutation(len(own))]
        clip = deck.pop()
        left -= len(clip.samples) / SAMPLE_RATE
        if left < 0:
            return
        turn += 1
        yield clip


def silences(seconds: float) -> Iterator[tuple[str, Samples]]:
    """Each kind of sound in which nobody speaks, half of it soft and half of it loud, and silence."""
    half = round(seconds * SAMPLE_RATE / 2)
    yield "silence", np.zeros(2 * half, np.float32)
    for name, kind in KINDS.items():
        parts = [
            level * kind(np.random.default_rng(number), half).astype(np.float32)
            for number, level in enumerate(LOUDNESSES)
        ]
        yield name, np.concatenate(parts).astype(np.float32)


def write(path: Path, samples: Samples, times: int = 1) -> Path:
    """A WAV file of 16 bits with the samples in it, so many times over."""
    data = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        for _ in range(times):
            file.writeframes(data)
    return path
