"""The child's side: `python -m literatim.doctor.probe NAME ARGUMENTS...` prints one JSON object on one line.

Nothing heavy is imported before the probe itself runs. Standard output belongs to the answer alone: what
libraries print there goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any

# Name -> module and function; each takes strings and returns a dictionary that JSON can hold.
PROBES = {
    "packages": ("literatim.doctor.inside_packages", "packages"),
    "torch": ("literatim.doctor.inside_devices", "torch_itself"),
    "devices": ("literatim.doctor.inside_devices", "devices"),
    "matmul": ("literatim.doctor.inside_work", "matmul"),
    "speech": ("literatim.doctor.inside_work", "speech"),
    "voices": ("literatim.doctor.inside_work", "voices"),
    "models": ("literatim.doctor.inside_models", "models"),
    "network": ("literatim.doctor.inside_models", "network"),
}


def answer(name: str, arguments: list[str]) -> dict[str, Any]:
    """What the probe returns, or {"error": [...]} with the exceptions that stopped it, outermost first."""
    module, function = PROBES[name]
    try:
        found: dict[str, Any] = getattr(import_module(module), function)(*arguments)
    except Exception as error:  # whatever a driver or a package raises is what the parent asked for
        return {"error": causes(error)}
    return found


def causes(error: BaseException | None) -> list[str]:
    """`Type: first line` of an exception and of those behind it, outermost first."""
    found: list[str] = []
    while error is not None and len(found) < 8:
        lines = str(error).strip().splitlines()
        found.append(f"{type(error).__name__}: {lines[0] if lines else 'no message'}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found


def main() -> None:
    """Run the probe that the command line names."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as result:
        os.dup2(2, 1)
        found = answer(sys.argv[1], sys.argv[2:])
        result.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
