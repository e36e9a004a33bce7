"""The programs that are compared, a file each: to add one, add a file with one class of `base.Runner` in it.

A runner is called by its file's name, with `-` for `_`. Nothing is imported before `find`, so that names cost nothing.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from literatim.bench.runners.base import Runner

OURS = "literatim"


def names() -> tuple[str, ...]:
    """Every runner, ours first."""
    found = sorted(item.name.replace("_", "-") for item in pkgutil.iter_modules(__path__) if item.name != "base")
    return (OURS, *(name for name in found if name != OURS))


def peers() -> tuple[str, ...]:
    """Every runner but ours."""
    return names()[1:]


def find(name: str) -> type[Runner]:
    """The class of a runner; `package.module:Class` names one that lies elsewhere."""
    module, _, kind = name.partition(":")
    if kind:
        found: type[Runner] = getattr(import_module(module), kind)
        return found
    adapter = import_module(f"{__name__}.{name.replace('-', '_')}")
    from literatim.bench.runners.base import Runner

    own = [item for item in vars(adapter).values() if getattr(item, "__module__", None) == adapter.__name__]
    (only,) = (item for item in own if isinstance(item, type) and issubclass(item, Runner))
    return only
