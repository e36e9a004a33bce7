"""No operation may leave its device in silence: one that a device lacks becomes an error.

torch_npu and torch's mps would run it on the CPU, and say so once or not at all. Both read their switch when they are
loaded.
"""

from __future__ import annotations

import os
import sys

from literatim.errors import DeviceError

_SWITCHES = {"TORCH_NPU_FALLBACK_CPU_DISABLE": "1", "PYTORCH_ENABLE_MPS_FALLBACK": "0"}


def forbid_fallbacks() -> None:
    """For the whole process, before its first use of a device.

    DeviceError where torch_npu is loaded already and was started without the switch.
    """
    switch = next(iter(_SWITCHES))
    if "torch_npu" in sys.modules and os.environ.get(switch) != _SWITCHES[switch]:
        raise DeviceError(f"torch_npu is loaded already; set {switch}=1 before this process starts")
    os.environ.update(_SWITCHES)
