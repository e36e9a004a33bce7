"""How this package reaches a backend: `torch.get_device_module` first, `torch.accelerator` second, each guarded."""

from __future__ import annotations

from typing import Any

KINDS = ("cpu", "cuda", "npu", "mps", "xpu")
# What backends raise for a question they cannot answer: a missing name, no device, no allocator, no such argument.
REFUSALS = (AttributeError, NotImplementedError, RuntimeError, AssertionError, TypeError, ValueError)


def module_of(kind: str) -> Any | None:
    """`torch.<kind>`, None where this torch knows no such backend."""
    import torch

    try:
        return torch.get_device_module(kind)
    except RuntimeError:  # an unknown kind, or one whose package is not loaded
        return None


def ask(kind: str, name: str, *arguments: Any) -> Any:
    """The answer of `torch.<kind>.<name>(*arguments)`; None where there is no such function or it refuses.

    For facts that may be missing, never for work: an error of a computation must not be lost here.
    """
    try:
        return getattr(module_of(kind), name)(*arguments)
    except REFUSALS:
        return None


def ask_accelerator(name: str, *arguments: Any) -> Any:
    """The same of `torch.accelerator`, whose functions came one by one: most of them with torch 2.9 and 2.10."""
    import torch

    try:
        return getattr(torch.accelerator, name)(*arguments)
    except REFUSALS:
        return None
