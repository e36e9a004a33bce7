"""Whether a device can record a sequence of kernels once and replay it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from literatim.device.backend import module_of

if TYPE_CHECKING:
    import torch

_GRAPHS = {"cuda": "CUDAGraph", "npu": "NPUGraph", "xpu": "XPUGraph"}


def graphs(device: torch.device) -> str | None:
    """The name of the backend's graph class (`NPUGraph`); None for a device, or a torch, without one."""
    name = _GRAPHS.get(device.type)
    return name if name is not None and hasattr(module_of(device.type), name) else None
