"""Recordings in which the samples themselves say who speaks, and what hears that in them: no network of voices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from literatim.audio.silero import CONTEXT, FRAME
from literatim.types import Turn

RATE = 16_000
LEVEL = 0.01  # a speaker's samples are noise of LEVEL times 1, 2, 3, ...


class FakeSilero(torch.nn.Module):
    """Speech is what is not silent."""

    def __init__(self) -> None:
        super().__init__()
        self.stft = torch.nn.Conv1d(1, 1, 1)

    def start(self) -> None:
        return None

    def forward(self, frames: Tensor, state: None) -> tuple[Tensor, None]:
        assert frames.shape[-1] == CONTEXT + FRAME
        return (frames[..., CONTEXT:].abs().amax(-1) > 0).float(), state


@dataclass(frozen=True, eq=False)
class Script:
    """Who speaks when, and the vector of each."""

    turns: tuple[Turn, ...]
    seconds: float
    centres: np.ndarray  # (K, E)

    def blocks(self, size: int = RATE) -> Iterator[Tensor]:
        """The recording in blocks: each sample is plus or minus its speaker's number, from 1, times LEVEL."""
        for first in range(0, round(self.seconds * RATE), size):
            block = np.zeros(min(size, round(self.seconds * RATE) - first), np.float32)
            for turn in self.turns:
                start, end = round(turn.start * RATE) - first, round(turn.end * RATE) - first
                block[max(0, start) : max(0, end)] = LEVEL * (1 + int(turn.speaker))
            block[1::2] *= -1
            yield torch.from_numpy(block)

    def embed(self, noise: float, seed: int = 0):
        """What hears the share of each speaker in a window; the noise is the same for the same window's samples."""

        def heard(samples: Tensor, windows: Sequence[tuple[int, int]]) -> np.ndarray:
            found = np.empty((len(windows), self.centres.shape[1]), np.float32)
            for at, (start, end) in enumerate(windows):
                part = samples[start:end].abs().numpy()
                numbers = np.round(part / LEVEL).astype(int)
                shares = np.bincount(numbers, minlength=len(self.centres) + 1)[1:] / len(part)
                drawn = np.random.default_rng([seed, end - start, int(part.sum() * 1e4)])
                jitter = drawn.normal(size=found.shape[1]) / np.sqrt(found.shape[1])
                found[at] = shares @ self.centres + noise * jitter * np.sqrt(24_000 / max(len(part), 1600))
            return found

        return heard


def script(seed: int, speakers: int, seconds: float, size: int = 64) -> Script:
    """A conversation: turns of 1 to 6 s, pauses of 0.05 to 0.8 s, nobody twice in a row."""
    drawn = np.random.default_rng(seed)
    centres = drawn.normal(size=(speakers, size))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    turns: list[Turn] = []
    time, last = 0.3, -1
    while time < seconds - 6.5:
        others = [one for one in range(speakers) if one != last or speakers == 1]
        last = others[len(turns) % len(others)] if len(turns) < speakers else int(drawn.choice(others))
        end = time + drawn.uniform(1, 6)
        turns.append(Turn(round(time, 3), round(end, 3), str(last)))
        time = end + drawn.uniform(0.05, 0.8)
    return Script(tuple(turns), seconds, centres.astype(np.float32))
