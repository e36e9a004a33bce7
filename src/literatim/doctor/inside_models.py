"""Inside a child: where models are looked for, whether they can be kept, and whether the hub answers."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

MOST_SECONDS = 3.0  # spent on adding up the sizes of a cache, which may be large and far away


def models() -> dict[str, Any]:
    """Endpoint, offline state, and the cache with its size and room; the default model and where it is."""
    from literatim import hub
    from literatim.hub import huggingface
    from literatim.options import HubOptions

    name = hub.default_model()
    place = huggingface.source("owner/name", HubOptions())
    try:
        folder, unknown = hub.cached(name), None
        if folder is None:
            hub.repository(name)  # raises for a name that no hub can know either
    except Exception as error:  # a wrong LITERATIM_MODEL must not hide the rest
        folder, unknown = None, str(error)
    return {
        "endpoint": place.endpoint,
        "offline": huggingface.offline(),
        "cache": {"path": str(place.cache), **_cache(place.cache)},
        "model": {"name": name, "path": None if folder is None else str(folder), "error": unknown},
    }


def network() -> dict[str, Any]:
    """How long the hub took to answer, in seconds; raises what a download would raise when it does not."""
    from literatim.hub.reach import reach

    began = time.perf_counter()
    endpoint = reach()
    return {"endpoint": endpoint, "seconds": time.perf_counter() - began}


def _cache(cache: Path) -> dict[str, Any]:
    """Whether files can be written there, bytes free, and how many models and bytes it holds."""
    there = next((folder for folder in (cache, *cache.absolute().parents) if folder.is_dir()), Path(os.sep))
    found: dict[str, Any] = {"exists": cache.is_dir(), "refused": None, "free": None, "models": 0, "bytes": 0}
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        found["refused"] = f"{there}: {error.strerror or error}"
    try:
        found["free"] = shutil.disk_usage(there).free
        if found["exists"]:
            found.update(_size(cache))
    except OSError as error:
        found["refused"] = found["refused"] or f"{cache}: {error.strerror or error}"
    return found


def _size(cache: Path) -> dict[str, Any]:
    """Models and bytes in a cache; `counted` is False when there was no time to count them all."""
    until = time.monotonic() + MOST_SECONDS
    total = 0
    for folder, _, files in os.walk(cache):
        for name in files:
            status = (Path(folder) / name).lstat()
            total += status.st_size
        if time.monotonic() > until:
            return {"models": len(list(cache.glob("models--*"))), "bytes": total, "counted": False}
    return {"models": len(list(cache.glob("models--*"))), "bytes": total, "counted": True}
