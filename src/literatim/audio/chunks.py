"""A recording cut where nobody speaks: chunks of at most a window, and their times in the recording.

A chunk holds one or more spans of the recording, one after another without the silence between them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from literatim.audio.gather import SAMPLE_RATE
from literatim.audio.silero import Silero
from literatim.audio.vad import Limits, Span, Speech


class Timeline:
    """From samples of a chunk to samples of the recording, by the spans that the chunk is made of."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = tuple(spans)
        self._begins = [0]  # of each span in the chunk, and the chunk's length
        for start, end in self.spans:
            self._begins.append(self._begins[-1] + end - start)

    def __len__(self) -> int:
        """Samples of the chunk."""
        return self._begins[-1]

    def sample(self, place: int, *, closing: bool = False) -> int:
        """The sample of the recording at a place of the chunk.

        Where two spans meet it is the first sample of the later one, or `closing` one past the last of the earlier.
        """
        find = bisect_left if closing else bisect_right
        index = min(max(find(self._begins, place) - 1, 0), len(self.spans) - 1)
        start, end = self.spans[index]
        return min(max(start + place - self._begins[index], start), end)

    def seconds(self, seconds: float, *, closing: bool = False) -> float:
        """The same in seconds; to the sample where `seconds` is a sample's time."""
        return self.sample(round(seconds * SAMPLE_RATE), closing=closing) / SAMPLE_RATE


@dataclass(frozen=True, eq=False)
class Chunk:
    """Samples (n,) at 16 kHz and where they come from."""

    samples: Tensor
    timeline: Timeline


class Cutter:
    """Chunks of one recording that comes in pieces; holds no more of it than a chunk and what may still be speech.

    A chunk has at most `longest` samples, None: all speech is one chunk.
    """

    def __init__(self, network: Silero | None, limits: Limits, longest: int | None) -> None:
        self._speech, self._longest = Speech(network, limits), longest
        self._held, self._first = torch.zeros(0), 0  # samples, and the number of the first
        self._spans: list[Span] = []
        self._parts: list[Tensor] = []

    @property
    def total(self) -> int:
        """Samples of the recording so far."""
        return self._speech.total

    def push(self, samples: Tensor) -> Iterator[Chunk]:
        """Take (n,) samples; the chunks that are complete."""
        self._held = torch.cat([self._held, samples])
        yield from self._take(self._speech.push(samples))
        past = max(0, self._speech.needed - self._first)
        self._held, self._first = self._held[past:].clone(), self._first + past

    def finish(self) -> Iterator[Chunk]:
        """The chunks that are left."""
        yield from self._take(self._speech.finish())
        yield from self._pack()

    def _take(self, spans: list[Span]) -> Iterator[Chunk]:
        for start, end in spans:
            held = sum(map(len, self._parts))
            if self._parts and self._longest is not None and held + end - start > self._longest:
                yield from self._pack()
            if self._spans and self._spans[-1][1] == start:
                self._spans[-1] = (self._spans[-1][0], end)
            else:
                self._spans.append((start, end))
            self._parts.append(self._held[start - self._first : end - self._first].clone())

    def _pack(self) -> Iterator[Chunk]:
        if self._parts:
            yield Chunk(torch.cat(self._parts), Timeline(self._spans))
        self._spans, self._parts = [], []


class Parts:
    """Chunks of the parts [start, stop) of a recording, in samples, one after another; None: to the end.

    Each part is cut as a recording of its own.
    """

    def __init__(self, cutter: Callable[[], Cutter], parts: Sequence[tuple[int, int | None]]) -> None:
        self._make, self._left, self._total = cutter, list(parts), 0
        self._cutter: Cutter | None = None  # of the part that has begun

    def push(self, samples: Tensor) -> Iterator[Chunk]:
        """Take (n,) samples; the chunks that are complete."""
        first, self._total = self._total, self._total + len(samples)
        while self._left and self._left[0][0] < self._total:
            start, stop = self._left[0]
            self._cutter = self._cutter or self._make()
            within = samples[max(start - first, 0) : None if stop is None else max(stop - first, 0)]
            yield from (_moved(chunk, start) for chunk in self._cutter.push(within))
            if stop is None or stop > self._total:
                break
            yield from self.finish()

    def finish(self) -> Iterator[Chunk]:
        """The chunks that are left of the part that has begun."""
        if self._cutter is not None:
            start, _ = self._left.pop(0)
            yield from (_moved(chunk, start) for chunk in self._cutter.finish())
            self._cutter = None


def _moved(chunk: Chunk, by: int) -> Chunk:
    return Chunk(chunk.samples, Timeline([(start + by, end + by) for start, end in chunk.timeline.spans]))
