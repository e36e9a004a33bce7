"""Log-mel frames as librosa makes them, for vectors like those of ports that used it in place of Kaldi's filter bank.

As `librosa.feature.melspectrogram(n_fft=512, hop_length=160, n_mels=80)`, then the natural logarithm: frames are
centred, with silence before the first sample and behind the last, 1 + S // 160 of them; a periodic Hann window;
Slaney's mel scale with triangles of equal area from 0 Hz. Samples stay in [-1, 1]; there is no pre-emphasis.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from literatim.audio.mel import HOP_LENGTH, mel_filters

N_FFT = 512
FLOOR = 1e-10  # the least power of a band, `librosa.power_to_db`'s
BLOCK = 256  # frames that are transformed at once: they stay in a CPU's caches


def log_mel(samples: Tensor, n_mels: int = 80) -> Tensor:
    """Samples (..., S) at 16 kHz -> float32 (..., 1 + S // 160, n_mels)."""
    padded = torch.nn.functional.pad(samples, (N_FFT // 2, N_FFT // 2))
    cut = padded.unfold(-1, N_FFT, HOP_LENGTH)  # (..., T, 512), a view
    parts = (_log_mel(cut[..., at : at + BLOCK, :], n_mels) for at in range(0, cut.shape[-2], BLOCK))
    return torch.cat(list(parts), -2)


def _log_mel(cut: Tensor, n_mels: int) -> Tensor:
    spectrum = torch.fft.rfft(cut.double() * _window())  # (..., T, 257)
    power = spectrum.real.square() + spectrum.imag.square()
    logarithm: Tensor = (power @ mel_filters(n_mels, N_FFT).double().T).clamp(min=FLOOR).log()
    return logarithm.float()


@functools.lru_cache(maxsize=1)
def _window() -> Tensor:
    return torch.hann_window(N_FFT, dtype=torch.float64)
