"""`import torch` where a package beside it may be broken: torch loads every accelerator package that is installed."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

from literatim.device import ascend
from literatim.errors import DependencyError, DeviceError

_AUTOLOAD = "Failed to load the backend extension"


def import_torch() -> None:
    """Import torch, or raise a DeviceError that says which package beside it does not load and what to do.

    What those packages print while they load goes to standard error.
    """
    if "torch" in sys.modules:
        return
    try:
        with redirect_stdout(sys.stderr):
            import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DependencyError("torch is not installed; `pip install torch`") from error
    except RuntimeError as error:
        if _AUTOLOAD not in str(error):
            raise
        why = ascend.explain(error.__cause__ or error) if "torch_npu" in str(error) else f"{error} ({error.__cause__})"
        without = "to run without it: `export TORCH_DEVICE_BACKEND_AUTOLOAD=0`"
        raise DeviceError(f"torch cannot be imported: {why}; {without}") from error
