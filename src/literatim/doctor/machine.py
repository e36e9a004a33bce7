"""The processor, the threads that torch would use on it, and memory, within what a container allows."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from literatim.device import host
from literatim.doctor import limits
from literatim.doctor.findings import FAIL, INFO, OK, WARN, Finding

SECTION = "machine"
_CHOICE = "LITERATIM_KERNELS"
_LEVELS = {
    "v4bf16": "AVX-512 with VNNI and bfloat16",
    "v4": "AVX-512 and VNNI",
    "v3": "AVX2",
    "base": "this processor's vectors",
}
_LITTLE = 2 * 2**30  # bytes; torch itself takes about a quarter of it
_ROOT = Path("/")


def findings(torch: Mapping[str, Any] | None, variables: Mapping[str, str], root: Path = _ROOT) -> list[Finding]:
    """`torch` is what the child said of itself, None when it cannot be imported."""
    return [_processor(root), *_kernels(torch, variables), *_threads(torch, variables, root), _memory(root)]


def _processor(root: Path) -> Finding:
    found = host.processor(root)
    text = f"{found.name}, {os.cpu_count()} processors{', ' if found.features else ''}{' '.join(found.features)}"
    if platform.machine().lower() in ("x86_64", "amd64") and found.flags and "avx2" not in found.flags:
        return Finding(
            SECTION, "processor", WARN, f"{text}; without AVX2 it is many times slower", "use a newer machine"
        )
    return Finding(SECTION, "processor", OK, text)


def _kernels(torch: Mapping[str, Any] | None, variables: Mapping[str, str]) -> list[Finding]:
    """Which of the compiled kernels decode on this processor."""
    if torch is None or "kernels" not in torch:
        return []
    if torch["kernels"] is not None:
        return [Finding(SECTION, "kernels", OK, f"{_LEVELS[torch['kernels']]}, built here")]
    if variables.get(_CHOICE):
        return [Finding(SECTION, "kernels", INFO, f"none, by {_CHOICE}={variables[_CHOICE]}: torch's operators decode")]
    text = "none for this processor were built: decoding on the CPU takes several times as long"
    mend = "install a C compiler (gcc or clang), then: pip install --force-reinstall --no-deps literatim"
    return [Finding(SECTION, "kernels", WARN, text, mend)]


def _threads(torch: Mapping[str, Any] | None, variables: Mapping[str, str], root: Path) -> list[Finding]:
    allowed, why = _allowed(root)
    if torch is None:
        return [Finding(SECTION, "threads", INFO, f"{_count(allowed)} may be used{why}")]
    used = int(torch.get("threads", 1))
    most = max(1, math.floor(allowed))
    named = variables.get("OMP_NUM_THREADS")
    told = f" (OMP_NUM_THREADS={named})" if named else ""
    text = f"torch uses {used}{told}; {_count(allowed)} may be used{why}"
    mend = f"export OMP_NUM_THREADS={most}"
    if used > max(1, math.ceil(allowed)):
        return [Finding(SECTION, "threads", WARN, f"{text}: too many threads wait for each other", mend)]
    if named and used < most // 2:
        return [Finding(SECTION, "threads", WARN, f"{text}: most processors stay idle", mend)]
    return [Finding(SECTION, "threads", OK, text)]


def _allowed(root: Path) -> tuple[float, str]:
    """How many processors' time this process can have, and which limit says so."""
    own = float(host.usable() or os.cpu_count() or 1)
    quota = limits.processors(root)
    if quota is not None and quota < own:
        return quota, " (the container's CPU quota)"
    return own, " (its affinity)" if own < (os.cpu_count() or 1) else ""


def _memory(root: Path) -> Finding:
    sizes = host.sizes(root / "proc/meminfo")
    total, free = sizes.get("MemTotal"), sizes.get("MemAvailable")
    limit = limits.memory(root)
    if total is None or free is None:
        return Finding(SECTION, "memory", INFO, "is not told by this system")
    text = f"{_gib(free)} of {_gib(total)} free"
    if limit is not None and limit < total:
        text, free = f"{text}; the container may use {_gib(limit)}", min(free, limit)
    if free < _LITTLE:
        mend = "end other programs, or give the container more memory"
        return Finding(SECTION, "memory", FAIL if free < _LITTLE // 4 else WARN, f"{text}: little for a model", mend)
    return Finding(SECTION, "memory", OK, text)


def _count(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0") + f" processor{'' if number == 1 else 's'}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
