"""Why a device is not there, and what a user should know of one that is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from literatim.device import ascend
from literatim.device.count import available

if TYPE_CHECKING:
    import torch

_NVIDIA = Path("/proc/driver/nvidia/version")


class DeviceWarning(UserWarning):
    """A device works, but not as its user may think."""


def why_not(kind: str) -> str | None:
    """Why no device of a kind can be used and the command that mends it; None where one can."""
    if available(kind):
        return None
    return {"cuda": _no_cuda, "npu": _no_npu, "mps": _no_mps, "xpu": _no_xpu}[kind]()


def remarks(device: torch.device, asked: str = "") -> tuple[str, ...]:
    """What a user should know of a device that was picked; `asked` is the name it was picked by.

    Of the CPU too, where `auto` came to it although a package for an accelerator is installed.
    """
    if device.type == "npu":
        return ascend.remarks()
    if device.type == "cpu" and asked == "auto" and ascend.installed():
        return (f"auto came to the CPU, since {ascend.look().problem}",)
    return ()


def _no_npu() -> str:
    return ascend.look().problem or "torch_npu finds no device"


def _no_cuda() -> str:
    import torch

    if ascend.pretends():
        return "transfer_to_npu makes torch.cuda mean the NPU; use --device npu, and leave its import out"
    if torch.version.cuda is None and torch.version.hip is None:
        mend = "`pip install --force-reinstall torch` takes PyPI's build, which on Linux has it"
        return f"torch {torch.__version__} is built without CUDA; {mend}"
    hidden = _hidden("CUDA_VISIBLE_DEVICES") or _hidden("HIP_VISIBLE_DEVICES")
    if hidden is not None:
        return hidden
    if torch.version.hip is None and not _NVIDIA.exists():
        return "the NVIDIA driver is not loaded; install it (`nvidia-smi` shows it), a container needs `--gpus all`"
    needs = f"CUDA {torch.version.cuda}" if torch.version.hip is None else f"ROCm {torch.version.hip}"
    return f"torch is built for {needs} and finds no device; `nvidia-smi` (`rocm-smi`) shows what the driver takes"


def _no_mps() -> str:
    import platform

    import torch

    if platform.system() != "Darwin":
        return "mps is Apple's, and this machine is none"
    if not torch.backends.mps.is_built():
        mend = "`pip install --force-reinstall torch` on an arm64 Python"
        return f"torch {torch.__version__} is built without mps; {mend}"
    return "mps needs macOS 14 and an Apple GPU; `softwareupdate --install --all` updates macOS"


def _no_xpu() -> str:
    import torch

    if getattr(torch.version, "xpu", None) is None:
        wheels = "`pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/xpu`"
        return f"torch {torch.__version__} is built without xpu; {wheels}"
    hidden = _hidden("ZE_AFFINITY_MASK")
    return hidden or "torch finds no Intel GPU; `clinfo -l` (or `sycl-ls`) shows those the driver sees"


def _hidden(variable: str) -> str | None:
    value = os.environ.get(variable)
    if value is None or value.strip() not in {"", "-1"}:
        return None
    return f"{variable}={value!r} hides every device; `unset {variable}`"
