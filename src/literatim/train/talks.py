"""Recordings to train a draft of the demo model on: synthetic speech as WAV files, without any text beside them.

    python -m literatim.train.talks OUT --hours-english 14 --hours-dutch 10

Voices and sentences are those the demo model was trained on. Half of the sound lies in clips of one window, half in
talks of up to a minute and a half, whose later windows are decoded after the text of the ones before.
"""

from __future__ import annotations

import argparse
import random
import wave
from pathlib import Path

import numpy as np

from literatim.train import grammar, sounds, voices
from literatim.train.corpus import in_processes
from literatim.train.speech import Espeak
from literatim.train.vocabulary import WINDOW_SECONDS

RATE = sounds.RATE
CLIP = WINDOW_SECONDS * RATE  # samples
LONGEST = 90  # seconds of a talk
SPEECH_VARIANCE = 0.006  # of an utterance with a peak of 0.5
NOISY = 0.4  # share of recordings with noise, 3 to 30 dB below the speech
CUT = 0.3  # share of clips that end with their speech and not with the window


class Speaker:
    """Draws recordings of one language."""

    def __init__(self, language: str, seed: int) -> None:
        self._language = language
        self._rng, self._numbers = random.Random(f"{language}-{seed}"), np.random.default_rng(seed)
        self._espeak = Espeak()

    def clip(self) -> np.ndarray:
        """A window of one to three sentences in one voice, (S,) float32."""
        rng, samples = self._rng, np.zeros(CLIP, np.float32)
        manner = voices.choose(rng, self._language, held_out=False)
        at, end = rng.randint(0, RATE // 2), 0
        for _ in range(rng.randint(1, 3)):
            spoken = self._espeak.say(grammar.trained(self._language, rng)[0], manner)
            if spoken is None or at + len(spoken.samples) > CLIP:
                continue
            end = at + len(spoken.samples)
            samples[at:end] = spoken.samples
            at = end + rng.randint(1500, 9000)
        if end and rng.random() < CUT:
            samples = samples[: min(CLIP, end + rng.randint(800, RATE))]
        return self._heard(samples)

    def talk(self) -> np.ndarray:
        """Sentences one after the other in one or two voices, (S,) float32."""
        rng = self._rng
        manners = [voices.choose(rng, self._language, held_out=False) for _ in range(rng.randint(1, 2))]
        seconds = rng.uniform(2 * WINDOW_SECONDS, LONGEST)
        pieces, length = [np.zeros(rng.randint(0, RATE), np.float32)], 0
        while length < seconds * RATE:
            manner = rng.choice(manners)
            for _ in range(rng.randint(2, 5)):  # changing the voice is slow
                spoken = self._espeak.say(grammar.trained(self._language, rng)[0], manner)
                if spoken is not None:
                    pause = rng.randint(1500, 3 * RATE if rng.random() < 0.05 else 12_000)
                    pieces += [spoken.samples, np.zeros(pause, np.float32)]
                    length += len(spoken.samples) + pause
        return self._heard(np.concatenate(pieces))

    def _heard(self, samples: np.ndarray) -> np.ndarray:
        """With noise now and then, and at some loudness."""
        rng = self._rng
        if rng.random() < NOISY:
            noise = sounds.noise(self._numbers, len(samples))
            samples = samples + noise * np.float32((SPEECH_VARIANCE * 10 ** (-rng.uniform(3, 30) / 10)) ** 0.5)
        heard: np.ndarray = np.clip(samples * np.float32(rng.uniform(0.3, 1)), -1, 1)
        return heard


def write_wav(path: Path, samples: np.ndarray) -> None:
    """16-bit mono at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())


def _make(folder: Path, language: str, seconds: float, seed: int) -> None:
    """Speak until `seconds` of clips and as many of talks are on disk. One process."""
    speaker = Speaker(language, seed)
    for name, make in (("clip", speaker.clip), ("talk", speaker.talk)):
        made = number = 0
        while made < seconds * RATE / 2:
            samples = make()
            write_wav(folder / f"{name}-{language}-{seed}-{number:05d}.wav", samples)
            made, number = made + len(samples), number + 1


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours-english", type=float, default=14)
    parser.add_argument("--hours-dutch", type=float, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=100, help="of the first process")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    hours = {"en": given.hours_english, "nl": given.hours_dutch}
    seeds = range(given.seed, given.seed + given.processes)
    jobs = [(given.folder, name, n * 3600 / given.processes, seed) for name, n in hours.items() for seed in seeds]
    in_processes(_make, jobs, given.processes)


if __name__ == "__main__":
    main()
