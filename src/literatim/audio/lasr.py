"""MedASR's features: log-mel frames of 25 ms each 10 ms, as transformers' `LasrFeatureExtractor` makes them.

Unlike Whisper's: frames are not centred and stand alone, so that a recording of S samples has 1 + (S - 400) // 160 of
them and none depends on how loud another is; a symmetric window; 128 triangles on the mel scale of Kaldi from 125 Hz to
7500 Hz; the natural logarithm. Computed in float64, as there.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from literatim.audio.mel import HOP_LENGTH, SAMPLE_RATE

FRAME = 400  # samples, 25 ms
N_FFT = 512
LOWEST, HIGHEST = 125.0, 7500.0  # Hz
FLOOR = 1e-5  # the least power of a band
BLOCK = 256  # frames that are transformed at once: they stay in a CPU's caches, which took a third of the time


def frames(samples: int) -> int:
    """Frames of so many samples."""
    return max(0, 1 + (samples - FRAME) // HOP_LENGTH)


def samples(frames: int) -> int:
    """The fewest samples that give so many frames."""
    return (frames - 1) * HOP_LENGTH + FRAME


def log_mel(sound: Tensor, n_mels: int = 128) -> Tensor:
    """Samples (..., S) at 16 kHz -> float32 (..., T, n_mels); T is 0 where S is below 400."""
    count = frames(sound.shape[-1])
    if not count:
        return torch.zeros(*sound.shape[:-1], 0, n_mels)
    cut = sound.unfold(-1, FRAME, HOP_LENGTH)  # (..., T, 400), a view
    parts = (_log_mel(cut[..., at : at + BLOCK, :], n_mels) for at in range(0, count, BLOCK))
    return torch.cat(list(parts), -2)


def _log_mel(cut: Tensor, n_mels: int) -> Tensor:
    spectrum = torch.fft.rfft(cut.double() * _window(), n=N_FFT)  # (..., T, 257)
    power = spectrum.real.square() + spectrum.imag.square()
    logarithm: Tensor = (power @ filters(n_mels, LOWEST, HIGHEST)).clamp(min=FLOOR).log()
    return logarithm.float()


def _mel(hertz: float) -> float:
    return 1127.0 * math.log1p(hertz / 700.0)


@functools.lru_cache(maxsize=1)
def _window() -> Tensor:
    return torch.hann_window(FRAME, periodic=False, dtype=torch.float64)


@functools.lru_cache(maxsize=8)
def filters(n_mels: int, lowest: float, highest: float) -> Tensor:
    """Kaldi's triangles from `lowest` to `highest` Hz: slopes straight in mels, height 1; float64 (257, n_mels).

    0 Hz is below all of them.
    """
    hertz = torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1, dtype=torch.float64)
    bins = 1127.0 * torch.log1p(hertz / 700.0)
    edges = torch.linspace(_mel(lowest), _mel(highest), n_mels + 2, dtype=torch.float64)
    width = edges.diff()
    rising = (bins[:, None] - edges[:-2]) / width[:-1]
    falling = (edges[2:] - bins[:, None]) / width[1:]
    return torch.minimum(rising, falling).clamp(min=0)
