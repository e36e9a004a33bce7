"""Recording a sequence of kernels once and replaying it, on devices that can."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from literatim.device.backend import module_of

if TYPE_CHECKING:
    import torch

_GRAPHS = {"cuda": "CUDAGraph", "npu": "NPUGraph", "xpu": "XPUGraph"}
CHOICE = "LITERATIM_GRAPHS"


def graphs(device: torch.device) -> str | None:
    """The name of the backend's graph class (`NPUGraph`); None for a device, or a torch, without one."""
    name = _GRAPHS.get(device.type)
    return name if name is not None and hasattr(module_of(device.type), name) else None


def wants_graphs(device: torch.device) -> bool:
    """Whether the variable LITERATIM_GRAPHS is 1 and the device has them."""
    return os.environ.get(CHOICE) == "1" and graphs(device) is not None


def record(device: torch.device, work: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, Callable[[], None]]:
    """Where the result of `work` will be, and what does that work again, in the same memory.

    Nothing is computed yet. Kernels must have been prepared by running `work` before. Raises RuntimeError where the
    device cannot record it, and AttributeError where it has no graphs.
    """
    name, module = graphs(device), module_of(device.type)
    if name is None or module is None:
        raise AttributeError(f"{device.type} has no graphs")
    graph = getattr(module, name)()
    with module.graph(graph):
        result = work()
    return result, graph.replay
