"""A recording cut by the clock into chunks that overlap, as transformers' speech pipeline does (`chunk_length_s`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from literatim.audio.gather import SAMPLE_RATE
from literatim.errors import OptionError


@dataclass(frozen=True)
class Strides:
    """Samples of a chunk, and how many of them it shares with the one before it and with the one after it."""

    chunk: int
    left: int
    right: int

    @classmethod
    def of(cls, chunk_seconds: float | None, stride_seconds: Sequence[float] | None, window: int) -> Strides:
        """By default a chunk fills a window of so many samples, and shares a sixth with each neighbour.

        One stride is for both sides. Raises OptionError for chunks that a window cannot hold, or that do not go on.
        """
        longest = window / SAMPLE_RATE
        seconds = longest if chunk_seconds is None else chunk_seconds
        left, *more = (seconds / 6,) if stride_seconds is None else stride_seconds
        if len(more) > 1:
            raise OptionError("stride_length_s is one number, or two: for the left and for the right side of a chunk")
        made = cls(*(round(time * SAMPLE_RATE) for time in (seconds, left, more[0] if more else left)))
        if made.chunk > window:
            raise OptionError(f"chunk_length_s is {seconds}; this model's window holds {longest:g} s")
        if made.chunk <= made.left + made.right:
            both = (made.left + made.right) / SAMPLE_RATE
            raise OptionError(
                f"a chunk of {seconds:g} s shares {both:g} s with its neighbours; stride_length_s is too long"
            )
        return made


@dataclass(frozen=True, eq=False)
class Overlapping:
    """Samples (n,) of a recording from `start` on; `left` and `right` of them are its neighbours' as well."""

    samples: Tensor
    start: int
    left: int
    right: int
    last: bool


class Strider:
    """Chunks of one recording that comes in pieces; holds no more of it than a chunk."""

    def __init__(self, strides: Strides) -> None:
        self._strides, self._start, self._held = strides, 0, torch.zeros(0)

    def push(self, samples: Tensor) -> Iterator[Overlapping]:
        """Take (n,) samples; the chunks that are whole, but for one that may be the last."""
        self._held = torch.cat([self._held, samples])
        strides, step = self._strides, self._strides.chunk - self._strides.left - self._strides.right
        while len(self._held) > strides.chunk:
            yield self._made(self._held[: strides.chunk].clone(), strides.right, False)
            self._start += step
            self._held = self._held[step:].clone()

    def finish(self) -> Iterator[Overlapping]:
        """The last chunk."""
        if len(self._held):
            yield self._made(self._held, 0, True)

    def _made(self, samples: Tensor, right: int, last: bool) -> Overlapping:
        return Overlapping(samples, self._start, self._strides.left if self._start else 0, right, last)
