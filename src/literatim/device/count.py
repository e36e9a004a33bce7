"""How many devices of a kind can be used now."""

from __future__ import annotations

from literatim.device import ascend
from literatim.device.backend import module_of


def available(kind: str) -> int:
    """Devices of a kind that torch can use: 0 for one whose package, driver or hardware is missing."""
    if kind == "cpu":
        return 1
    if kind == "npu":
        return ascend.look().devices
    if kind == "cuda" and ascend.pretends():  # it would be the NPU under another name
        return 0
    module = module_of(kind)
    if module is None or not module.is_available():
        return 0
    return int(module.device_count())
