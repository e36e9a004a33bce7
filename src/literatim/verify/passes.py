"""The runs that a reference is made of: what each does with the operations that it is handed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from literatim.verify.deviation import spread
from literatim.verify.faults import to_hf32
from literatim.verify.golden import ALL, CONV, OUTPUT_ROWS, PLAIN, TOP, Choice, Entry, Golden, sample
from literatim.verify.sites import is_choice, is_output, put_choice, values_of_choice
from literatim.verify.watch import WRITES, Seen, in_place, mapped, results, tensors

Keep = Callable[[str], bool]
"""Whether the results of a stage are recorded."""

# What moves values and changes none.
MOVES = frozenset(
    {
        "cat",
        "stack",
        "gather",
        "index_select",
        "pad",
        "clone",
        "contiguous",
        "flatten",
        "reshape",
        "where",
        "masked_fill_",
        "fill_",
        "copy_",
        "zero_",
        "__getitem__",
        "repeat",
        "to",
        "float",
    }
) | {WRITES}

_CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d"})
_PRODUCTS = frozenset({"linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "scaled_dot_product_attention", "einsum"})
COARSE = {PLAIN: frozenset[str](), CONV: _CONVOLUTIONS, ALL: _CONVOLUTIONS | _PRODUCTS}
"""The operations whose factors are shortened in each of the floors."""


class Truth:
    """The run in float64: its results are the truth of the run left to itself, its choices are everybody's."""

    def __init__(self, golden: Golden, keep: Keep) -> None:
        self._golden, self._keep = golden, keep
        self._clips: tuple[int, ...] = ()

    def at(self, _stage: str, clips: tuple[int, ...]) -> None:
        """The clips that the rows now belong to."""
        self._clips = clips

    def __call__(self, seen: Seen, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make the call; a cast to a shorter float is left out."""
        out = func(*args, **kwargs)
        if _shortened(args, out):
            out = args[0]
        if is_choice(seen.op):
            self._choose(seen, values_of_choice(args), out)
        if self._keep(seen.stage):
            for item, result in enumerate(results(seen.op, args, out)):
                self._golden.through[f"{seen.index}.{item}"] = _single(sample(result, self._golden.rows))
                if is_output(seen.site, seen.op):
                    self._golden.outputs[f"truth/{seen.index}.{item}"] = sample(result, OUTPUT_ROWS).clone()
        return out

    def _choose(self, seen: Seen, scores: Tensor, chosen: Tensor) -> None:
        best = scores.double().topk(min(TOP, scores.shape[-1]), -1)
        floor = best.values.new_zeros(0, *best.values.shape)
        self._golden.choices.append(
            Choice(
                seen.stage, self._clips, chosen.reshape(-1).clone(), best.indices.clone(), best.values.clone(), floor
            )
        )


class Wide:
    """Calls of a network in float64, none of whose casts makes less of a number."""

    def __call__(self, seen: Seen, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG002
        """Make the call; a cast to a shorter float is left out."""
        out = func(*args, **kwargs)
        return args[0] if _shortened(args, out) else out


class Floor:
    """The run in the dtype on the CPU, with the truth's choices: how far it strays is a noise floor."""

    def __init__(self, golden: Golden, keep: Keep, name: str) -> None:
        self._golden, self._keep, self._choices, self._name = golden, keep, 0, name

    def __call__(self, seen: Seen, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make the call, and note how far its result is from the truth."""
        coarse = seen.op in COARSE[self._name]
        out = func(*mapped(_shorter, args), **mapped(_shorter, kwargs)) if coarse else func(*args, **kwargs)
        if self._keep(seen.stage):
            for item, result in enumerate(results(seen.op, args, out)):
                key = f"{seen.index}.{item}"
                self._golden.through_floor[self._name, key] = spread(
                    sample(result, self._golden.rows), self._golden.through[key]
                )
                if is_output(seen.site, seen.op):
                    self._golden.outputs[f"{self._name}/{key}"] = sample(result, OUTPUT_ROWS).to(
                        torch.float32, copy=True
                    )
        if not is_choice(seen.op):
            return out
        choice = self._golden.choices[self._choices]
        floor = values_of_choice(args).double().gather(-1, choice.ids)
        self._golden.choices[self._choices] = replace(choice, floor=torch.cat([choice.floor, floor[None]]))
        self._choices += 1
        return put_choice(out, choice.tokens)


class Chain:
    """Each call alone: in float64 and in the dtype, both on the CPU and on the same inputs.

    The inputs are what the float64 results before it come to in the dtype, so that no error is carried on.
    """

    def __init__(self, golden: Golden, keep: Keep) -> None:
        self._golden, self._keep, self._choices = golden, keep, 0

    def __call__(self, seen: Seen, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make the call twice; the program goes on with the truth, rounded."""
        if not self._keep(seen.stage):
            return self._forced(seen, func(*args, **kwargs))
        true = _widely(seen.op, func, args, kwargs)
        short = seen.op in COARSE[ALL] and _any_float32(args)
        coarse = _widely(seen.op, func, mapped(_shorter, args), mapped(_shorter, kwargs)) if short else None
        out = func(*args, **kwargs)
        for item, (result, truth) in enumerate(zip(results(seen.op, args, out), true, strict=True)):
            shrink = self._golden.positions.shrink
            kept = shrink(truth)
            self._keep_result(seen, item, result, kept)
            if coarse is not None:
                self._golden.own_floor[ALL, f"{seen.index}.{item}"] = spread(shrink(coarse[item]), kept)
            _replace(seen.op, args, result, self._golden.positions.grow(kept, result.shape))
        return self._forced(seen, out)

    def _keep_result(self, seen: Seen, item: int, result: Tensor, truth: Tensor) -> None:
        golden, mine = self._golden, self._golden.positions.shrink(result)
        floor = spread(mine, truth) if result.is_floating_point() else None
        exact = floor is None or (seen.op in MOVES and floor.error == 0)
        dtype = str(result.dtype).removeprefix("torch.")
        entry = Entry(seen.index, item, seen.site, seen.op, seen.stage, tuple(result.shape), dtype, exact)
        golden.entries.append(entry)
        if exact:
            golden.own[entry.key] = mine.clone()
            return
        assert floor is not None
        golden.own[entry.key] = truth if result.dtype == torch.float32 else truth.float()
        golden.own_floor[PLAIN, entry.key] = floor

    def _forced(self, seen: Seen, out: Any) -> Any:
        if not is_choice(seen.op):
            return out
        self._choices += 1
        return put_choice(out, self._golden.choices[self._choices - 1].tokens)


def _single(values: Tensor) -> Tensor:
    """Numbers of float64 in float32: of errors that have added up, its rounding is a small part."""
    return values.to(torch.float32 if values.is_floating_point() else values.dtype, copy=True)


def _shorter(tensor: Tensor) -> Tensor:
    """Of float32 the ten bits of significand that TF32 and HF32 keep."""
    return to_hf32(tensor) if tensor.dtype == torch.float32 else tensor


def _any_float32(args: tuple[Any, ...]) -> bool:
    return any(tensor.dtype == torch.float32 for tensor in tensors(args))


def _widely(op: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The results of a call in float64, on copies of its arguments."""
    wide, named = mapped(_wide, args), mapped(_wide, kwargs)
    out = func(*wide, **named)
    if _shortened(wide, out):
        out = wide[0]
    return results(op, wide, out)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float64, copy=True) if tensor.is_floating_point() else tensor.clone()


def _shortened(args: tuple[Any, ...], out: Any) -> bool:
    """Whether a call made less of a float64 number than it was."""
    if not (args and isinstance(args[0], Tensor) and isinstance(out, Tensor) and out.is_floating_point()):
        return False
    return args[0].dtype == torch.float64 and out.dtype != torch.float64


def _replace(op: str, args: tuple[Any, ...], result: Tensor, truth: Tensor) -> None:
    """Put the truth in the place of a result, where it is not the same after rounding."""
    if not result.is_floating_point():
        return
    rounded = truth.to(result.dtype)
    if torch.equal(rounded, result):
        return
    if op == WRITES:
        args[0][args[1]] = rounded
    else:
        (args[0] if in_place(op) else result).copy_(rounded)
