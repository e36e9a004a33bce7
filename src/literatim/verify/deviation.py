"""One result beside its truth, measured from several sides and held against what the CPU's own arithmetic does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from literatim.verify.types import Deviation

UNIT = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8, torch.float64: 2.0**-53}
"""Unit roundoff: the largest relative error of rounding to nearest."""

FEW = 16  # elements below which a root mean square is a poor estimate
_SIGMAS = 5.0  # a mean over many roundings is rarely so many of its standard deviations away


@dataclass(frozen=True)
class Spread:
    """Errors of a result (R rows, D channels) by the truth's root mean square; `gain` is a common factor less 1.

    `rows` (R,) and `channels` (D,) are root mean squares over the others, `offsets` (D,) means over the rows.
    """

    error: float
    rows: Tensor
    channels: Tensor
    offsets: Tensor
    gain: float
    gain_noise: float

    def to_tensors(self) -> dict[str, Tensor]:
        """For a file: what is a number and what is a vector."""
        numbers = torch.tensor([self.error, self.gain, self.gain_noise], dtype=torch.float64)
        return {"numbers": numbers, "rows": self.rows.float(), "channels": self.channels.float()}

    @classmethod
    def from_tensors(cls, found: dict[str, Tensor]) -> Spread:
        """Of `to_tensors`; offsets are not kept, since their noise follows from the channels'."""
        error, gain, noise = found["numbers"].tolist()
        rows, channels = found["rows"].double(), found["channels"].double()
        return cls(error, rows, channels, torch.zeros_like(channels), gain, noise)


def as_rows(values: Tensor) -> Tensor:
    """(..., D) -> (R, D) float64 on the CPU; a vector is one row."""
    values = values.detach().cpu().double()
    return values.reshape(-1, values.shape[-1]) if values.dim() > 1 else values.reshape(1, -1)


def spread(got: Tensor, truth: Tensor) -> Spread:
    """Of two results of one shape, over what is finite in both."""
    mine, true = as_rows(got), as_rows(truth)
    finite = mine.isfinite() & true.isfinite()
    if not bool(finite.all()):
        mine, true = torch.where(finite, mine, 0.0), torch.where(finite, true, 0.0)
    off = mine - true
    squares = off.square()
    power = float(true.square().sum())
    rms = math.sqrt(power / max(true.numel(), 1)) or 1.0
    gain = float((off * true).sum()) / power if power else 0.0
    noise = math.sqrt(float((off * true).square().sum())) / power if power else 0.0
    return Spread(
        error=math.sqrt(float(squares.mean())) / rms if true.numel() else 0.0,
        rows=squares.mean(1).sqrt() / rms,
        channels=squares.mean(0).sqrt() / rms,
        offsets=off.mean(0) / rms,
        gain=gain,
        gain_noise=noise,
    )


def measure(got: Tensor, truth: Tensor, floor: Spread, unit: float) -> Deviation:
    """How far `got` is from `truth`, both (..., D), where the CPU's is `floor`; `unit` is the dtype's roundoff."""
    if got.shape != truth.shape:
        raise ValueError(f"a result of shape {tuple(got.shape)} beside {tuple(truth.shape)}")
    found = spread(got, truth)
    true, mine = as_rows(truth), as_rows(got)
    bad = int((~(mine.isfinite() & true.isfinite()) & (mine != true)).sum())
    true = torch.where(true.isfinite() & mine.isfinite(), true, 0.0)
    off = torch.where(mine.isfinite(), mine, true) - true
    return Deviation(
        elements=got.numel(),
        error=found.error,
        floor=floor.error,
        ratios=_ratios(found, floor, true, unit),
        max_abs=float(off.abs().max()) if off.numel() else 0.0,
        cosine=_cosine(true + off, true),
        not_finite=bad,
    )


def exact(got: Tensor, expected: Tensor) -> Deviation:
    """Of a result that must be the same to the last bit."""
    mine, true = got.detach().cpu(), expected.detach().cpu()
    same = (mine == true) | (mine.isnan() & true.isnan())
    differing = int((~same).sum())
    share = math.sqrt(differing / max(true.numel(), 1))
    return Deviation(true.numel(), share, 0.0, {}, 0.0, 1.0, 0, differing)


def _ratios(found: Spread, floor: Spread, truth: Tensor, unit: float) -> dict[str, float]:
    """How many times the CPU's error the device's is; the dtype's own rounding is always granted."""
    count = len(truth)
    rms = math.sqrt(float(truth.square().mean())) or 1.0
    least = unit * (0.5 if truth.numel() >= FEW else 2.0)
    whole = max(floor.error, least)
    by_row, by_channel = truth.square().mean(1).sqrt() / rms, truth.square().mean(0).sqrt() / rms
    row = torch.maximum(floor.rows, whole * by_row).clamp(min=whole / 8)
    channel = torch.maximum(floor.channels, whole * by_channel).clamp(min=whole / 8)
    ratios = {
        "whole": found.error / whole,
        "row": float((found.rows / row).max()),
        "channel": float((found.channels / channel).max()),
    }
    if truth.numel() >= 64 * FEW:
        gain = max(_SIGMAS * max(floor.gain_noise, unit / math.sqrt(truth.numel())), abs(floor.gain), unit / 16)
        ratios["gain"] = abs(found.gain) / gain
    if count >= 4 * FEW:
        offset = torch.maximum(_SIGMAS * channel / math.sqrt(count), unit / 16 * by_channel)
        ratios["offset"] = float((found.offsets.abs() / offset).max())
    return ratios


def _cosine(a: Tensor, b: Tensor) -> float:
    size = float(a.norm() * b.norm())
    return float((a * b).sum()) / size if size else 1.0
