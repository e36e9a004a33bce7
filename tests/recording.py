"""A stand-in for a device's graphs: operators are written down as they run, and run again into the same memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Graph:
    """As `torch.cuda.CUDAGraph`; `replays` counts those of all graphs."""

    replays = 0

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []

    def replay(self) -> None:
        Graph.replays += 1
        for function, given, named, before in self.calls:
            found = function(*given, **named)
            for old, new in zip(tree_leaves(before), tree_leaves(found), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class _Notes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, graph: Graph) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._graph = graph

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self._graph.calls.append((func, args, kwargs or {}, found))
        return found


@contextmanager
def graph(of: Graph) -> Iterator[None]:
    """As `torch.cuda.graph`, but that what is recorded runs as well."""
    with _Notes(of):
        yield


def record(_device: torch.device, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
    """As `literatim.device.record`: what the result is to hold is not there yet."""
    made = Graph()
    with graph(made):
        result = work()
    result.fill_(torch.nan)
    return result, made.replay
