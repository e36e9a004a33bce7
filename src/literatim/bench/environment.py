"""What a figure depends on: machine, software and settings, in one dictionary that goes with every result."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from literatim import device as devices
from literatim.bench.model_hash import model_hash

_PACKAGE = Path(__file__).resolve().parent.parent
# What decides how fast a CPU multiplies small numbers; others of its many flags do not.
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "sve")
# a path of two parts or more, from its root, its drive or the home folder on
_PATH = re.compile(r"(?<![\w.\-])(?:~|[A-Za-z]:)?(?:[/\\][^/\\\s:;,=]+){2,}[/\\]?|~[/\\][^/\\\s:;,=]+")
_HOME = re.compile(r"^(?:/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\]+[/\\]?$")


def fingerprint(
    device: str, dtypes: Iterable[str], packages: Iterable[str], model: Path | None = None
) -> dict[str, Any]:
    """Date, machine, versions, precision, variables, model and commit.

    `packages` are distribution names, None where one is not installed. `model` is a folder, whose hash is reported.
    Values of environment variables are shortened: of a path its last part is kept, of a home folder nothing.
    """
    import torch

    where = torch.device(device)
    cpu = _cpu()
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "cpu_features": [name for name in _FEATURES if name in cpu.get("flags", "").split()],
        "cores": os.cpu_count(),
        "cores_usable": _usable(),
        "ram_gib": _ram_gib(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "device": device,
        "device_name": None if where.type == "cpu" else devices.name_of(where),
        "dtypes": list(dtypes),
        "precision": devices.precision_flags(where),
        "versions": devices.versions(where),
        "variables": variables(devices.ENVIRONMENT),
        "packages": {name: version(name) for name in ("literatim", *packages)},
        "model": None if model is None else model_hash(model),
        "commit": _commit(),
    }


def version(package: str) -> str | None:
    """The installed version of a distribution, None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def variables(names: Iterable[str]) -> dict[str, str]:
    """Those environment variables that are set, with their values shortened."""
    return {name: shorten(os.environ[name]) for name in names if name in os.environ}


def shorten(value: str) -> str:
    """Paths by their last part (`.../cache`), a user's home folder as `~`: a report may be published."""
    parts = value.split(os.pathsep)
    if all(_whole_path(part) for part in parts):  # may hold spaces
        return os.pathsep.join(_last(part) for part in parts)
    return _PATH.sub(lambda match: _last(match[0]), value)


def _whole_path(text: str) -> bool:
    return text.startswith(("/", "~", "\\\\")) or re.match(r"[A-Za-z]:[\\/]", text) is not None


def _last(path: str) -> str:
    bare = path.rstrip("/\\")
    if bare in {"~", str(Path.home())} or _HOME.match(bare):
        return "~"
    parts = re.split(r"[/\\]", bare)
    return f".../{parts[-1]}" if len([part for part in parts if part]) > 1 else bare or path


def _cpu() -> dict[str, str]:
    """The first processor of Linux's list; elsewhere nothing, and `platform` has to do."""
    listing = Path("/proc/cpuinfo")
    if not listing.is_file():
        return {}
    first = listing.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    found = {name.strip(): value.strip() for name, _, value in pairs}
    return {**found, "flags": found.get("flags", found.get("Features", ""))}


def _usable() -> int | None:
    """Cores this process may run on, where the system tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return None if affinity is None else len(affinity(0))


def _ram_gib() -> float | None:
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


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
