"""FFmpeg's frames as blocks of float32 samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from literatim.audio.gather import Samples, to_float

BLOCK = 32_768  # samples per channel that are checked and resampled together


def blocks(frames: Iterator[Any]) -> Iterator[tuple[Samples, int]]:
    """Join frames (about 20 ms each) of one rate and width to blocks (C, n), with their rate in Hz."""
    convert = FrameConverter()
    waiting: list[NDArray[Any]] = []
    kind, samples = (0, np.dtype(np.float32), 0), 0
    for frame in frames:
        part, rate = convert(frame), frame.sample_rate
        if waiting and ((len(part), part.dtype, rate) != kind or samples >= BLOCK):
            yield to_float(np.concatenate(waiting, axis=1)), kind[2]
            waiting, samples = [], 0
        kind, samples = (len(part), part.dtype, rate), samples + part.shape[1]
        waiting.append(part)
    if waiting:
        yield to_float(np.concatenate(waiting, axis=1)), kind[2]


def size_of(frame: Any) -> int:
    """Bytes of a frame's samples, in the codec's own format."""
    return int(frame.samples * frame.layout.nb_channels * frame.format.bytes)


class FrameConverter:
    """Turns a frame into its samples (C, n), in their own dtype."""

    def __init__(self) -> None:
        self._packer: av.AudioResampler | None = None
        self._packs: tuple[Any, ...] = ()

    def __call__(self, frame: Any) -> NDArray[Any]:
        channels = frame.layout.nb_channels
        # PyAV counts planes up to a null pointer, which FFmpeg sets after at most seven; with more channels
        # it reads wild memory (PyAV 18.1, AudioFrame.planes). A packed frame has one plane for all channels.
        if frame.format.is_planar and channels > 7:
            frame = self._packed(frame)
        array: NDArray[Any] = frame.to_ndarray()
        if not frame.format.is_planar:  # one row, in which the channels take turns
            array = array.reshape(-1, channels).T
        return array

    def _packed(self, frame: Any) -> Any:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._packer is None or kind != self._packs:
            packed = frame.format.packed.name
            self._packer = av.AudioResampler(format=packed, layout=frame.layout, rate=frame.sample_rate)
            self._packs = kind
        samples = frame.samples
        (result,) = self._packer.resample(frame)
        if result.samples != samples:
            raise ValueError("its channels cannot be taken apart")
        return result
