"""Sound from a pipe that is still being written: WAV or bare samples, in whatever pieces they come, to 16 kHz."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from literatim.audio.gather import SAMPLE_RATE, Samples, to_float
from literatim.errors import AudioFormatError, OptionError

HELP = "convert it on the way: ffmpeg -i INPUT -f wav -ac 1 -ar 16000 - | literatim transcribe --live -"
_PACKED = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3", b"\x1aE\xdf\xa3": "Matroska or WebM", b"FORM": "AIFF"}
_HEAD = 12  # bytes: RIFF, a length, WAVE
_LONGEST_HEADER = 1 << 20
_INTEGER, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


class PcmStream:
    """Takes bytes, gives float32 (n,) at 16 kHz, channels mixed.

    What begins with RIFF is WAV, whose lengths are not believed: it lasts as long as the pipe does. Anything else is
    taken for int16, little-endian, one channel, at `sampling_rate`. Raises AudioFormatError for compressed sound.
    """

    def __init__(self, sampling_rate: float | None = None) -> None:
        self._rest = b""
        self._dtype: str | None = None
        self._bytes, self._channels = 2, 1
        self._rate = float(sampling_rate or SAMPLE_RATE)
        if not 4_000 <= self._rate <= 384_000:
            raise OptionError(f"the rate is {sampling_rate} Hz; it must lie between 4000 and 384000 Hz")
        self._given_rate = sampling_rate
        self._resampler: soxr.ResampleStream | None = None

    def feed(self, data: bytes) -> Samples:
        """The next bytes; gives what can be told of them so far."""
        self._rest += data
        if self._dtype is None and not self._begin():
            return np.empty(0, np.float32)
        size = self._bytes * self._channels
        whole = len(self._rest) // size * size
        block, self._rest = self._rest[:whole], self._rest[whole:]
        return self._resample(self._floats(block).reshape(-1, self._channels).mean(axis=1, dtype=np.float32))

    def finish(self) -> Samples:
        """What is held back when the pipe has ended; a cut sample is dropped."""
        if self._dtype is None and self._rest:  # shorter than any header
            self._dtype = "<i2"
            return self.feed(b"")
        return self._resample(np.empty(0, np.float32), last=True)

    def _resample(self, mono: Samples, last: bool = False) -> Samples:
        if self._rate == SAMPLE_RATE:
            return mono
        if self._resampler is None:
            self._resampler = soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        done: Samples = self._resampler.resample_chunk(mono, last=last)
        return done

    def _floats(self, block: bytes) -> Samples:
        if self._dtype != "<i3":
            return to_float(np.frombuffer(block, self._dtype))
        wide: NDArray[Any] = np.zeros((len(block) // 3, 4), np.uint8)  # 24 bits as the upper part of 32
        wide[:, 1:] = np.frombuffer(block, np.uint8).reshape(-1, 3)
        return to_float(wide.view("<i4")[:, 0])

    def _begin(self) -> bool:
        """Whether it is known by now what the bytes are; the header is taken away."""
        if len(self._rest) < _HEAD:
            return False
        for mark, name in _PACKED.items():
            if self._rest.startswith(mark):
                raise AudioFormatError(f"this pipe brings {name}; {HELP}")
        if not self._rest.startswith(b"RIFF"):
            self._dtype = "<i2"
            return True
        return self._header()

    def _header(self) -> bool:
        """Chunks up to the one that holds the samples."""
        at, found = _HEAD, None
        while len(self._rest) >= at + 8:
            name, length = struct.unpack_from("<4sI", self._rest, at)
            if name == b"data":
                if found is None:
                    raise AudioFormatError(f"this WAV says nothing of its samples; {HELP}")
                self._describe(found)
                self._rest = self._rest[at + 8 :]
                return True
            if name == b"fmt ":
                found = self._rest[at + 8 : at + 8 + length]
            at += 8 + length + length % 2
        if len(self._rest) > _LONGEST_HEADER:
            raise AudioFormatError(f"this WAV has no samples within a megabyte; {HELP}")
        return False

    def _describe(self, found: bytes) -> None:
        if len(found) < 16:
            raise AudioFormatError(f"this WAV says too little of its samples; {HELP}")
        kind, self._channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", found)
        if kind == _EXTENSIBLE and len(found) >= 26:
            (kind,) = struct.unpack_from("<H", found, 24)
        known = {(_INTEGER, 8): "u1", (_INTEGER, 16): "<i2", (_INTEGER, 24): "<i3", (_INTEGER, 32): "<i4"}
        known |= {(_FLOAT, 32): "<f4", (_FLOAT, 64): "<f8"}
        if (kind, bits) not in known or not 1 <= self._channels <= 64 or not 4_000 <= rate <= 384_000:
            what = f"format {kind}, {bits} bits, {self._channels} channels, {rate} Hz"
            raise AudioFormatError(f"this WAV holds {what}, which is not read from a pipe; {HELP}")
        if self._given_rate is not None and self._given_rate != rate:
            asked = f"{self._given_rate:g} Hz were given"
            raise OptionError(f"{asked}, but the pipe brings WAV at {rate} Hz; leave the rate out")
        self._dtype, self._bytes, self._rate = known[kind, bits], bits // 8, float(rate)
