"""What the runners are given: windows of sound, as samples and as features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from literatim.audio import mel

_SYLLABLES = 4.0  # a second, about the rate of speech
_HARMONICS = 24
_PITCH = 120.0  # Hz


@dataclass(frozen=True)
class Windows:
    """`samples` (B, S) float32 at 16 kHz and their `features` (B, M, T) float32, which no timing includes."""

    samples: NDArray[np.float32]
    features: Tensor

    @classmethod
    def make(cls, samples: NDArray[np.float32], n_mels: int) -> Windows:
        """Features of whole windows, each with its own maximum."""
        return cls(samples, mel.log_mel(torch.from_numpy(samples), n_mels).contiguous())

    def save(self, path: Path) -> None:
        """Into an .npz file, for the workers."""
        np.savez(path, samples=self.samples, features=self.features.numpy())

    @classmethod
    def load(cls, path: Path) -> Windows:
        """What `save` wrote."""
        with np.load(path) as arrays:
            return cls(arrays["samples"], torch.from_numpy(arrays["features"]))

    def __len__(self) -> int:
        return len(self.samples)


def babble(rows: int, seconds: float, seed: int) -> NDArray[np.float32]:
    """Sound like speech without words, (rows, seconds * 16000): a gliding voice in syllables, and some noise."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * mel.SAMPLE_RATE)) / mel.SAMPLE_RATE  # (S,)
    made = np.empty((rows, len(time)), dtype=np.float32)
    for row in made:
        begin, glide = random.uniform(0, 2 * np.pi, 2)
        pitch = _PITCH * random.uniform(0.8, 1.6) * (1 + 0.15 * np.sin(0.7 * time + glide))
        phase = 2 * np.pi * np.cumsum(pitch) / mel.SAMPLE_RATE
        weights = random.uniform(0.2, 1.0, _HARMONICS) / np.arange(1, _HARMONICS + 1)
        voice = sum(weight * np.sin((index + 1) * phase) for index, weight in enumerate(weights))
        syllables = np.clip(np.sin(2 * np.pi * _SYLLABLES * time + begin), 0, 1)
        row[:] = 0.1 * voice * syllables + 0.01 * random.standard_normal(len(time))
    return made


def cut(samples: NDArray[np.float32], rows: int, seconds: float) -> NDArray[np.float32]:
    """`rows` windows one after the other from a recording (S,), from its start again when it ends."""
    size = round(seconds * mel.SAMPLE_RATE)
    repeated = np.resize(samples, rows * size)
    return np.ascontiguousarray(repeated.reshape(rows, size), dtype=np.float32)
