"""Inside a child: torch itself, and what it can see of each kind of device."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from literatim.doctor.probe import causes


def torch_itself() -> dict[str, Any]:
    """Version, file, the CUDA or HIP it was built for, threads it would use, and our kernels beside it."""
    import torch

    from literatim.native import library

    build = torch.version
    return {
        "version": str(torch.__version__),
        "file": str(torch.__file__),
        "cuda": build.cuda,
        "hip": getattr(build, "hip", None),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "kernels": library.level(),
    }


def devices(*kinds: str) -> dict[str, Any]:
    """For each kind: how many, why none, versions, precision switches, and each device's name, memory and dtypes."""
    return {kind: _guarded(kind) for kind in kinds}


def _guarded(kind: str) -> dict[str, Any]:
    try:
        return _kind(kind)
    except Exception as error:  # one broken backend must not hide the others
        return {"error": causes(error)}


def _kind(kind: str) -> dict[str, Any]:
    import torch

    from literatim import device as known

    count = known.available(kind)
    if not count:
        return {"count": 0, "why_not": known.why_not(kind)}
    flags = known.precision_flags(torch.device(kind))
    return {
        "count": count,
        "versions": known.versions(torch.device(kind)),
        "precision": {name: flags.get(f"float32_{name}") for name in ("matmul", "conv")},
        "devices": [_one(kind, index) for index in range(count)],
    }


def _one(kind: str, index: int) -> dict[str, Any]:
    """One device: its name, memory in bytes and dtypes, or the error that it raises when it is used."""
    import torch

    from literatim import device as known

    device = torch.device(kind) if kind == "cpu" else torch.device(kind, index)
    try:
        return {
            "name": known.name_of(device),
            "memory": asdict(known.memory(device)),
            "dtypes": list(known.dtypes(device)),
        }
    except Exception as error:  # a broken card beside good ones
        return {"error": causes(error)}
