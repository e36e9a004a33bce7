"""Any recording as 16 kHz float32 samples."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from literatim.audio.container import Reader
from literatim.audio.gather import SAMPLE_RATE, Gatherer, Samples, to_float
from literatim.audio.limits import Tally
from literatim.audio.source import Again, label_of
from literatim.errors import AudioContentError, AudioFormatError, OptionError
from literatim.options import AudioOptions

__all__ = ["MIN_SECONDS", "SAMPLE_RATE", "Recording", "Stream", "decode"]

MIN_SECONDS = 0.1
_DEFAULTS = AudioOptions()


@dataclass(frozen=True, eq=False)
class Recording:
    """A decoded recording.

    samples: one contiguous float32 array (S,) at 16 kHz for each channel kept; full scale is 1.
    channels: their numbers from 0, or (None,) for the mix.
    duration: seconds of `samples`.
    warnings: what is wrong with the recording, in words for its owner.
    name: the file's basename, or what else it came from.
    """

    samples: tuple[Samples, ...]
    channels: tuple[int | None, ...]
    duration: float
    warnings: tuple[str, ...]
    name: str


class Stream:
    """A recording that is decoded as it is read, block by block, from its beginning each time it is gone through.

    `channels`, `seconds` and `warnings` are those of the blocks so far, and complete when the last one has come;
    `stated` is how many seconds the file says it has, 0 where it does not.
    """

    def __init__(
        self,
        source: str | Path | bytes | BinaryIO | NDArray[Any],
        *,
        sampling_rate: float | None = None,
        options: AudioOptions = _DEFAULTS,
    ) -> None:
        """Arguments and errors as for `decode`."""
        self._options, self.name = options, label_of(source)
        self._source, self._again = source, Again(source, options.max_bytes)
        self._is_array = hasattr(source, "__array__")
        if sampling_rate is not None and not self._is_array:
            raise OptionError("sampling_rate is for arrays; a file carries its own")
        self._rate = _checked_rate(SAMPLE_RATE if sampling_rate is None else sampling_rate)
        self.channels: tuple[int | None, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self.seconds, self.stated = 0.0, 0.0

    def __iter__(self) -> Iterator[Samples]:
        """Blocks (kept, n) at 16 kHz."""
        self.warnings = ()
        tally = Tally(self.name, self._options)
        gatherer, samples = Gatherer(tally), 0
        blocks = self._array(tally) if self._is_array else self._file(tally)
        with closing(blocks):
            for block, rate in blocks:
                for part in gatherer.add(block, rate):
                    samples += part.shape[1]
                    self.channels, self.seconds = gatherer.channels, samples / SAMPLE_RATE
                    yield part
        for part in gatherer.flush():
            samples += part.shape[1]
            yield part
        self.seconds = samples / SAMPLE_RATE
        if self.seconds < MIN_SECONDS:
            raise AudioContentError(f"{self.name}: it lasts {self.seconds:.3f} s; at least {MIN_SECONDS} s are needed")
        if gatherer.cancelled:
            self.warnings += ("the channels cancel each other out; try --channels split",)

    def _array(self, tally: Tally) -> Generator[tuple[Samples, float], None, None]:
        for block in _array_blocks(self._source, self._rate, tally):
            yield block, self._rate

    def _file(self, tally: Tally) -> Generator[tuple[Samples, float], None, None]:
        with self._again.open() as opened:
            reader = Reader(opened, tally)
            with closing(reader.blocks()) as blocks:
                for block, rate in blocks:
                    self.stated = reader.stated
                    yield block, rate
            self.warnings = tuple(reader.warnings)


def decode(
    source: str | Path | bytes | BinaryIO | NDArray[Any],
    *,
    sampling_rate: float | None = None,
    options: AudioOptions = _DEFAULTS,
) -> Recording:
    """Read a recording: a path, '-' for standard input, bytes, a binary file object, or an array.

    An array (NumPy or torch) holds floats with full scale 1, or int8, int16, int32 or uint8, which are
    divided by theirs; its shape is (S,), (channels, S) or (S, channels): the shorter axis is the channels.
    `sampling_rate` in Hz is for arrays only (16 kHz if not given); a file carries its own. A file object is
    read from where it stands and is left open.

    The limits of `options` hold for every kind of source and are counted while decoding. Raises
    AudioNotFound, AudioFormatError, AudioLimitError, AudioContentError (also for less than 0.1 s), AudioError
    (a source that cannot be read) and OptionError.
    """
    stream = Stream(source, sampling_rate=sampling_rate, options=options)
    # A bytearray grows in place, where a list and its concatenation would hold everything twice.
    kept: list[bytearray] = []
    for block in stream:
        kept = kept or [bytearray() for _ in block]
        for held, channel in zip(kept, block, strict=True):
            held.extend(np.ascontiguousarray(channel).data)
    samples = tuple(np.frombuffer(held, dtype=np.float32) for held in kept)
    return Recording(samples, stream.channels, stream.seconds, stream.warnings, stream.name)


def _checked_rate(rate: Any) -> float:
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not math.isfinite(rate):
        raise OptionError(f"sampling_rate must be a number in Hz, not {rate!r}")
    return float(rate)


def _array_blocks(source: Any, rate: float, tally: Tally) -> Iterator[Samples]:
    """The array in blocks (C, n) of about a second, so that limits and memory hold as they do for files."""
    array = _two_axes(source)
    channels, samples = array.shape
    if array.size == 0:
        raise AudioContentError("array: it holds no samples")
    tally.check_format(rate, channels)
    tally.count(samples, rate, array.nbytes)
    step = max(1, int(rate))
    for first in range(0, samples, step):
        try:
            yield to_float(array[:, first : first + step])
        except TypeError as error:
            raise AudioFormatError(f"array: {error} is not a type of samples; give float32 or int16") from error


def _two_axes(source: Any) -> NDArray[Any]:  # (S,), (C, S) or (S, C) -> (C, S)
    if hasattr(source, "detach"):  # a torch tensor, perhaps with a gradient or on a device
        source = source.detach().cpu()
    try:
        array = np.asarray(source)
    except (TypeError, ValueError, RuntimeError) as error:  # torch's bfloat16 has no NumPy counterpart
        raise AudioFormatError(f"array: cannot be read: {error}; give float32 or int16") from error
    if array.ndim == 1:
        return array[None, :]
    if array.ndim != 2:
        raise AudioFormatError(f"array: it has {array.ndim} axes; give (samples,) or (channels, samples)")
    return array if array.shape[0] <= array.shape[1] else array.T
