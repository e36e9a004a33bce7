"""What a figure depends on: machine, software and settings, in one dictionary that goes with every result."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent.parent
# What decides how fast a CPU multiplies small numbers; others of its many flags do not.
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "sve")


def fingerprint(device: str, dtypes: Iterable[str], packages: Iterable[str]) -> dict[str, Any]:
    """Date, machine, versions and commit; `packages` are distribution names, None where one is not installed."""
    import torch

    cpu = _cpu()
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "cpu_features": [name for name in _FEATURES if name in cpu.get("flags", "").split()],
        "cores": os.cpu_count(),
        "ram_gib": _ram_gib(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "device": device,
        "device_name": _device_name(device),
        "dtypes": list(dtypes),
        "packages": {name: version(name) for name in ("literatim", *packages)},
        "commit": _commit(),
    }


def version(package: str) -> str | None:
    """The installed version of a distribution, None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> dict[str, str]:
    """The first processor of Linux's list; elsewhere nothing, and `platform` has to do."""
    listing = Path("/proc/cpuinfo")
    if not listing.is_file():
        return {}
    first = listing.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    found = {name.strip(): value.strip() for name, _, value in pairs}
    return {**found, "flags": found.get("flags", found.get("Features", ""))}


def _ram_gib() -> float | None:
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def _device_name(device: str) -> str | None:
    """What the driver calls an accelerator; None for the CPU, whose name is above, or where none is told."""
    import torch

    kind, _, index = device.partition(":")
    name = getattr(getattr(torch, kind, None), "get_device_name", None)
    return None if kind == "cpu" or name is None else str(name(int(index or 0)))


def _commit() -> str | None:
    """The commit of the checkout this package runs from, with `+` after it where files have changed since."""
    root = _PACKAGE.parent.parent
    if not (root / ".git").exists() or root / "src" / "literatim" != _PACKAGE:
        return None
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "src")
    return f"{commit}+" if commit and changed else commit


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or a checkout it does not trust
        return None
    return done.stdout.strip() or None
