"""Faults of what a network for voices has beside convolutions: ReLU, masks of frames, and statistics over time."""

from __future__ import annotations

import torch
from torch import Tensor

from literatim.verify.planted.numbers import rounded
from literatim.verify.planted.strike import Change, Struck


def leaking(share: float) -> Change:
    """A ReLU that lets this share of negative numbers through."""

    def change(call: Struck) -> Tensor:
        x = call.args[0]
        return torch.where(x < 0, share * x, x)

    return change


def capped(share: float) -> Change:
    """A ReLU that gives no more than this share of the largest."""

    def change(call: Struck) -> Tensor:
        clean = call.clean()
        return clean.clamp(max=share * float(clean.max()))

    return change


def unmasked(_amount: float) -> Change:
    """Frames that only fill a row up are left as they are."""
    return lambda call: call.args[0]


def late_mask(frames: float) -> Change:
    """A mask that shows so many frames too many, or too few where below 0."""
    return lambda call: call.given(1, _moved(call.args[1], int(frames)))


def _moved(mask: Tensor, frames: int) -> Tensor:
    if frames > 0:
        return torch.cat([mask[..., :1].expand(*mask.shape[:-1], frames), mask[..., :-frames]], -1)
    return torch.cat([mask[..., -frames:], torch.zeros_like(mask[..., :-frames])], -1)


def of_all(_amount: float) -> Change:
    """A variance that divides the sum of squares by the number of steps, not by one less."""
    return lambda call: call.clean() if isinstance(call.args[1], Tensor) else call.args[0]


def wrong_floor(value: float) -> Change:
    """Under the root another number than 1e-7."""
    return lambda call: call.given(1, value)


def coarse_root(bits: float) -> Change:
    """A root of so many bits of mantissa."""
    return lambda call: rounded(call.clean(), int(bits))
