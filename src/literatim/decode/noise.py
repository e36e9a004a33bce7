"""Noise for sampling, the same for a token wherever and beside whatever it is sampled.

argmax(logits / T + noise) with standard Gumbel noise is a sample of softmax(logits / T) (Gumbel, 1954). The noise of a
position comes from a counter-based generator (Philox 4x64, Salmon et al., 2011), so that it depends on what is
sampled and not on what was sampled before: speculation and batching leave the words as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from literatim.decode.rules import argmax


class Noise:
    """The noise of one window of one recording at one temperature."""

    def __init__(self, seed: int, recording: bytes, window: int, temperature: float, sample: int = 0) -> None:
        """`recording` tells one recording from another, by its content; `window` is its first frame.

        `sample` counts those that are drawn at that temperature.
        """
        self.temperature, self._sample = temperature, sample
        name = f"{seed} {window} {float(temperature)!r} ".encode() + recording  # 1 is 1.0
        self._key = np.frombuffer(hashlib.blake2b(name, digest_size=16).digest(), np.uint64)
        self._kept: dict[int, Tensor] = {}

    def at(self, position: int, size: int) -> Tensor:
        """(size,) float32 on the CPU, for the token at `position` of what is said."""
        if position not in self._kept:
            self._kept[position] = self._make(position, size)
        return self._kept[position]

    def forget(self, position: int) -> None:
        """Drop the noise before `position`, which is not asked for again."""
        for past in [past for past in self._kept if past < position]:
            del self._kept[past]

    def _make(self, position: int, size: int) -> Tensor:
        generator = np.random.Philox(key=self._key, counter=np.array([0, position, self._sample, 0], np.uint64))
        words = generator.random_raw((size + 1) // 2).view(np.uint32)[:size]
        uniform = (words + 0.5) * 2.0**-32  # never 0, never 1
        return torch.from_numpy(-np.log(-np.log(uniform))).float()


Place = tuple[int, int, Noise | None]
"""A row of some scores, the position of what is said that it decides, and the noise of what is sampled there."""


def sampled(scores: Tensor, places: Sequence[Place], to_main: Tensor | None = None, size: int = 0) -> Tensor:
    """The best id (N,) int32 of `scores` (N, V), to which noise is added.

    A draft's ids are `to_main` (V,) of a main model's `size`, whose noise they take.
    """
    for at, position, noise in places:
        if noise is not None:
            found = noise.at(position, size or scores.shape[1]).to(scores.device)
            scores[at] = scores[at] / noise.temperature + (found if to_main is None else found[to_main])
    return argmax(scores)
