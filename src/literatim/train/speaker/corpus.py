"""What drawn voices say, on disk: log-mel frames of each voice, one utterance after the other.

    python -m literatim.train.speaker.corpus OUT --voices 2400

Rooms and narrow bands are put into the sound here; noise, which is cheap, comes while training.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.signal import butter, fftconvolve, sosfilt

from literatim.audio.fbank import fbank
from literatim.train import grammar, sounds
from literatim.train.corpus import in_processes, write_shard
from literatim.train.speaker import voices
from literatim.train.speech import Espeak

UTTERANCES = 16  # of each voice
SHARD = 200  # voices a file
ROOMS, NARROW = 0.35, 0.2  # shares of the utterances that are said in a room, and that have a narrow band
RATE = sounds.RATE


def reverberate(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """As if said in a room: the direct sound, and an echo that decays by 60 dB in 0.15 to 0.6 s."""
    decay = rng.uniform(0.15, 0.6)
    time = np.arange(int(decay * RATE)) / RATE
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / decay) * (time > 0.003)
    tail *= 10 ** (rng.uniform(-14, 0) / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1
    heard: np.ndarray = fftconvolve(samples, tail)[: len(samples)]
    return heard.astype(np.float32)


def narrow(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """A telephone's band, or nothing above 3 to 7 kHz."""
    if rng.random() < 0.5:
        band = butter(4, (rng.uniform(200, 400), rng.uniform(3200, 3700)), "bandpass", fs=RATE, output="sos")
    else:
        band = butter(6, rng.uniform(3000, 7000), fs=RATE, output="sos")
    return np.asarray(sosfilt(band, samples), np.float32)


class Speaker:
    """Draws voices and lets them speak."""

    def __init__(self, seed: int) -> None:
        self._rng, self._numbers = random.Random(f"speaker-train-{seed}"), np.random.default_rng(seed)
        self._espeak = Espeak()
        self._files = voices.Files(self._espeak)
        self._seed = seed

    def _utterance(self, voice: voices.Voice) -> np.ndarray | None:
        rng, numbers = self._rng, self._numbers
        accent = rng.choices(list(voices.ACCENTS), voices.WEIGHTS)[0]
        text, _ = grammar.trained(voices.ACCENTS[accent], rng)
        spoken = self._espeak.say(text, voices.manner(rng, self._files.path(voice, accent)))
        if spoken is None:
            return None
        samples = spoken.samples * np.float32(rng.uniform(0.1, 1))
        if rng.random() < ROOMS:
            samples = reverberate(numbers, samples)
        if rng.random() < NARROW:
            samples = narrow(numbers, samples)
        return fbank(torch.from_numpy(samples)).numpy().astype(np.float16)

    def voice(self, number: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Everything a new voice says, (T, 80), and its row."""
        voice = voices.draw(self._rng, f"{self._seed}v{number}")
        said = [self._utterance(voice) for _ in range(UTTERANCES)]
        frames = np.concatenate([one for one in said if one is not None])
        return frames, {"frames": len(frames), "voice": voice.name, "lines": voice.lines}


def make_shards(folder: Path, count: int, seed: int) -> None:
    """Let `count` voices speak. One process."""
    torch.set_num_threads(1)
    speaker = Speaker(seed)
    for start in range(0, count, SHARD):
        spoken = [speaker.voice(number) for number in range(start, min(count, start + SHARD))]
        write_shard(folder, f"{seed}-{start}", [frames for frames, _ in spoken], [row for _, row in spoken])


def make(folder: Path, count: int, processes: int) -> None:
    """Fill `folder` with what `count` voices say."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(folder, count // processes, seed) for seed in range(processes)]
    in_processes(make_shards, jobs, processes)


class Corpus:
    """All voices of a folder, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self._voices: list[np.ndarray] = []
        for path in sorted(folder.glob("*.json")):
            shard, start = np.load(path.with_suffix(".npy"), mmap_mode="r"), 0
            for row in json.loads(path.read_text("utf-8")):
                self._voices.append(shard[start : start + row["frames"]])
                start += row["frames"]

    def __len__(self) -> int:
        return len(self._voices)

    def __getitem__(self, index: int) -> np.ndarray:
        """Everything a voice says, (T, 80) float16."""
        return self._voices[index]

    def hours(self) -> float:
        """Of speech."""
        return sum(map(len, self._voices)) / 360_000


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--voices", type=int, default=2400)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    make(given.folder, given.voices, given.processes)


if __name__ == "__main__":
    main()
