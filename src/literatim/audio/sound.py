"""Recordings for those who need a whole one: held where short; where long, read again as samples are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from literatim.audio import mel
from literatim.audio.chunks import Cutter, Parts, Timeline
from literatim.audio.decode import Stream
from literatim.audio.vad import Span
from literatim.errors import LiteratimError

RATE = mel.SAMPLE_RATE
HELD = 10 * 60 * RATE  # samples of a channel that are held
BACK = 60 * RATE  # of a longer one, those that stay readable behind those asked for last


class Sliding:
    """Samples of one channel by their numbers, as a tensor's slices are; cheap forwards, read anew backwards.

    `peak` is the loudest mel power of all, `digest` what tells them from others. `lost` is the first sample that could
    not be read again, None where all could: silence stands from there on.
    """

    def __init__(self, blocks: Callable[[], Iterator[Tensor]], total: int, peak: float, digest: bytes) -> None:
        """`blocks()` gives the `total` samples in pieces (n,), from the first on."""
        self._open, self._total, self.peak, self.digest = blocks, total, peak, digest
        self._blocks, self._held, self._first = blocks(), torch.zeros(0), 0
        self.lost: int | None = None

    def __len__(self) -> int:
        """All its samples."""
        return self._total

    def __getitem__(self, part: slice, /) -> Tensor:
        """Samples [start, stop)."""
        start, stop, _ = part.indices(self._total)
        if start < self._first:
            self._blocks, self._held, self._first = self._open(), torch.zeros(0), 0
        while self._first + len(self._held) < stop:
            self._held = torch.cat([self._held, self._piece(stop)])
            past = min(max(0, start - BACK - self._first), len(self._held))
            self._held, self._first = self._held[past:], self._first + past
        return self._held[start - self._first : max(start, stop) - self._first].clone()

    def _piece(self, stop: int) -> Tensor:
        reached = self._first + len(self._held)
        try:
            piece = next(self._blocks, None)
        except LiteratimError:  # it could be read when it was gone through
            piece = None
        if piece is None:
            self.lost = reached if self.lost is None else min(self.lost, reached)
            piece = torch.zeros(stop - reached)
        return piece


@dataclass(frozen=True, eq=False)
class Sound:
    """A channel, or all speech in it with its times in the recording."""

    samples: Tensor | Sliding
    timeline: Timeline | None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of its text should know."""
        lost = self.samples.lost if isinstance(self.samples, Sliding) else None
        if lost is None:
            return ()
        seconds = lost / RATE if self.timeline is None else self.timeline.sample(lost) / RATE
        return (f"the recording changed while it was read: nothing was heard after {seconds:.2f} s; do it again",)


class _Taken:
    """The samples of a channel as they come, or what a cutter leaves of them."""

    def __init__(self, n_mels: int, cutter: Cutter | Parts | None) -> None:
        self._cutter, self.spans = cutter, list[Span]()
        self._n_mels, self._kept, self._total = n_mels, bytearray(), 0
        self._peak, self._hash = mel.Maximum(n_mels), hashlib.blake2b(digest_size=16)

    def push(self, samples: Tensor) -> None:
        """Take (n,) samples."""
        if self._cutter is None:
            self._take(samples)
            return
        for chunk in self._cutter.push(samples):
            self.spans += chunk.timeline.spans
            self._take(chunk.samples)

    def finish(self, blocks: Callable[[Sequence[Span] | None], Iterator[Tensor]]) -> Sound | None:
        """All of them, to be read again by `blocks` where they are many; None where nothing is left."""
        if self._cutter is not None:
            for chunk in self._cutter.finish():
                self.spans += chunk.timeline.spans
                self._take(chunk.samples)
        timeline, spans = (None, None) if self._cutter is None else (Timeline(self.spans), self.spans)
        if self._total > HELD:
            again = partial(blocks, spans)
            return Sound(Sliding(again, self._total, self._peak.finish(), self._hash.digest()), timeline)
        return Sound(_tensor(self._kept), timeline) if self._total else None

    def _take(self, samples: Tensor) -> None:
        self._total += len(samples)
        if self._total <= HELD:
            self._kept.extend(np.ascontiguousarray(samples).data)
            return
        if self._kept:
            kept, self._kept = _tensor(self._kept), bytearray()
            for start in range(0, len(kept), RATE):
                self._survey(kept[start : start + RATE])
        self._survey(samples)

    def _survey(self, samples: Tensor) -> None:
        self._peak.push(samples)
        self._hash.update(samples.contiguous().numpy().data)


def channels(stream: Stream, n_mels: int, cutter: Callable[[], Cutter | Parts] | None = None) -> list[Sound | None]:
    """The channels of a recording, gone through once; with `cutter`s, the speech that they find in each, if any.

    A cutter gives each span as a chunk of its own.
    """
    taken: list[_Taken] = []
    for block in stream:
        taken = taken or [_Taken(n_mels, None if cutter is None else cutter()) for _ in block]
        for channel, samples in zip(taken, block, strict=True):
            channel.push(torch.from_numpy(samples.copy()))
    return [channel.finish(partial(_again, stream, at)) for at, channel in enumerate(taken)]


def digest(samples: mel.Samples) -> bytes:
    """What tells samples from others."""
    if isinstance(samples, Sliding):
        return samples.digest
    return hashlib.blake2b(samples[:].contiguous().numpy().data, digest_size=16).digest()


def peak(samples: mel.Samples, n_mels: int) -> float:
    """The loudest mel power of all."""
    return samples.peak if isinstance(samples, Sliding) else mel.maximum(samples[:], n_mels)


def _tensor(samples: bytearray) -> Tensor:
    return torch.from_numpy(np.frombuffer(samples, dtype=np.float32))


def _again(stream: Stream, at: int, spans: Sequence[Span] | None) -> Iterator[Tensor]:
    """The samples of a channel once more, or those of its spans."""
    first, left = 0, list(spans or ())
    for block in stream:
        if at >= len(block):
            return
        samples, last = torch.from_numpy(block[at].copy()), first + block.shape[1]
        if spans is None:
            yield samples
        while left and left[0][0] < last:
            start, stop = left[0]
            yield samples[max(start, first) - first : min(stop, last) - first]
            if stop > last:
                break
            left.pop(0)
        first = last
