"""What a figure depends on: machine, software and settings, in one dictionary that goes with every result."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from literatim import device as devices
from literatim.device import host
from literatim.provenance.model_hash import model_hash

_PACKAGE = Path(__file__).resolve().parent.parent
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

    from literatim.native import library

    where = torch.device(device)
    cpu, ram = host.processor(), devices.host_memory().total
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu.name,
        "cpu_model": cpu.model,
        "cpu_features": cpu.features,
        "cores": os.cpu_count(),
        "cores_usable": host.usable(),
        "ram_gib": None if ram is None else round(ram / 2**30, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "kernels": library.level(),
        "device": device,
        "device_name": None if where.type == "cpu" else devices.name_of(where),
        "dtypes": list(dtypes),
        "precision": devices.precision_flags(where),
        "versions": devices.versions(where),
        "variables": variables(devices.ENVIRONMENT),
        "packages": {name: host.version(name) for name in ("literatim", *packages)},
        "model": None if model is None else model_hash(model),
        "commit": _commit(),
    }


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
