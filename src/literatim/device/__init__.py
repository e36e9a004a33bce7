"""Where tensors live. The only file that calls a backend by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from literatim.errors import DeviceError, OptionError
from literatim.options import DTYPES

if TYPE_CHECKING:
    import torch

KINDS = ("cpu", "cuda", "npu", "mps", "xpu")
_PREFERRED = ("cuda", "npu", "xpu", "mps")
_HALF_BY_DEFAULT = ("cuda", "npu")


def pick(name: str = "auto") -> torch.device:
    """The torch device of `auto`, `cpu`, `cuda`, `cuda:1`, `npu`, `mps` or `xpu`.

    `auto` is the first accelerator that is there, else the CPU; a device asked for by name and absent is a
    DeviceError, never replaced by another.
    """
    import torch

    if name == "auto":
        return torch.device(next((kind for kind in _PREFERRED if _count(kind)), "cpu"))
    match = re.fullmatch(r"(\w+?)(?::(\d+))?", name)
    if match is None or match[1] not in KINDS:
        raise OptionError(f"device {name!r} is unknown; choose auto or one of {', '.join(KINDS)}")
    kind, index = match[1], int(match[2] or 0)
    if kind == "cpu":
        return torch.device("cpu")
    found = _count(kind)
    if index >= found:
        there = f"{found} {kind} device{'s' if found > 1 else ''} found" if found else f"no {kind} device found"
        raise DeviceError(f"device {name} is not there ({there}); use --device cpu, or auto to take what there is")
    return torch.device(kind, index)


def _count(kind: str) -> int:
    """How many devices of a kind torch can use now."""
    import torch

    if kind == "npu":
        try:
            import torch_npu  # type: ignore[import-not-found,unused-ignore] # noqa: F401
        except ImportError:
            return 0
    module = getattr(torch, kind, None)
    if module is None or not module.is_available():
        return 0
    return int(module.device_count())


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """The weights' dtype: `auto` is float16 on cuda and npu and float32 elsewhere, never a timing."""
    import torch

    if name not in DTYPES:
        raise OptionError(f"dtype {name!r} is unknown; choose one of {', '.join(DTYPES)}")
    if name == "auto":
        name = "float16" if device.type in _HALF_BY_DEFAULT else "float32"
    chosen: torch.dtype = getattr(torch, name)
    return chosen


def multiplies_int8(device: torch.device) -> bool:
    """Whether int8 products are faster than reading four times the bytes: CPUs with AVX-512 (VNNI)."""
    import torch

    if device.type != "cpu" or not hasattr(torch, "_int_mm"):
        return False
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given; nothing on the CPU."""
    import torch

    if device.type != "cpu":
        getattr(torch, device.type).synchronize(device)
