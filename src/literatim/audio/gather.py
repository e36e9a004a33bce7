"""Decoded blocks in, 16 kHz float32 blocks out: checks, channel choice and resampling, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from literatim.audio.limits import Tally
from literatim.errors import AudioContentError, AudioFormatError, OptionError

SAMPLE_RATE = 16_000
FULL_SCALE_LIMIT = 100.0  # full scale is 1; beyond 100 the numbers are integers in disguise, or broken
CANCELLED = 1e-4  # the mix holds less than this part of the channels' power: 40 dB are gone
AUDIBLE = 1e-8  # mean power of -80 dB below full scale

Samples = NDArray[np.float32]


def channel_choice(text: str, label: str) -> str | int:
    """'mix', 'split' or a channel's number from 0; anything else is an OptionError."""
    if text in ("mix", "split"):
        return text
    if not (text.isascii() and text.isdigit()):
        raise OptionError(f"channels is {text!r}; give mix, split, or one channel's number from 0 ({label})")
    return int(text)


class Gatherer:
    """Turns blocks of one recording into blocks of its kept channels at 16 kHz, none of which it holds.

    Blocks may change their rate and, with 'mix', their number of channels.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._label = tally.label
        self._choice = channel_choice(tally.options.channels, tally.label)
        self._channels = 0
        self._rate = 0.0
        self._resampler: soxr.ResampleStream | None = None
        self._kept = 0
        self._power = 0.0
        self._mixed_power = 0.0
        self._frames = 0

    def add(self, block: Samples, rate: float) -> Iterator[Samples]:
        """Take one block (C, n) of decoded samples at `rate` Hz; gives blocks (kept, n) at 16 kHz."""
        self._check_values(block)
        if self._channels == 0:
            self._start(len(block))
        elif len(block) != self._channels and self._choice != "mix":
            change = f"from {self._channels} to {len(block)}"
            raise AudioFormatError(
                f"{self._label}: its number of channels changes {change} on the way; use channels mix"
            )
        if rate != self._rate:
            yield from self.flush()
            self._rate = rate
            if rate != SAMPLE_RATE:
                self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, self._kept, dtype="float32", quality="HQ")
        yield self._resample(self._choose(block), last=False)

    def flush(self) -> Iterator[Samples]:
        """What the resampler still holds, (kept, n)."""
        if self._resampler is not None:
            yield self._resample(np.empty((self._kept, 0), np.float32), last=True)
            self._resampler = None

    @property
    def channels(self) -> tuple[int | None, ...]:
        """The numbers of the kept channels, None for the mix; known after the first block."""
        if self._choice == "split":
            return tuple(range(self._kept))
        return (None if isinstance(self._choice, str) else self._choice,)

    @property
    def cancelled(self) -> bool:
        """Whether the channels were audible and their mean is not."""
        heard = self._power > AUDIBLE * self._frames
        return self._choice == "mix" and heard and self._mixed_power < CANCELLED * self._power

    def _start(self, channels: int) -> None:
        self._channels = channels
        if isinstance(self._choice, int) and self._choice >= channels:
            there = "one channel, 0" if channels == 1 else f"{channels} channels, 0 to {channels - 1}"
            raise OptionError(f"{self._label}: there is no channel {self._choice}; it has {there}")
        self._kept = channels if self._choice == "split" else 1

    def _check_values(self, block: Samples) -> None:
        if not np.isfinite(block).all():
            raise AudioContentError(
                f"{self._label}: it holds samples that are not numbers (NaN or infinity); export it again"
            )
        peak = float(np.abs(block).max(initial=0.0))
        if peak > FULL_SCALE_LIMIT:
            raise AudioContentError(f"{self._label}: its samples reach {peak:g} where 1 is full scale; scale them down")

    def _choose(self, block: Samples) -> Samples:  # (C, n) -> (kept, n)
        if self._choice == "split":
            return block
        if isinstance(self._choice, int):
            return block[self._choice : self._choice + 1]
        mixed: Samples = block.mean(axis=0, dtype=np.float32, keepdims=True)
        self._power += float(np.square(block).sum()) / len(block)
        self._mixed_power += float(np.square(mixed).sum())
        self._frames += block.shape[1]
        return mixed

    def _resample(self, block: Samples, last: bool) -> Samples:  # (kept, n) -> (kept, m)
        if self._resampler is not None:
            block = self._resampler.resample_chunk(np.ascontiguousarray(block.T), last=last).T
        self._tally.keep(block.nbytes)
        return block


def to_float(array: NDArray[Any]) -> Samples:
    """Samples as float32 with full scale 1: integers are divided by theirs, 8-bit unsigned is centred on 128.

    Raises TypeError for a dtype that is no audio.
    """
    if array.dtype.kind not in "fi" and array.dtype != np.uint8:
        raise TypeError(str(array.dtype))
    with np.errstate(over="ignore"):  # becomes infinity, which the value check reports
        floats: Samples = array.astype(np.float32)
    if array.dtype == np.uint8:
        floats -= np.float32(128)
    if array.dtype.kind != "f":
        bits = 8 * array.dtype.itemsize
        floats *= np.float32(2.0 ** (1 - bits))
    return floats
