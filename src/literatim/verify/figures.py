"""How far numbers are from the truth: every figure of published reports of ports, and what those lack.

All are pure functions of two tensors of one shape, computed in float64 on the CPU. Figures are over the elements that
are finite in both; the others are counted in `not_finite`, so that no figure is ever NaN. A figure that has no meaning
(the cosine of zeros) is None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SMALL = 0.1  # of the truth's root mean square: elements below it have no relative error
FAINT = 0.1  # of the same: what a fainter row or channel is measured by, or noise on silence would be large
_TOP = 5
_LOST_BITS = 13  # of float32's 23 of mantissa, TF32 and HF32 keep 10
_ENOUGH = 64  # values from which it cannot be chance that all lie on a coarse grid


@dataclass(frozen=True)
class Errors:
    """One tensor beside its truth. Absolute figures are in the tensor's own unit, relative ones are shares.

    `relative_rms` is the root mean square of the error by that of the truth. `max_relative` and `mean_relative` are
    over all elements whose truth is not zero, as published reports have them, where values near zero blow them up;
    those with `_bounded` are over the share `bounded` of the elements that are not small (`SMALL`). `worst_row` is the
    largest relative RMS of a row (the last dimension), `row` its index; `worst_channel` that of a place of the last
    dimension over all rows, `channel` its index.
    """

    elements: int
    not_finite: int
    cosine: float | None
    max_abs: float
    mean_abs: float
    rmse: float
    relative_rms: float | None
    max_relative: float | None
    mean_relative: float | None
    max_relative_bounded: float | None
    mean_relative_bounded: float | None
    bounded: float
    worst_row: float | None
    row: tuple[int, ...]
    worst_channel: float | None
    channel: int


@dataclass(frozen=True)
class Distributions:
    """Logits beside theirs, position by position, after the softmax.

    `probability_cosine` is the least of all positions, `probability_max_abs` the largest difference of a probability,
    `kl` and `kl_max` the mean and the largest Kullback-Leibler divergence KL(truth, device) in nats, `greedy` the share
    of positions with the same likeliest token, `top5` the mean share of the truth's five likeliest tokens that are
    among the device's. `shift` is the mean of the differences at the position where it is largest: added to all logits
    alike it changes no probability, and `centred` are the errors without it. A position that is not finite matches
    nothing.
    """

    positions: int
    not_finite: int
    probability_cosine: float | None
    probability_max_abs: float | None
    kl: float | None
    kl_max: float | None
    greedy: float
    top5: float
    shift: float | None
    centred: Errors


def errors(got: Tensor, truth: Tensor) -> Errors:
    """Of two tensors of one shape (..., D). ValueError where the shapes differ or there is nothing in them."""
    if got.shape != truth.shape or not truth.numel():
        raise ValueError(f"tensors of shapes {tuple(got.shape)} and {tuple(truth.shape)} cannot be compared")
    mine, true = _rows(got), _rows(truth)  # (R, D)
    finite = mine.isfinite() & true.isfinite()
    off = torch.where(finite, mine - true, 0.0)
    size = torch.where(finite, true, 0.0)
    count = max(int(finite.sum()), 1)
    rms = math.sqrt(float(size.square().sum()) / count)
    rmse = math.sqrt(float(off.square().sum()) / count)
    whole, above = _relative(off, size, 0.0), _relative(off, size, SMALL * rms)
    row, row_at = _worst(off, size, finite, 1, rms)
    channel, channel_at = _worst(off, size, finite, 0, rms)
    lead = truth.shape[:-1]
    return Errors(
        elements=truth.numel(),
        not_finite=int((~finite & (mine != true)).sum()),  # an infinity that is in both is no error
        cosine=_cosine(torch.where(finite, mine, 0.0), size),
        max_abs=float(off.abs().max()),
        mean_abs=float(off.abs().sum()) / count,
        rmse=rmse,
        relative_rms=rmse / rms if rms else None,
        max_relative=_most(whole),
        mean_relative=_mean(whole),
        max_relative_bounded=_most(above),
        mean_relative_bounded=_mean(above),
        bounded=above.numel() / count,
        worst_row=row,
        row=tuple(int(at) for at in torch.unravel_index(torch.tensor(row_at), lead)) if lead else (),
        worst_channel=channel,
        channel=channel_at,
    )


def distributions(got: Tensor, truth: Tensor) -> Distributions:
    """Of logits (..., V)."""
    mine, true = _rows(got), _rows(truth)
    finite = (mine.isfinite() & true.isfinite()).all(-1)
    mine, true, positions = mine[finite], true[finite], len(finite)
    logs, own_logs = F.log_softmax(true, -1), F.log_softmax(mine, -1)
    likely, own = logs.exp(), own_logs.exp()
    divergence = (likely * (logs - own_logs)).sum(-1).clamp(min=0)  # of equal ones rounding leaves less than nothing
    shifts = (mine - true).mean(-1, keepdim=True)
    top = min(_TOP, true.shape[-1])
    best, own_best = (one.topk(top, -1).indices for one in (true, mine))
    shared = (best[:, :, None] == own_best[:, None, :]).any(-1).double().mean(-1)
    some = len(true) > 0
    return Distributions(
        positions=positions,
        not_finite=positions - len(true),
        probability_cosine=float(F.cosine_similarity(likely, own, -1).min()) if some else None,
        probability_max_abs=float((likely - own).abs().max()) if some else None,
        kl=float(divergence.mean()) if some else None,
        kl_max=float(divergence.max()) if some else None,
        greedy=float((best[:, 0] == own_best[:, 0]).sum()) / positions,
        top5=float(shared.sum()) / positions,
        shift=float(shifts.flatten()[shifts.abs().argmax()]) if some else None,
        centred=errors(_centred(got), _centred(truth)),
    )


def lattice(got: Tensor, truth: Tensor) -> str | None:
    """`bf16`, `fp16` or `tf32-hf32` where float32 numbers all lie on that coarser grid: a lower precision shows.

    None where they do not, where they are too few, and where the truth lies on it too, as an embedding from weights
    that were stored so.
    """
    if got.dtype != torch.float32:
        return None
    mine, true = got.detach().cpu().flatten(), truth.detach().cpu().float().flatten()
    real = mine.isfinite() & (mine != 0)
    if int(real.sum()) < _ENOUGH:
        return None
    for name in ("bf16", "fp16", "tf32-hf32"):
        if _on_grid(mine[real], name):
            return None if _on_grid(true[real], name) else name
    return None


def _rows(tensor: Tensor) -> Tensor:
    """(..., D) -> (R, D) in float64; a scalar is one row of one."""
    whole = tensor.detach().cpu().double()
    return whole.reshape(-1, whole.shape[-1]) if whole.dim() else whole.reshape(1, 1)


def _centred(logits: Tensor) -> Tensor:
    """Less each position's mean."""
    whole = logits.detach().cpu().double()
    return whole - whole.mean(-1, keepdim=True)


