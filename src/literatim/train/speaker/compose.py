"""Crops of voices for training, composed on the fly in the mel domain."""

from __future__ import annotations

import functools

import numpy as np
import torch

from literatim.audio.fbank import fbank
from literatim.train import sounds
from literatim.train.compose import Batch, bend
from literatim.train.speaker.corpus import Corpus

BANDS = 80
SOUND_SECONDS = 9
NOISY, HUSHED = 0.65, 0.25  # shares of crops with noise 0 to 30 dB below the speech, and with 30 to 60


@functools.cache
def _sound_bank() -> list[np.ndarray]:
    """Power (T, 80) of sounds with a mean of 1."""
    rng = np.random.default_rng(5)
    kinds = [sounds.noise] * 30 + [sounds.hum] * 5 + [sounds.tones] * 5 + [sounds.coughs] * 5
    made = (kind(rng, SOUND_SECONDS * sounds.RATE) for kind in kinds)
    powers = [np.exp(fbank(torch.from_numpy(sound)).numpy()) for sound in made]
    return [power / power.mean() for power in powers]


class Composer:
    """Draws voices and crops of what they say."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        self._corpus, self._rng, self._sounds = corpus, np.random.default_rng(seed), _sound_bank()

    def _crop(self, voice: int, frames: int) -> np.ndarray:
        """(frames, 80) centred log-mel of a voice, noise and channel included."""
        rng, said = self._rng, self._corpus[voice]
        start = int(rng.integers(0, len(said) - frames))
        power = np.exp(said[start : start + frames].astype(np.float32) + bend(rng, 0.8).astype(np.float32))
        kind = rng.random()
        if kind < NOISY + HUSHED:
            sound = self._sounds[rng.integers(len(self._sounds))]
            at = int(rng.integers(0, len(sound) - frames))
            below = rng.uniform(0, 30) if kind < NOISY else rng.uniform(30, 60)
            power += sound[at : at + frames] * np.float32(power.mean() * 10 ** (-below / 10))
        crop: np.ndarray = np.log(np.maximum(power, np.float32(1e-6)))
        crop -= crop.mean(0)
        if rng.random() < 0.3:
            low, width = rng.integers(0, BANDS - 8), rng.integers(1, 9)
            crop[:, low : low + width] = 0
        return crop

    def batch(self, lengths: tuple[int, ...], size: int) -> Batch:
        """`frames` (B, T, 80) of different voices, T one of `lengths`; `voices` (B,)."""
        frames = int(self._rng.choice(lengths))
        voices = self._rng.choice(len(self._corpus), size, replace=False)
        crops = np.stack([self._crop(int(voice), frames) for voice in voices])
        return {"frames": torch.from_numpy(crops), "voices": torch.from_numpy(voices)}
