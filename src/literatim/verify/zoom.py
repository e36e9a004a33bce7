"""Inside one call: the operations that it is made of on the device, each beside the same on the CPU.

What torch offers as one function may be several kernels on a device. Each is given to the CPU with the device's own
inputs, in float64 for the truth and in the dtype for the floor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from literatim.verify.checks import Own
from literatim.verify.deviation import UNIT, exact, measure, spread
from literatim.verify.family import Subject
from literatim.verify.golden import Golden
from literatim.verify.passes import COARSE
from literatim.verify.types import Call
from literatim.verify.watch import Seen, mapped, tensors


def zoom(subject: Subject, golden: Golden, floor: str, index: int) -> tuple[Call, ...]:
    """The operations inside the call with this index, in the run with the reference's inputs."""
    inside = _Inside(golden, floor, index)
    subject.watch(inside, golden.heard, steps=golden.about["steps"])
    return tuple(inside.found)


class _Inside(Own):
    """As `Own`, and looks into one call."""

    def __init__(self, golden: Golden, floor: str, index: int) -> None:
        super().__init__(golden, floor)
        self._index = index
        self.found: list[Call] = []

    def __call__(self, seen: Seen, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make the call as ever, the one with its operations recorded."""
        if seen.index != self._index:
            return super().__call__(seen, func, args, kwargs)

        def recorded(*given: Any, **named: Any) -> Any:
            with _Operations(seen, self.found):
                return func(*given, **named)

        return super().__call__(seen, recorded, args, kwargs)


class _Operations(TorchDispatchMode):
    """Repeats every operation below on the CPU."""

    def __init__(self, seen: Seen, found: list[Call]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen, self._found = seen, found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _own_kernel(func, args):
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        schema = func._schema
        if any(item.alias_info is not None for item in (*schema.arguments, *schema.returns)):
            return func(*args, **kwargs)  # a view, or a write into an argument
        before = _on_cpu(args), _on_cpu(kwargs)
        out = func(*args, **kwargs)
        try:
            truth, floor = func(*mapped(_wide, before[0]), **mapped(_wide, before[1])), func(*before[0], **before[1])
        except (RuntimeError, TypeError):  # a kernel that only the device has
            return out
        for mine, true, near in zip(tensors(out), tensors(truth), tensors(floor), strict=True):
            self._note(str(schema.name), mine, true, near)
        return out

    def _note(self, op: str, mine: Tensor, true: Tensor, near: Tensor) -> None:
        if not mine.numel():
            return
        if mine.is_floating_point():
            product = self._seen.op in COARSE["all"]
            found = measure(mine, true, spread(near, true), UNIT[mine.dtype], product)
        else:
            found = exact(mine, near)
        place = (len(self._found), self._seen.site, op, self._seen.stage)
        self._found.append(Call(*place, tuple(mine.shape), str(mine.dtype).removeprefix("torch."), found, found.floor))


def _own_kernel(func: Any, args: Any) -> bool:
    """Whether the device of the arguments has a kernel for an operation, which is otherwise made of others."""
    device = next((tensor.device.type for tensor in tensors(args)), "cpu")
    torch_c: Any = torch._C
    return bool(torch_c._dispatch_has_kernel_for_dispatch_key(func.name(), torch_c._dispatch_key_for_device(device)))


def _on_cpu(tree: Any) -> Any:
    """Copies of all tensors; of a device's name, the CPU's."""
    moved = mapped(lambda tensor: tensor.detach().cpu().clone(), tree)
    if isinstance(moved, dict):
        return {name: _name(item) for name, item in moved.items()}
    return tuple(_name(item) for item in moved)


def _name(item: Any) -> Any:
    return torch.device("cpu") if isinstance(item, torch.device) else item


def _wide(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
