"""Every operation of a running network, seen one by one: torch's own calls, not modules, so that nothing is missed.

A product inside attention, a residual sum, a write into a cache or a choice of tokens is no module, and methods that
are not `forward` pass hooks by. What is seen here is what the program asks of torch, in order, and the same program
asks the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

ACCELERATOR = torch.device("cuda", 0)  # what a pretended device is called; nothing is sent there
_CPU = torch.device("cpu")
_TENSOR: Any = torch.Tensor
_DEVICE_OF, _DTYPE_OF = _TENSOR.device.__get__, _TENSOR.dtype.__get__

# They compute nothing: their results lie in the memory of their arguments.
_VIEWS = frozenset(
    {
        "view",
        "transpose",
        "chunk",
        "unbind",
        "expand",
        "expand_as",
        "unsqueeze",
        "squeeze",
        "permute",
        "split",
        "narrow",
        "select",
        "detach",
        "view_as",
        "movedim",
        "t",
        "as_strided",
        "unflatten",
        "__get__",
        "__set__",
        "__len__",
        "_is_view",
        "requires_grad_",
    }
)
_MADE = frozenset(
    {
        "arange",
        "zeros",
        "ones",
        "full",
        "tensor",
        "empty",
        "zeros_like",
        "empty_like",
        "ones_like",
        "as_tensor",
        "from_numpy",
    }
)
WRITES = "__setitem__"


@dataclass(frozen=True)
class Seen:
    """One call: the place it belongs to, the operation, the stage of the work."""

    index: int
    site: str
    op: str
    stage: str


class Names(Protocol):
    """Which place of the network a call belongs to: it is asked of every call, in order."""

    def __call__(self, op: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str: ...


class Seer(Protocol):
    """Is handed each call, makes it, and gives the result that the program goes on with."""

    def __call__(self, seen: Seen, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...


class Watch(TorchFunctionMode):
    """Within it, each call that computes something is handed to `seer`.

    With `pretend`, tensors of the CPU say that they are an accelerator's, so that the program takes the way that it
    takes there: a reference has to be made by the same operations.
    """

    def __init__(self, seer: Seer, names: Names, pretend: bool, wide: torch.dtype | None = None) -> None:
        """`wide`: the dtype that float64 tensors say they have, so that they take its way too."""
        super().__init__()
        self._seer, self._names, self._pretend, self._wide = seer, names, pretend, wide
        self._index = 0
        self.stage = ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._pretend:
            if func == _DEVICE_OF:
                return ACCELERATOR
            args = tuple(_CPU if isinstance(item, torch.device) else item for item in args)
            if isinstance(kwargs.get("device"), torch.device):
                kwargs = {**kwargs, "device": _CPU}
        if self._wide is not None:
            if func == _DTYPE_OF and func(*args) == torch.float64:
                return self._wide
            args = tuple(torch.float64 if item is self._wide else item for item in args)
        op = operation(func)
        if not _computes(op, args):
            return func(*args, **kwargs)
        site = self._names(op, args, kwargs)
        if not site:
            return func(*args, **kwargs)
        seen = Seen(self._index, site, op, self.stage)
        self._index += 1
        return self._seer(seen, func, args, kwargs)


class Pretend(TorchFunctionMode):
    """`Watch` without anybody who looks: the accelerator's way on the CPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == _DEVICE_OF:
            return ACCELERATOR
        args = tuple(_CPU if isinstance(item, torch.device) else item for item in args)
        if kwargs and isinstance(kwargs.get("device"), torch.device):
            kwargs = {**kwargs, "device": _CPU}
        return func(*args, **(kwargs or {}))


def operation(func: Any) -> str:
    """What a function of torch is called."""
    return str(getattr(func, "__name__", func))


def in_place(op: str) -> bool:
    """Whether the operation writes into its first argument."""
    return op == WRITES or (op.endswith("_") and not op.endswith("__")) or (op.startswith("__i") and op != "__invert__")


def results(op: str, args: tuple[Any, ...], out: Any) -> list[Tensor]:
    """What a call has made: of one that writes into a part of a tensor, that part; nothing that is empty."""
    return [made for made in tensors(args[0][args[1]] if op == WRITES else out) if made.numel()]


def tensors(tree: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        yield from tensors(list(tree.values()))
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from tensors(item)


def mapped(change: Callable[[Tensor], Any], tree: Any) -> Any:
    """The same tree with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        return {name: mapped(change, item) for name, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        items: Iterable[Any] = [mapped(change, item) for item in tree]
        return list(items) if isinstance(tree, list) else tuple(items)
    return tree


def _computes(op: str, args: tuple[Any, ...]) -> bool:
    if op in _VIEWS or op in _MADE or op.startswith("new_"):
        return False
    if op == "__getitem__":
        return any(True for _ in tensors(args[1])) or _lists(args[1])
    return True


def _lists(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, list) for part in parts)
