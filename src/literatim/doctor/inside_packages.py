"""Inside a child: whether the packages that literatim needs can be imported."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from literatim.doctor.probe import causes


def packages(*names: str) -> dict[str, Any]:
    """For each module its version and file, or the error that its import raises. `av` tells its FFmpeg too."""
    return {name: _package(name) for name in names}


def _package(name: str) -> dict[str, Any]:
    try:
        module = import_module(name)
    except Exception as error:  # a broken shared library raises what it likes, and that is the answer
        return {"error": causes(error)}
    found = {"version": _words(getattr(module, "__version__", None)), "file": _words(getattr(module, "__file__", None))}
    if name == "av":
        found["ffmpeg"] = _words(getattr(module, "ffmpeg_version_info", None))
    return found


def _words(value: object) -> str | None:
    return None if value is None else str(value)
