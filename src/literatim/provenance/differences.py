"""In what two results were made differently: machine, software, settings, model, code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# groups of what a report was made with, by the first part of a dotted name; anything else is software
_GROUPS = {
    "machine": (
        *("cpu", "cpu_model", "cpu_features", "cores", "cores_usable", "ram_gib", "os", "device", "device_name"),
        *("versions.driver", "versions.toolkit"),
    ),
    "model": ("model", "weights", "shape", "model_files"),
    "code": ("commit", "packages.literatim"),
}
_IGNORED = ("date", "dtypes")  # differ by what was measured, which the rows show


def differences(a: dict[str, Any], b: dict[str, Any]) -> dict[str, dict[str, list[Any]]]:
    """What two reports were made with and differs: {machine, software, settings, model, code: {name: [a's, b's]}}.

    A report has `environment` (a fingerprint) and `settings`, and may have model, weights, shape, device and dtype. A
    name that one report does not have at all, as an older one, is not compared.
    """
    found: dict[str, dict[str, list[Any]]] = {}
    theirs = dict(_made_with(b))
    for (group, name), value in dict(_made_with(a)).items():
        other = theirs.get((group, name), value)
        if other != value:
            found.setdefault(group, {})[name] = [value, other]
    return found


def sentences(found: dict[str, dict[str, list[Any]]]) -> list[str]:
    """One for each group that differs."""
    pairs = {
        group: [f"{name} {_brief(mine)} / {_brief(theirs)}" for name, (mine, theirs) in names.items()]
        for group, names in found.items()
    }
    return [f"differs in {group}: {'; '.join(items)}" for group, items in pairs.items()]


def _made_with(report: dict[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    """((group, dotted name), value) of the environment, the settings and the model."""
    environment = dict(report.get("environment") or {})
    weights = environment.pop("model", None)
    if weights:
        yield ("model", "sha256"), weights.get("sha256")
    for name in ("model", "weights", "shape", "device", "dtype"):
        if name in report:
            yield (_group(name), name), report[name]
    for name, value in _flat(environment):
        if name.split(".")[0] not in _IGNORED:
            yield (_group(name), name), value
    for name, value in _flat(report.get("settings") or {}):
        yield ("settings", name), value


def _group(name: str) -> str:
    for group, names in _GROUPS.items():
        if name in names or name.split(".", maxsplit=1)[0] in names:
            return group
    return "settings" if name == "dtype" else "software"


def _flat(found: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _brief(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
