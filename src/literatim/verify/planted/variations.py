"""Devices as they differ: each computes with kernels of its own, all of them right."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from literatim.verify import faults
from literatim.verify.fake_npu import plant
from literatim.verify.faults import ATTENTION, CONVOLUTION
from literatim.verify.planted.kernels import AS_THE_CPU, ATTENTIONS, GELUS, NORMS, PRODUCTS, convolved
from literatim.verify.planted.sites import BATCHED, GELU, LINEAR, MATRIX, NORM, UNSHIFTED
from literatim.verify.planted.strike import Normalised, deliver, normalised_by

LEAST_NORMAL = 2.0**-126  # of float32 and bfloat16


@dataclass(frozen=True)
class Variation:
    """One device. Names are keys of the tables in `kernels`; `hf32`: convolutions round what they are given to HF32."""

    products: str = AS_THE_CPU
    attention: str = AS_THE_CPU
    norm: str = AS_THE_CPU
    gelu: str = AS_THE_CPU
    convolution: str = AS_THE_CPU
    flush: bool = False
    threads: int = 1
    hf32: bool = False

    @property
    def name(self) -> str:
        """What it does unlike the CPU, for people."""
        plain = Variation()
        told = {item.name: getattr(self, item.name) for item in fields(self)}
        return ", ".join(f"{name}: {value}" for name, value in told.items() if value != getattr(plain, name)) or "plain"

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Within it the fake npu is this device."""
        before = torch.get_num_threads()
        with ExitStack() as stack:
            torch.set_num_threads(self.threads)
            stack.callback(torch.set_num_threads, before)
            stack.enter_context(plant(_Kernels(self)))
            if self.hf32:
                stack.enter_context(plant(faults.hf32()))
            yield


class _Kernels:
    """The fake npu's ops by a variation's kernels."""

    def __init__(self, variation: Variation) -> None:
        self._product = PRODUCTS[variation.products]
        self._convolution = PRODUCTS[variation.convolution]
        self._attention = ATTENTIONS[variation.attention]
        self._statistics = NORMS[variation.norm]
        self._gelu = GELUS[variation.gelu]
        self._flush = variation.flush
        self._normalised: Normalised | None = None

    def around(self, op: str, compute: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """The op by the kernel there is for it."""
        self._normalised = normalised_by(op, args, self._normalised)
        result = self._by_kernel(op, args)
        if result is None:
            given = compute(*args, **kwargs)
            return self._flushed(given)
        clean = compute(*args, **kwargs)  # for its memory and its shape
        return self._flushed(deliver(result.to(clean.dtype).reshape(clean.shape), clean, op, args, kwargs))

    def _flushed(self, result: Any) -> Any:
        if self._flush and isinstance(result, Tensor) and result.is_floating_point():
            result.masked_fill_(result.abs() < LEAST_NORMAL, 0)
        return result

    def _by_kernel(self, op: str, args: tuple[Any, ...]) -> Tensor | None:
        if any(isinstance(item, Tensor) and item.dtype == torch.float64 for item in args):
            return None  # somebody wants to know what is true
        if op == LINEAR and self._product is not None:
            return self._product(args[1], args[2]).add(args[0].float())
        if op == MATRIX and self._product is not None:
            return self._product(args[0], args[1])
        if op == BATCHED and self._product is not None:
            return torch.stack([self._product(left, right) for left, right in zip(args[0], args[1], strict=True)])
        if op == CONVOLUTION and self._convolution is not None and args[8] == 1:
            sums = convolved(self._convolution, args[0], args[1], args[3], args[4])
            return sums if args[2] is None else sums.add(args[2].float()[:, None, None])
        if op == ATTENTION and self._attention is not None:
            return self._attention(args[0], args[1], args[2], args[3] if len(args) > 3 else None)
        if op == GELU and self._gelu is not None:
            return self._gelu(args[0].float())
        return self._by_statistics(op, args)

    def _by_statistics(self, op: str, args: tuple[Any, ...]) -> Tensor | None:
        """The affine part of a normalisation, with the normalisation."""
        if op not in {NORM, UNSHIFTED} or self._statistics is None or self._normalised is None:
            return None
        normal, weight = args[:2] if op == UNSHIFTED else args[1:3]
        rows = self._normalised.rows.float().reshape(normal.shape)
        mean, variance = self._statistics(rows)
        scaled = ((rows - mean) * (variance + self._normalised.eps).rsqrt()).mul(weight.float())
        return scaled if op == UNSHIFTED else scaled.add(args[0].float())


def singly() -> list[Variation]:
    """Devices that differ from the CPU in one thing."""
    found = [Variation(), Variation(flush=True), *(Variation(threads=count) for count in (2, 3, 4))]
    found += [Variation(products=name) for name in PRODUCTS if PRODUCTS[name] is not None]
    found += [Variation(convolution=name) for name in PRODUCTS if PRODUCTS[name] is not None]
    found += [Variation(attention=name) for name in ATTENTIONS if ATTENTIONS[name] is not None]
    found += [Variation(norm=name) for name in NORMS if NORMS[name] is not None]
    return found + [Variation(gelu=name) for name in GELUS if GELUS[name] is not None]


def mixed(count: int, seed: int = 0) -> list[Variation]:
    """Devices that differ in everything, by chance."""
    draw = random.Random(seed)
    return [_any(draw) for _ in range(count)]


def _any(draw: random.Random) -> Variation:
    names: dict[str, dict[str, Any]] = {
        "products": PRODUCTS,
        "attention": ATTENTIONS,
        "norm": NORMS,
        "gelu": GELUS,
        "convolution": PRODUCTS,
    }
    chosen: dict[str, Any] = {name: draw.choice(list(table)) for name, table in names.items()}
    return Variation(**chosen, flush=draw.random() < 0.5, threads=draw.choice((1, 1, 2, 3)))
