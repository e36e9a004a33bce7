"""Optional packages, asked for where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from literatim.errors import DependencyError


def need(module: str, extra: str, purpose: str) -> Any:
    """Import `module`, or say which extra brings it: DependencyError."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise DependencyError(
            f"{purpose} needs {package} ({error}); install it with: pip install 'literatim[{extra}]'"
        ) from error
