"""Few positions of a long axis that stand for all, so that a reference is small enough to be mailed.

An encoder does the same at each of its positions, and so does a decoder with a prompt. Where only some positions of a
result are kept, they are repeated along the axis, in the reference and on the device alike: what follows has inputs of
full size, and the kept positions are enough to make them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Positions:
    """Which positions of a long axis are kept.

    `span` is the length of the encoder's axis, `block` that of a prompt's; an axis may be a multiple of one of them.
    `kept` of the positions stay; with None all do.
    """

    span: int
    block: int
    kept: int | None = None

    def axis(self, shape: Sequence[int]) -> int | None:
        """The long axis of a result; None where it has none, or all is kept. Features are never one, frames may be."""
        if self.kept is None:
            return None
        last = len(shape) - 1
        for at, size in enumerate(shape):
            if size and (size % self.span == 0 or (at < last and size % self.block == 0)):
                return at
        return None

    def shrink(self, values: Tensor) -> Tensor:
        """The kept positions, evenly spread."""
        axis = self.axis(values.shape)
        if axis is None or self.kept is None or not values.is_floating_point():
            return values
        size = values.shape[axis]
        places = torch.linspace(0, size - 1, min(self.kept, size)).round().long()
        return values.index_select(axis, places.to(values.device))

    def grow(self, kept: Tensor, shape: Sequence[int]) -> Tensor:
        """The kept positions one after the other, again and again, to the whole shape."""
        axis = self.axis(shape)
        if axis is None or not kept.is_floating_point():
            return kept
        return kept.index_select(axis, torch.arange(shape[axis]) % kept.shape[axis])
