"""A fault at work: it changes what chosen ops give at chosen places, and measures by how much against rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from literatim.verify.faults import tensors
from literatim.verify.planted.sites import COPY, NORM, NORMALISED, UNSHIFTED, Sites

FAINT = 0.1  # of the root mean square: rows and channels below it are measured by it, as silence has no relative error
FEW = 16  # numbers of which a root mean square says little
_MEASURED = 40  # calls of a fault that are measured against float64; those after them are like those before


@dataclass(frozen=True)
class Normalised:
    """What a normalisation was given: rows (1, R, D), and its epsilon."""

    rows: Tensor
    eps: float


@dataclass
class Struck:
    """One call that a fault changes. `args` are on the CPU; `kept` is the fault's memory from call to call.

    `normalised` is what the last normalisation was given: its affine part is the call after it.
    """

    op: str
    site: str | None
    args: list[Any]
    count: int
    kept: dict[str, Any]
    compute: Callable[..., Tensor]
    normalised: Normalised | None = None

    @property
    def affine(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """What an affine part is given: normalised rows, weight and bias."""
        if self.op == UNSHIFTED:
            return self.args[0], self.args[1], None
        return self.args[1], self.args[2], self.args[0]

    def clean(self, *args: Any) -> Tensor:
        """What the device gives without the fault, for these arguments or for its own."""
        return self.compute(*(args or self.args))

    def truth(self) -> Tensor:
        """In float64. An affine part is taken with its normalisation, whose rounding is noise as well."""
        if self.op in {NORM, UNSHIFTED} and self.normalised is not None:
            normal, weight, bias = self.affine
            rows = layer_norm(self.normalised.rows.reshape(normal.shape), self.normalised.eps) * weight.double()
            return rows if bias is None else rows + bias.double()
        return self.compute(*[item.double() if _is_float(item) else item for item in self.args]).double()

    def given(self, at: int, value: Any) -> Tensor:
        """What it gives with another argument."""
        return self.compute(*[value if place == at else item for place, item in enumerate(self.args)])


Change = Callable[[Struck], Tensor]


def layer_norm(rows: Tensor, eps: float, of_variance: float = 1.0, mean_left: float = 0.0) -> Tensor:
    """(..., D) normalised in float64, with its variance times `of_variance` and this share of its mean left in."""
    rows = rows.double()
    centred = rows - (1 - mean_left) * rows.mean(-1, keepdim=True)
    return centred * (centred.square().mean(-1, keepdim=True) * of_variance + eps).rsqrt()


@dataclass(frozen=True)
class Effect:
    """How far a fault moved results, by how far rounding does: over the whole, the worst row and the worst channel.

    `ratio` is the largest of the three; infinite where a result is no longer finite, or a whole number another one.
    """

    relative: float = 0.0
    ratio: float = 0.0

    def __or__(self, other: Effect) -> Effect:
        return Effect(max(self.relative, other.relative), max(self.ratio, other.ratio))


@dataclass
class Strike:
    """Plants `change` at the ops and sites named (None: everywhere), at the calls whose number is one `when`."""

    sites: Sites
    ops: frozenset[str] | None
    where: frozenset[str] | None
    change: Change
    when: Callable[[int], bool] = lambda _count: True
    calls: int = 0
    hits: int = 0
    effect: Effect = field(default_factory=Effect)
    hit: set[str] = field(default_factory=set)
    _kept: dict[str, Any] = field(default_factory=dict)
    _normalised: Normalised | None = None

    def around(self, op: str, compute: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """The op, changed where the fault strikes."""
        site = self.sites.of(op, args)
        self._normalised = normalised_by(op, args, self._normalised)
        if not self._strikes(op, site, args):
            return compute(*args, **kwargs)
        self.calls += 1
        if not self.when(self.calls - 1):
            return compute(*args, **kwargs)
        return self._changed(op, site, compute, args, kwargs)

    def _strikes(self, op: str, site: str | None, args: tuple[Any, ...]) -> bool:
        if self.ops is None:
            return site is not None and any(item.is_floating_point() for item in tensors(args))
        return op in self.ops and (self.where is None or site in self.where)

    def _changed(self, op: str, site: str | None, compute: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        pure = partial(_pure, op, compute, kwargs)
        call = Struck(op, site, list(args), self.calls - 1, self._kept, pure, self._normalised)
        clean = call.clean()
        wrong = self.change(call).to(clean.dtype)
        if self.hits < _MEASURED:
            self.effect |= measure(clean, wrong, call)
        if not torch.equal(clean, wrong):
            self.hits += 1
            self.hit |= {site} if site is not None else set()
        given = deliver(wrong, clean, op, args, kwargs)
        return (given, *compute(*args, **kwargs)[1:]) if op == NORMALISED else given


def normalised_by(op: str, args: tuple[Any, ...], before: Normalised | None) -> Normalised | None:
    """What the next call is the affine part of: memory may be taken between, nothing else."""
    if op == NORMALISED and args[1] is None:
        return Normalised(args[0].clone(), float(args[7]))
    return before if op in {NORM, UNSHIFTED} or op.startswith("aten.empty") else None


def measure(clean: Tensor, wrong: Tensor, call: Struck) -> Effect:
    """The effect of one call."""
    if not clean.is_floating_point():
        return Effect() if torch.equal(clean, wrong) else Effect(math.inf, math.inf)
    if bool((wrong.isfinite() != clean.isfinite()).any()):
        return Effect(math.inf, math.inf)
    truth = call.truth()
    finite = truth.isfinite()
    clean, wrong, truth = (torch.where(finite, item.double(), 0.0) for item in (clean, wrong, truth))
    least = _unit_roundoff(call) / math.sqrt(12)
    ratios, moved = [], 0.0
    for size in (_whole, _rows, _channels):
        change, noise = size(wrong - clean, truth), size(clean - truth, truth)
        ratios.append(change / max(noise, least))
        moved = change if size is _whole else moved
    return Effect(moved, max(ratios))


def _is_float(item: Any) -> bool:
    return isinstance(item, Tensor) and item.is_floating_point()


def _unit_roundoff(call: Struck) -> float:
    dtype = next((item.dtype for item in call.args if _is_float(item)), torch.float32)
    return torch.finfo(dtype).eps


def _whole(error: Tensor, truth: Tensor) -> float:
    size = float(truth.square().mean().sqrt())
    return float(error.square().mean().sqrt()) / size if size else 0.0


def _rows(error: Tensor, truth: Tensor) -> float:
    """The worst relative root mean square of the last dimension."""
    return _worst(error, truth, -1)


def _channels(error: Tensor, truth: Tensor) -> float:
    """The worst of a place of the last dimension over everything else."""
    width = truth.shape[-1] if truth.dim() else 1
    return _worst(error.reshape(-1, width), truth.reshape(-1, width), 0)


def _worst(error: Tensor, truth: Tensor, dim: int) -> float:
    if not truth.dim() or truth.shape[dim] < FEW:
        return _whole(error, truth)
    faint = FAINT * float(truth.square().mean().sqrt())
    if not faint:
        return 0.0
    return float((error.square().mean(dim).sqrt() / truth.square().mean(dim).sqrt().clamp(min=faint)).max())


def _target(op: str, args: tuple[Any, ...]) -> Tensor | None:
    """The argument that an op writes to."""
    return args[0] if op.endswith("_") or op == COPY else None


def _pure(op: str, compute: Any, kwargs: dict[str, Any], *args: Any) -> Tensor:
    """The op without writing to anything that is there."""
    if "out" in kwargs:
        result: Tensor = compute(*args, **{**kwargs, "out": _fresh(kwargs["out"], args)})
        return result
    if op.endswith("_") or op == COPY:
        target, *rest = args
        result = compute(target.clone(), *rest, **kwargs)
        return result
    results = compute(*args, **kwargs)
    first: Tensor = results if isinstance(results, Tensor) else results[0]
    return first


def _fresh(out: Tensor, args: tuple[Any, ...]) -> Tensor:
    """Memory for a result: of the device's dtype, or double where the arguments are."""
    double = out.is_floating_point() and any(item.dtype == torch.float64 for item in tensors(args))
    return torch.empty(0, dtype=torch.float64 if double else out.dtype)


def deliver(wrong: Tensor, clean: Tensor, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Put a result where the op would: into `out`, into the argument that it writes to, or into memory of its own."""
    target = kwargs.get("out", _target(op, args))
    if target is None:
        return clean.copy_(wrong)
    if target.shape != wrong.shape:
        target.resize_(wrong.shape)
    return target.copy_(wrong)  # type: ignore[no-any-return]