def _relative(off: Tensor, size: Tensor, bound: float) -> Tensor:
    """Error by truth of the elements whose truth is larger than the bound."""
    above = size.abs() > bound
    return (off[above] / size[above]).abs()


def _most(values: Tensor) -> float | None:
    return float(values.max()) if values.numel() else None


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if values.numel() else None


def _cosine(mine: Tensor, true: Tensor) -> float | None:
    lengths = float(mine.norm()) * float(true.norm())
    return float((mine * true).sum()) / lengths if lengths else None


def _worst(off: Tensor, size: Tensor, finite: Tensor, dim: int, rms: float) -> tuple[float | None, int]:
    """The largest relative RMS over dimension `dim`, and where it is."""
    if not rms:
        return None, 0
    count = finite.sum(dim).clamp(min=1)
    wrong, true = ((one.square().sum(dim) / count).sqrt() for one in (off, size))
    shares = wrong / true.clamp(min=FAINT * rms)
    at = int(shares.argmax())
    return float(shares[at]), at


def _on_grid(values: Tensor, name: str) -> bool:
    if name == "tf32-hf32":
        return not bool((values.contiguous().view(torch.int32) & ((1 << _LOST_BITS) - 1)).any())
    coarse = torch.bfloat16 if name == "bf16" else torch.float16
    return bool((values.to(coarse).float() == values).all())
