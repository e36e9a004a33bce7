"""Memory in bytes: of a device as its allocator counts it, of this process as the operating system does."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from literatim.device import host
from literatim.device.backend import ask, ask_accelerator

if TYPE_CHECKING:
    import torch

_STATUS = Path("/proc/self/status")
_MACHINE = Path("/proc/meminfo")
_RESET = Path("/proc/self/clear_refs")
_PEAK_RSS = "5"  # proc(5): writing 5 to clear_refs sets the peak resident set size back to the current one
_STATISTICS = {"allocated": "allocated_bytes.all.current", "peak": "allocated_bytes.all.peak"}


@dataclass(frozen=True)
class Memory:
    """Bytes; None for what a backend does not tell.

    Of a device: `allocated` in tensors now, `peak` the most of that since `reset_peak`, `reserved` held by torch's
    allocator, `free` and `total` of the card for all processes. Of the host: `allocated` is this process's resident
    set, `peak` its largest, `free` what the machine could still give.
    """

    allocated: int | None = None
    peak: int | None = None
    reserved: int | None = None
    free: int | None = None
    total: int | None = None


def memory(device: torch.device) -> Memory:
    """The memory of a device now; for the CPU that of this process."""
    if device.type == "cpu":
        return host_memory()
    if device.type == "mps":  # it counts no peak
        used = _bytes(ask("mps", "driver_allocated_memory"))
        total = _bytes(ask("mps", "recommended_max_memory"))
        free = None if used is None or total is None else max(0, total - used)
        return Memory(_bytes(ask("mps", "current_allocated_memory")), None, used, free, total)
    card = ask(device.type, "mem_get_info", device) or ask_accelerator("get_memory_info", device)
    statistics = ask_accelerator("memory_stats", device) or {}
    found = {name: _bytes(statistics.get(key)) for name, key in _STATISTICS.items()}
    return Memory(
        allocated=_first(ask(device.type, "memory_allocated", device), found["allocated"]),
        peak=_first(ask(device.type, "max_memory_allocated", device), found["peak"]),
        reserved=_bytes(ask(device.type, "memory_reserved", device)),
        free=_bytes(card[0]) if card else None,
        total=_bytes(card[1]) if card else None,
    )


def reset_peak(device: torch.device) -> None:
    """Count the peak from now on, where the backend counts one; on the CPU that of this process."""
    if device.type == "cpu":
        reset_host_peak()
    else:
        ask(device.type, "reset_peak_memory_stats", device)


def host_memory() -> Memory:
    """The resident memory of this process and its peak, and what the machine has."""
    own, machine = host.sizes(_STATUS), host.sizes(_MACHINE)
    now, peak = own.get("VmRSS"), own.get("VmHWM")
    peak = peak if peak is not None else _peak_of_process()
    return Memory(now, peak, now, machine.get("MemAvailable"), _total(machine))


def reset_host_peak() -> bool:
    """Count this process's peak from now on; False where the system cannot, and the peak is then that of its life."""
    try:
        _RESET.write_text(_PEAK_RSS, encoding="ascii")
    except OSError:  # no Linux, or a container that does not let it
        return False
    return True


def _bytes(answer: Any) -> int | None:
    return int(answer) if isinstance(answer, (int, float)) and not isinstance(answer, bool) else None


def _first(*answers: Any) -> int | None:
    return next((found for found in map(_bytes, answers) if found is not None), None)


def _peak_of_process() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _total(machine: dict[str, int]) -> int | None:
    names = getattr(os, "sysconf_names", {})
    if "MemTotal" in machine or not {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(names):
        return machine.get("MemTotal")
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
