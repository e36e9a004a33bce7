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


@dataclass(frozen=True)
class Scale:
    """The size of a truth (R, D): its root mean square, and those of its rows (R,) and channels (D,) by it."""

    power: float
    rms: float
    rows: Tensor
    channels: Tensor

    @classmethod
    def of(cls, truth: Tensor) -> Scale:
        """Of (..., D), over what is finite."""
        squares = as_rows(truth).square()
        if not math.isfinite(float(squares.sum())):
            squares = torch.where(squares.isfinite(), squares, 0.0)
        rms = math.sqrt(float(squares.mean())) or 1.0
        return cls(float(squares.sum()), rms, squares.mean(1).sqrt() / rms, squares.mean(0).sqrt() / rms)


def spread(got: Tensor, truth: Tensor, scale: Scale | None = None) -> Spread:
    """Of two results of one shape, over what is finite in both; `scale` is the truth's, where it is known already."""
    true = as_rows(truth)
    return _spread(_difference(as_rows(got), true)[0], true, scale or Scale.of(truth), noise=True)


def measure(
    got: Tensor, truth: Tensor, floor: Spread, unit: float, product: bool = False, scale: Scale | None = None
) -> Deviation:
    """How far `got` is from `truth`, both (..., D), where the CPU's is `floor`; `unit` is the dtype's roundoff.

    Of a `product` the sums are rounded once, at the end, so that nothing is granted that all values have in common.
    """
    if got.shape != truth.shape:
        raise ValueError(f"a result of shape {tuple(got.shape)} beside {tuple(truth.shape)}")
    mine, true, scale = as_rows(got), as_rows(truth), scale or Scale.of(truth)
    off, bad = _difference(mine, true)
    found = _spread(off, true, scale, noise=False)
    return Deviation(
        elements=got.numel(),
        error=found.error,
        floor=floor.error,
        ratios=_ratios(found, floor, scale, got.numel(), unit, unit / 64 if product else unit / 4),
        max_abs=float(off.abs().max()),
        cosine=_cosine(found, scale),
        not_finite=bad,
    )


def exact(got: Tensor, expected: Tensor) -> Deviation:
    """Of a result that must be the same to the last bit."""
    mine, true = got.detach().cpu(), expected.detach().cpu()
    if torch.equal(mine, true):
        return Deviation(true.numel(), 0.0, 0.0, {}, 0.0, 1.0, 0, 0)
    same = (mine == true) | (mine.isnan() & true.isnan())
    differing = int((~same).sum())
    return Deviation(true.numel(), math.sqrt(differing / true.numel()), 0.0, {}, 0.0, 1.0, 0, differing)


def _difference(mine: Tensor, true: Tensor) -> tuple[Tensor, int]:
    """What is between them, 0 where one is not finite; and how many are not finite in one, or not alike in both."""
    off = mine - true
    if math.isfinite(float(off.sum())):
        return off, 0
    finite = mine.isfinite() & true.isfinite()
    return torch.where(finite, off, 0.0), int((~finite & (mine != true)).sum())


def _spread(off: Tensor, true: Tensor, scale: Scale, noise: bool) -> Spread:
    squares, along = off.square(), off * true
    if not math.isfinite(float(along.sum())):  # the truth has infinite scores, of what the rules forbid
        along = torch.where(true.isfinite(), along, 0.0)
    by_row, by_channel = squares.mean(1), squares.mean(0)
    power = scale.power or 1.0
    return Spread(
        error=math.sqrt(float(by_row.mean())) / scale.rms,
        rows=by_row.sqrt() / scale.rms,
        channels=by_channel.sqrt() / scale.rms,
        offsets=off.mean(0) / scale.rms,
        gain=float(along.sum()) / power,
        gain_noise=math.sqrt(float(along.square().sum())) / power if noise else 0.0,
    )


def _ratios(found: Spread, floor: Spread, scale: Scale, elements: int, unit: float, common: float) -> dict[str, float]:
    """How many times the CPU's error the device's is; the dtype's own rounding is always granted.

    `common` is what is granted of a factor or a shift that all values have in common.
    """
    count = len(scale.rows)
    whole = max(floor.error, unit * (0.5 if elements >= FEW else 2.0))
    row = torch.maximum(floor.rows, whole * scale.rows).clamp(min=whole / 2)
    ratios = {"whole": found.error / whole, "row": float((found.rows / row).max())}
    channel = torch.maximum(floor.channels, whole * scale.channels).clamp(min=whole / 2)
    if count >= FEW:
        ratios["channel"] = float((found.channels / channel).max())
    if elements >= 64 * FEW:
        gain = max(_SIGMAS * max(floor.gain_noise, unit / math.sqrt(elements)), abs(floor.gain), common)
        ratios["gain"] = abs(found.gain) / gain
    if count >= 4 * FEW:
        offset = torch.maximum(_SIGMAS * channel / math.sqrt(count), common * scale.channels)
        ratios["offset"] = float((found.offsets.abs() / offset).max())
    return ratios


def _cosine(found: Spread, scale: Scale) -> float:
    """Of truth and result, from the error along the truth and the whole error."""
    ratio = 1 + found.gain
    size = math.sqrt(max(1 + 2 * found.gain + found.error**2, 0.0))
    return ratio / size if size and scale.power else 1.0
