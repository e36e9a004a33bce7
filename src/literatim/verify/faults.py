"""Faults that can be planted in the fake npu: what a wrong kernel, format or driver does to numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from literatim.verify.fake_module import NPU

_LOST_BITS = 13  # of float32's 23 of mantissa, HF32 keeps 10

Arguments = list[Any]
ATTENTION, CONVOLUTION = "aten.scaled_dot_product_attention", "aten.convolution"


class Planted(Protocol):
    """What stands between the device's ops and the CPU that computes them."""

    def around(self, op: str, compute: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """The result of a call of `op`, as `compute` of these arguments gives it or otherwise; all on the CPU.

        Results belong where `compute` puts them: into `out`, or into the argument that the op writes to.
        """
        ...


@dataclass
class Fault:
    """Changes the arguments or the results of some ops, at every call or at the `nth` one (from 0) alone.

    `inputs` is given the positional arguments, `output` each float tensor of the result; both on the CPU. `calls`
    counts the calls of these ops, `hits` those that were changed.
    """

    ops: frozenset[str]
    inputs: Callable[[Arguments], Arguments] | None = None
    output: Callable[[Tensor], Tensor] | None = None
    nth: int | None = None
    active: Callable[[], bool] = field(default=lambda: True)
    calls: int = 0
    hits: int = 0

    def around(self, op: str, compute: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """The op, perhaps with this fault."""
        if not self.strikes(op):
            return compute(*args, **kwargs)
        results = compute(*(args if self.inputs is None else self.inputs(list(args))), **kwargs)
        for result in tensors(results):
            if self.output is not None and result.is_floating_point():
                # in the result's own memory, so that ops that write into an argument are spoilt as well
                result.copy_(self.output(result))
        return results

    def strikes(self, op: str) -> bool:
        """Whether this call of `op` is to be changed; to be asked once a call."""
        if op not in self.ops:
            return False
        now = self.nth is None or self.nth == self.calls
        self.calls += 1
        strikes = now and self.active()
        self.hits += strikes
        return strikes


def tensors(tree: Any) -> Iterator[Tensor]:
    """Those in arguments or results."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from tensors(item)
    elif isinstance(tree, dict):
        yield from tensors(list(tree.values()))


def scaled(op: str, factor: float, nth: int | None = None) -> Fault:
    """The result times a factor: cosine and order of the logits may not show it."""
    return Fault(frozenset({op}), output=lambda out: out * factor, nth=nth)


def swapped_rows(op: str, nth: int | None = None) -> Fault:
    """The first two rows of the result change places."""
    return Fault(frozenset({op}), output=lambda out: out[[1, 0, *range(2, len(out))]] if len(out) > 1 else out, nth=nth)


def not_a_number(op: str, nth: int | None = None) -> Fault:
    """The result's first element is NaN."""

    def spoil(out: Tensor) -> Tensor:
        spoilt = out.clone(memory_format=torch.contiguous_format)
        spoilt.view(-1)[:1] = math.nan
        return spoilt

    return Fault(frozenset({op}), output=spoil, nth=nth)


def unmasked(nth: int | None = None) -> Fault:
    """Attention that looks everywhere: the mask is forgotten."""

    def forget(arguments: Arguments) -> Arguments:
        return [None if place == 3 else argument for place, argument in enumerate(arguments)]

    return Fault(frozenset({ATTENTION}), inputs=forget, nth=nth)


def hf32(ops: Sequence[str] = (CONVOLUTION,)) -> Fault:
    """Inputs rounded to HF32, as Ascend does in convolutions as long as `conv.allow_hf32` is set."""

    def rounded(arguments: Arguments) -> Arguments:
        return [to_hf32(argument) if _is_float32(argument) else argument for argument in arguments]

    return Fault(frozenset(ops), inputs=rounded, active=lambda: bool(NPU.conv.allow_hf32))


def to_hf32(values: Tensor) -> Tensor:
    """float32 rounded to 10 bits of mantissa, ties to even; the exponent keeps its 8 bits."""
    bits = values.contiguous().view(torch.int32)
    half = (1 << (_LOST_BITS - 1)) - 1
    bits = bits + half + ((bits >> _LOST_BITS) & 1)
    return (bits & -(1 << _LOST_BITS)).view(torch.float32)


def _is_float32(argument: Any) -> bool:
    return isinstance(argument, Tensor) and argument.dtype == torch.float32
