"""How exactly a device multiplies float32: TF32, HF32, reduced sums and private formats, off or as they are.

Two defaults are not float32 although the dtype says so: on NVIDIA cards convolutions run in TF32 (10 bits of
mantissa; torch.backends.cudnn.allow_tf32), on Ascend in HF32 (torch.npu.conv.allow_hf32; both documented by their
makers). `highest` switches them off, and `precision_flags` says for a report how they stand.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from literatim.device import ascend
from literatim.errors import OptionError
from literatim.options import PRECISIONS

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class _Switch:
    """An attribute below `torch`, such as `backends.cudnn.allow_tf32`, and its value for the highest precision."""

    path: str
    highest: Any

    def read(self) -> Any:
        """The value as it stands; None where this torch has no such switch or cannot tell."""
        import torch

        try:
            with _quietly():
                return torch.get_float32_matmul_precision() if self.path == _LEVEL else attrgetter(self.path)(torch)
        except (AttributeError, RuntimeError):
            return None

    def write(self, value: Any) -> None:
        """Set it for the whole process."""
        import torch

        owner, _, name = self.path.rpartition(".")
        with _quietly():
            if self.path == _LEVEL:
                torch.set_float32_matmul_precision(value)
            else:
                setattr(attrgetter(owner)(torch), name, value)


@contextmanager
def _quietly() -> Iterator[None]:
    """Some versions of torch advise another name for a switch, at each use of the one they all have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# Read by torch.get_float32_matmul_precision. The features are computed on the CPU, whatever the device is. The newer
# names (`fp32_precision`, torch 2.9) come last: torch refuses to multiply while they and the older ones disagree.
_LEVEL = "float32_matmul_precision"
_CPU = (
    _Switch(_LEVEL, "highest"),
    _Switch("backends.mkldnn.matmul.fp32_precision", "ieee"),
    _Switch("backends.mkldnn.conv.fp32_precision", "ieee"),
)
_OF_KIND = {
    "cuda": (
        _Switch("backends.cudnn.allow_tf32", False),
        _Switch("backends.cuda.matmul.fp32_precision", "ieee"),
        _Switch("backends.cudnn.conv.fp32_precision", "ieee"),
        _Switch("backends.cudnn.rnn.fp32_precision", "ieee"),
        _Switch("backends.cuda.matmul.allow_fp16_reduced_precision_reduction", False),
        _Switch("backends.cuda.matmul.allow_bf16_reduced_precision_reduction", False),
        _Switch("backends.cuda.matmul.allow_fp16_accumulation", False),
    ),
    "npu": (_Switch("npu.conv.allow_hf32", False), _Switch("npu.matmul.allow_hf32", False)),
}


@contextmanager
def precision(level: str, device: torch.device) -> Iterator[None]:
    """Within the block, float32 means float32 (`highest`), or what the backend makes of it (`default`).

    The switches are those of the whole process, in all its threads; they stand as before after the block. Private
    formats of Ascend are off from the start (`ascend.prepare`).
    """
    if level not in PRECISIONS:
        raise OptionError(f"precision {level!r} is unknown; choose one of {', '.join(PRECISIONS)}")
    before: list[tuple[_Switch, Any]] = []
    try:
        if level == "highest":
            before = [(switch, value) for switch in _switches(device) if (value := switch.read()) is not None]
            for switch, value in before:
                if value != switch.highest:
                    switch.write(switch.highest)
        yield
    finally:
        for switch, value in before:
            if value != switch.read():
                switch.write(value)


def precision_flags(device: torch.device) -> dict[str, Any]:
    """The switches of a device as they stand, by name, None for one this torch does not have.

    `float32_matmul` and `float32_conv` say what float32 means there: `float32`, `tf32`, `hf32` or `bf16`, None where
    it cannot be told. For Ascend the settings of `ascend.prepare` are included.
    """
    flags: dict[str, Any] = {switch.path: switch.read() for switch in _switches(device)}
    meaning = {"float32_matmul": _meaning(flags, device, "matmul"), "float32_conv": _meaning(flags, device, "conv")}
    own = {f"npu.{name}": value for name, value in ascend.settings().items()} if device.type == "npu" else {}
    return {**flags, **own, **meaning}


def _switches(device: torch.device) -> tuple[_Switch, ...]:
    return (*_CPU, *_OF_KIND.get(device.type, ()))


def _meaning(flags: dict[str, Any], device: torch.device, operation: str) -> str | None:
    """What the multiplications of `matmul` or `conv` keep of float32."""
    if device.type == "npu":
        allowed = flags[f"npu.{operation}.allow_hf32"]
        return None if allowed is None else "hf32" if allowed else "float32"
    if device.type == "cuda":
        matmul = operation == "matmul"
        old = flags[_LEVEL] not in {None, "highest"} if matmul else flags["backends.cudnn.allow_tf32"]
        new = flags["backends.cuda.matmul.fp32_precision" if matmul else "backends.cudnn.conv.fp32_precision"]
        allowed = old if new is None else new == "tf32"
        return None if allowed is None else "tf32" if allowed else "float32"
    if device.type == "cpu":
        value = flags[f"backends.mkldnn.{operation}.fp32_precision"]
        return value if value in {"tf32", "bf16"} else "float32"
    return None
