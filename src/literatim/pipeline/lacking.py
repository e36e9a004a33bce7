"""What an accelerator cannot do, said in words: which operation, where in the network, and what helps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import torch
from torch import nn

from literatim.errors import DeviceError

# The operation, as the messages of torch, of its backends, and of torch_npu with fallbacks forbidden name it.
_SAYINGS = (
    r"Could not run '([\w:.]+)' with arguments",
    r"[Oo]perator '([\w:.]+)' (?:is not currently|would execute its main computation on CPU)",
    r"[\"']?(aten::[\w.]+)[\"']? (?:is )?not (?:yet )?(?:implemented|supported)",
    r"\"(\w+)\" not implemented for '\w+'",
    r"(aclnn\w+) failed(?=.*(?:not support|not implemented))",
)
_AT_WORK = ("literatim.decode.", "literatim.models.", "literatim.pipeline.engine")


@contextmanager
def explained(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Turn the error of an operation that `device` lacks into a DeviceError; any other passes."""
    try:
        yield
    except RuntimeError as error:  # NotImplementedError is one
        operation = lacked(str(error))
        if device.type == "cpu" or operation is None:
            raise
        place = _place(error.__traceback__, model)
        raise DeviceError(
            f"{device} has no {operation}, needed by {place}; update torch and the package of this device to versions "
            "that belong together (`literatim doctor` shows them), try another --dtype, or use --device cpu"
        ) from error


def lacked(message: str) -> str | None:
    """The operation that an error's message says is missing; None where it says something else."""
    found = (re.search(saying, message, re.DOTALL) for saying in _SAYINGS)
    return next((match[1] for match in found if match), None)


def _place(trace: TracebackType | None, model: nn.Module) -> str:
    """The innermost module of `model` that was at work, else the innermost function of the decoding."""
    names = {id(module): name for name, module in model.named_modules()}
    module, function = None, "an operation outside the network"
    while trace is not None:
        frame = trace.tb_frame
        own = frame.f_locals.get("self")
        if isinstance(own, nn.Module) and id(own) in names:
            module = names[id(own)] or type(own).__name__
        where = str(frame.f_globals.get("__name__", ""))
        if where.startswith(_AT_WORK):
            function = f"{where}.{frame.f_code.co_name}"
        trace = trace.tb_next
    return module or function
