"""Kaldi's filter bank features, which WeSpeaker's networks were trained on: log-mel frames of 25 ms each 10 ms.

As `torchaudio.compliance.kaldi.fbank` and kaldi-native-fbank give them with WeSpeaker's settings: samples in the range
of 16-bit integers; only whole frames, 1 + (S - 400) // 160 of them; in each its mean is subtracted, then pre-emphasis,
then a Hamming window; power of 512 points; 80 triangles on Kaldi's mel scale, 20 Hz to 8 kHz; the natural logarithm,
floored at float32's epsilon. No dither, so that a recording has one result. Computed in float64; Kaldi's is float32.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from literatim.audio.lasr import BLOCK, FRAME, N_FFT, filters, frames
from literatim.audio.mel import HOP_LENGTH

N_MELS = 80
LOWEST, HIGHEST = 20.0, 8000.0  # Hz
SCALE = 32768.0  # from [-1, 1] to the range of 16-bit integers, in which the floor is stated
EMPHASIS = 0.97
FLOOR = torch.finfo(torch.float32).eps  # 1.19e-7, the least power of a band


def fbank(samples: Tensor, n_mels: int = N_MELS) -> Tensor:
    """Samples (..., S) in [-1, 1] at 16 kHz -> float32 (..., T, n_mels).

    The mean over time is not subtracted. T is 0 where S is below 400.
    """
    count = frames(samples.shape[-1])
    if not count:
        return torch.zeros(*samples.shape[:-1], 0, n_mels)
    cut = samples.unfold(-1, FRAME, HOP_LENGTH)  # (..., T, 400), a view
    parts = (_log_mel(cut[..., at : at + BLOCK, :], n_mels) for at in range(0, count, BLOCK))
    return torch.cat(list(parts), -2)


def centred(features: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Frames (..., T, M) less their mean over time: what the network hears.

    `lengths` (B,): so many frames of each row of (B, T, M) count; those behind them become zeros.
    """
    if lengths is None:
        return features - features.mean(-2, keepdim=True)
    inside = (torch.arange(features.shape[-2]) < lengths[:, None])[..., None]  # (B, T, 1)
    kept = features.where(inside, torch.zeros(()))
    mean = kept.sum(-2, keepdim=True) / lengths.clamp(min=1)[:, None, None]
    return (kept - mean).where(inside, torch.zeros(()))


def _log_mel(cut: Tensor, n_mels: int) -> Tensor:
    frame = cut.double() * SCALE
    frame = frame - frame.mean(-1, keepdim=True)
    before = torch.cat([frame[..., :1], frame[..., :-1]], -1)  # a frame's first sample is its own predecessor
    spectrum = torch.fft.rfft((frame - EMPHASIS * before) * _window(), n=N_FFT)  # (..., T, 257)
    power = spectrum.real.square() + spectrum.imag.square()
    logarithm: Tensor = (power @ filters(n_mels, LOWEST, HIGHEST)).clamp(min=FLOOR).log()
    return logarithm.float()


@functools.lru_cache(maxsize=1)
def _window() -> Tensor:
    return torch.hamming_window(FRAME, periodic=False, dtype=torch.float64)
