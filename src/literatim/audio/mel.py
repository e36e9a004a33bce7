"""Whisper's log-mel spectrogram, batched, in torch.

The constants and the three steps (short-time Fourier transform, slaney mel filters, log10 with a floor eight
decades below the maximum) are those of openai/whisper's `audio.py`; the filters follow librosa's slaney scale.
"""

from __future__ import annotations

import functools
import math
from typing import Protocol

import torch

SAMPLE_RATE = 16_000
N_FFT = 400  # samples, 25 ms
HOP_LENGTH = 160  # samples, 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_LENGTH  # 100
LOG_FLOOR = -10.0  # log10 of the smallest power kept, 1e-10
DYNAMIC_RANGE = 8.0  # decades kept below the maximum


def _hertz_to_mel(hertz: float) -> float:
    """The slaney scale: linear to 1 kHz, logarithmic above."""
    return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _mel_to_hertz(mel: torch.Tensor) -> torch.Tensor:
    return torch.where(mel < 15, 200 * mel / 3, 1000 * torch.exp(math.log(6.4) * (mel - 15) / 27))


@functools.lru_cache(maxsize=8)
def mel_filters(n_mels: int, n_fft: int = N_FFT) -> torch.Tensor:
    """Triangular filters with equal area (slaney), 0 to 8 kHz: float32 (n_mels, n_fft / 2 + 1)."""
    top = _hertz_to_mel(SAMPLE_RATE / 2)
    edges = _mel_to_hertz(torch.linspace(0, top, n_mels + 2, dtype=torch.float64))  # (n_mels + 2,)
    bins = torch.linspace(0, SAMPLE_RATE / 2, n_fft // 2 + 1, dtype=torch.float64)
    width = edges.diff()
    slopes = edges[:, None] - bins[None, :]  # (n_mels + 2, 201)
    rising, falling = -slopes[:-2] / width[:-1, None], slopes[2:] / width[1:, None]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).float()


@functools.lru_cache(maxsize=1)
def _hann_window() -> torch.Tensor:
    return torch.hann_window(N_FFT)


def log_power(padded: torch.Tensor, n_mels: int) -> torch.Tensor:
    """log10 of the mel power of frames laid over `padded`, before the floor at the maximum less eight.

    `padded`: float32 (..., 240 + 160 F) samples, that is F frames' hops with the 200 samples that surround the
    first frame's centre and the rest of the last frame. Returns float32 (..., n_mels, F), at least -10.
    """
    frames = padded.unfold(-1, N_FFT, HOP_LENGTH)  # (..., F, 400)
    power = torch.fft.rfft(frames * _hann_window()).abs().square()  # (..., F, 201)
    mel = mel_filters(n_mels) @ power.transpose(-1, -2)  # (..., n_mels, F)
    logarithm: torch.Tensor = mel.clamp(min=1e-10).log10()
    return logarithm


class Samples(Protocol):
    """The samples of one recording: a tensor (S,), or what is sliced as one."""

    def __len__(self) -> int:
        """S."""
        ...

    def __getitem__(self, part: slice, /) -> torch.Tensor:
        """(n,) float32."""
        ...


def frames_of(samples: Samples, start: int, count: int, n_mels: int) -> torch.Tensor:
    """`log_power` of mel frames [start, start + count) of a recording (S,): float32 (n_mels, count).

    As in openai/whisper the recording is mirrored before its first sample and followed by silence.
    """
    first, last = start * HOP_LENGTH - N_FFT // 2, (start + count - 1) * HOP_LENGTH + N_FFT // 2
    part = samples[max(first, 0) : max(last, 0)]
    if first < 0:
        if len(samples) <= -first:  # too short to mirror: as if silence followed
            samples = torch.nn.functional.pad(samples[:], (0, 1 - first - len(samples)))
            part = samples[: max(last, 0)]
        part = torch.cat([samples[1 : 1 - first].flip(0), part])
    return log_power(torch.nn.functional.pad(part, (0, last - first - len(part))), n_mels)


def padded(samples: torch.Tensor, length: int) -> torch.Tensor:
    """Samples (n,), n <= length, as transformers' extractor has a window of so many: (length + 200,).

    Silence follows them, and what stands at the window's end is mirrored there.
    """
    window = torch.nn.functional.pad(samples, (0, length - len(samples)))
    return torch.cat([window, window[-N_FFT // 2 - 1 : -1].flip(0)])


class Maximum:
    """The largest `log_power` of a recording that comes in pieces, a minute at a time so that memory stays flat."""

    def __init__(self, n_mels: int, block: int = 6000) -> None:
        self._n_mels, self._block = n_mels, block
        self._held, self._first = torch.zeros(0), 0  # samples, and the number of the first
        self._frame = 0  # the first that is not heard yet
        self._peak = LOG_FLOOR

    def push(self, samples: torch.Tensor) -> None:
        """Take (n,) samples."""
        self._held = torch.cat([self._held, samples])
        while self._first + len(self._held) >= (self._frame + self._block - 1) * HOP_LENGTH + N_FFT // 2:
            self._hear(self._block)
            past = max(0, self._frame * HOP_LENGTH - N_FFT // 2 - self._first)
            self._held, self._first = self._held[past:].clone(), self._first + past

    def finish(self) -> float:
        """Of all samples; frames that reach over the end hear it as well."""
        total = -(-(self._first + len(self._held) + N_FFT // 2) // HOP_LENGTH)
        while self._frame < total:
            self._hear(min(self._block, total - self._frame))
        return self._peak

    def _hear(self, count: int) -> None:
        held = _From(self._held, self._first)
        self._peak = max(self._peak, float(frames_of(held, self._frame, count, self._n_mels).max()))
        self._frame += count


class _From:
    """The samples of a recording from one on, by their numbers in it."""

    def __init__(self, held: torch.Tensor, first: int) -> None:
        self._held, self._first = held, first

    def __len__(self) -> int:
        return self._first + len(self._held)

    def __getitem__(self, part: slice) -> torch.Tensor:
        start, stop, _ = part.indices(len(self))
        return self._held[start - self._first : stop - self._first]


def maximum(samples: torch.Tensor, n_mels: int, block: int = 6000) -> float:
    """The largest `log_power` of a whole recording (S,)."""
    found = Maximum(n_mels, block)
    found.push(samples)
    return found.finish()


def normalise(log_mel: torch.Tensor, peak: float | torch.Tensor) -> torch.Tensor:
    """Whisper's input range: floor at `peak` less eight decades, then (x + 4) / 4."""
    floor = peak - DYNAMIC_RANGE
    floored = torch.maximum(log_mel, torch.as_tensor(floor, dtype=log_mel.dtype, device=log_mel.device))
    return (floored + 4.0) / 4.0


def log_mel(samples: torch.Tensor, n_mels: int) -> torch.Tensor:
    """What transformers' extractor gives for full windows (B, S): float32 (B, n_mels, S // 160).

    Each row uses its own maximum. S must be more than 200 samples.
    """
    mirrored = torch.nn.functional.pad(samples[:, None], (N_FFT // 2, N_FFT // 2), mode="reflect")[:, 0]
    used = samples.shape[-1] // HOP_LENGTH * HOP_LENGTH + N_FFT - HOP_LENGTH
    spectrum = log_power(mirrored[:, :used], n_mels)
    return normalise(spectrum, spectrum.amax(dim=(-2, -1), keepdim=True))
