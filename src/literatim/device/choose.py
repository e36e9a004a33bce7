"""From the words of a user to devices and dtypes: what is there, what `auto` means, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from literatim.device import ascend, why
from literatim.device.backend import KINDS
from literatim.device.count import available
from literatim.errors import DeviceError, OptionError
from literatim.options import DTYPES

if TYPE_CHECKING:
    import torch

_PREFERRED = ("cuda", "npu", "xpu", "mps")
_HALF_BY_DEFAULT = ("cuda", "npu")


def pick(name: str = "auto") -> torch.device:
    """The torch device of `auto`, `cpu`, `cuda`, `cuda:1`, `npu`, `mps` or `xpu`, ready for use.

    `auto` is the first accelerator that is there, else the CPU; a device asked for by name and absent is a
    DeviceError that says why, never replaced by another. An Ascend device gets its settings (`ascend.prepare`).
    """
    import torch

    kind, index = _parse(name)
    if kind == "cpu":
        return torch.device("cpu")
    _check(kind, (index or 0,))
    if kind == "npu":
        ascend.prepare()
    return torch.device(kind, index or 0)


def several(name: str, indices: str | int | Sequence[int] | None) -> tuple[torch.device, ...]:
    """The devices of one kind with these indices (`0,1`, 1 or [0, 1]); without indices, the one of `pick`.

    OptionError for indices that are no numbers, given twice, given in the name as well, or given for the CPU;
    DeviceError for one that is not there.
    """
    import torch

    if indices is None:
        return (pick(name),)
    numbers = _numbers(indices)
    kind, own = _parse(name)
    if own is not None:
        raise OptionError(f"device {name} names an index, and so does device_index; give one of them")
    if kind == "cpu" and name == "auto":
        raise DeviceError(f"device_index {_listed(numbers)}: no accelerator was found; leave it out to use the CPU")
    if kind == "cpu":
        raise OptionError("device_index is for accelerators; the CPU is one device: leave it out")
    _check(kind, numbers)
    pick(kind)
    return tuple(torch.device(kind, number) for number in numbers)


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """The weights' dtype: `auto` is float16 on cuda and npu and float32 elsewhere, never a timing."""
    import torch

    if name not in DTYPES:
        raise OptionError(f"dtype {name!r} is unknown; choose one of {', '.join(DTYPES)}")
    if name == "auto":
        name = "float16" if device.type in _HALF_BY_DEFAULT else "float32"
    chosen: torch.dtype = getattr(torch, name)
    return chosen


def _parse(name: str) -> tuple[str, int | None]:
    """The kind and the index, `auto` resolved; OptionError for what is no device's name."""
    if name == "auto":
        return next((kind for kind in _PREFERRED if available(kind)), "cpu"), None
    match = re.fullmatch(r"(\w+?)(?::(\d+))?", name)
    if match is None or match[1] not in KINDS:
        raise OptionError(f"device {name!r} is unknown; choose auto or one of {', '.join(KINDS)}")
    return match[1], None if match[2] is None else int(match[2])


def _check(kind: str, indices: Sequence[int]) -> None:
    """DeviceError for the first index that is not there."""
    found = available(kind)
    for index in indices:
        if index < found:
            continue
        if not found:
            reason = why.why_not(kind)
            raise DeviceError(f"no {kind} device found: {reason}; or use --device cpu, or auto to take what there is")
        last = f"{found} {kind} device{'s' if found > 1 else ''} found, the last is {kind}:{found - 1}"
        raise DeviceError(f"device {kind}:{index} is not there ({last})")


def _numbers(indices: str | int | Sequence[int]) -> tuple[int, ...]:
    items = indices.split(",") if isinstance(indices, str) else [indices] if isinstance(indices, int) else [*indices]
    texts = [str(item).strip() for item in items]
    if not texts or any(re.fullmatch(r"\d+", text) is None for text in texts):
        raise OptionError(f"device_index is {indices!r}; give numbers from 0 with commas between them, as in 0,1")
    numbers = tuple(int(text) for text in texts)
    if len(set(numbers)) < len(numbers):
        raise OptionError(f"device_index {_listed(numbers)} names a device twice; give each once")
    return numbers


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(str(number) for number in numbers)
