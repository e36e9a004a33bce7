"""Whether a device computes what it should: `literatim.verify(model, device=...)` is this package, called."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from literatim.verify.types import Report


class _Callable(types.ModuleType):
    """A function and a package of one name cannot be told apart after an import; so the package is the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Report:
        """See `run.verify`."""
        from literatim.verify.run import verify

        return verify(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
