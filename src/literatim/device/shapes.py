"""The shapes that a device is given: few, since each new one may be compiled (seconds on older Ascend series)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def bucket(rows: int, device: torch.device) -> int:
    """How many rows a batch of `rows` is padded to: 1, 2, 4, 8, ... on an accelerator, `rows` itself on the CPU.

    Powers of two leave at most half of the rows empty, and a batch of up to 32 meets 6 shapes instead of 32.
    """
    if rows < 1:
        raise ValueError(f"a batch has at least one row, not {rows}")
    return rows if device.type == "cpu" else 1 << (rows - 1).bit_length()
