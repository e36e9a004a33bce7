"""What torch can do with each kind of device, and whether it does it right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from literatim.doctor.child import Answer
from literatim.doctor.findings import FAIL, INFO, OK, WARN, Finding, split

ABSENT = "other devices"  # the section of those that are not here, and that nothing says should be
_AUTOLOAD = "Failed to load the backend extension: "


def torch_itself(answer: Answer) -> Finding:
    """Whether `import torch` works, and if not, what stands in its way."""
    section = "python"
    if answer.result is not None:
        said = answer.result
        return Finding(section, "torch", OK, f"{said['version']} ({_build(said)})")
    said_first = answer.causes[0] if answer.causes else answer.trouble
    if breaks_torch(answer):
        name = said_first.partition(_AUTOLOAD)[2].split(".")[0].split()[0]
        text = f"import torch fails, since it loads {name} by itself, and that fails: {answer.causes[-1]}"
        mend = f"`export TORCH_DEVICE_BACKEND_AUTOLOAD=0` to go on without {name}; what mends {name} itself is below"
        return Finding(section, "torch", FAIL, text, mend)
    if said_first.startswith("ModuleNotFoundError") and "'torch'" in said_first:
        return Finding(section, "torch", FAIL, "is not installed", "pip install torch")
    again = "pip install --force-reinstall torch"
    return Finding(
        section, "torch", FAIL, f"import torch fails: {answer.causes[-1] if answer.causes else answer.trouble}", again
    )


def breaks_torch(answer: Answer) -> bool:
    """Whether a package that torch loads by itself, such as torch_npu, is what breaks `import torch`."""
    return bool(answer.causes) and _AUTOLOAD in answer.causes[0]


def _build(said: Mapping[str, Any]) -> str:
    if said.get("cuda"):
        return f"for CUDA {said['cuda']}"
    return f"for ROCm {said['hip']}" if said.get("hip") else "without CUDA"


def here(answer: Answer) -> int:
    """How many devices of a kind can be used."""
    return int(answer.result["count"]) if answer.result is not None else 0


def findings(kind: str, answer: Answer, wanted: bool) -> list[Finding]:
    """Number, names, memory and dtypes of a kind; `wanted`: something says that it should be here."""
    if answer.result is None:
        text = f"looking at it failed: {answer.trouble}"
        return [Finding(kind, "devices", FAIL if wanted else WARN, text, _again(kind))]
    if not answer.result["count"]:
        # The rest of the reason, if any, is what the versions say, which has a line of its own.
        text, mend = split(str(answer.result.get("why_not")).partition("; also, ")[0])
        if wanted:
            return [Finding(kind, "devices", FAIL, text, mend)]
        return [Finding(ABSENT, kind, INFO, f"not here: {text}", mend)]
    found = [] if kind == "cpu" else [_devices(kind, answer.result)]
    found += [_broken(kind, index, one) for index, one in enumerate(answer.result["devices"]) if "error" in one]
    found += _numbers(kind, answer.result)
    if answer.trouble:
        found.append(Finding(kind, "end", WARN, f"the process that looked at it {answer.trouble}", _again(kind)))
    return found


def _again(kind: str) -> str:
    return f"`python -X faulthandler -m literatim.doctor.probe devices {kind}` shows where it ends"


def _devices(kind: str, said: Mapping[str, Any]) -> Finding:
    names = [str(one.get("name") or kind) for one in said["devices"]]
    named = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    memory = said["devices"][0].get("memory") or {}
    room = ""
    if memory.get("free") is not None and memory.get("total"):
        room = f", {memory['free'] / 2**30:.1f} of {memory['total'] / 2**30:.1f} GiB free"
        room += " on the first" if len(names) > 1 else ""
    versions = [f"{name} {value}" for name, value in said["versions"].items() if value and name != "torch"]
    software = f" ({', '.join(versions)})" if versions else ""
    if room and memory["free"] < memory["total"] / 10:
        mend = f"end what fills it, or choose another card with `--device {kind}:N`"
        return Finding(kind, "devices", WARN, f"{named}{room}: nearly full{software}", mend)
    return Finding(kind, "devices", OK, f"{named}{room}{software}")


def _broken(kind: str, index: int, one: Mapping[str, Any]) -> Finding:
    text = f"{kind}:{index} raises when it is used: {one['error'][-1]}"
    return Finding(
        kind, f"{kind}:{index}", FAIL, text, f"choose another with `--device {kind}:N`, or restart the machine"
    )


def _numbers(kind: str, said: Mapping[str, Any]) -> list[Finding]:
    """The dtypes of the first device that works, and what float32 means there."""
    first = next((one for one in said["devices"] if "error" not in one), None)
    if first is None:
        return []
    if not first["dtypes"]:
        text = "a product of two small matrices is wrong, or fails, in every dtype"
        return [Finding(kind, "dtypes", FAIL, text, "restart the machine, then reinstall the driver and torch")]
    other = [f"{value} in {name}" for name, value in said["precision"].items() if value not in (None, "float32")]
    what = {"conv": "convolutions", "matmul": "matrix products"}
    meaning = ", ".join(f"{value.split()[0]} in {what[value.split()[2]]}" for value in other)
    text = ", ".join(first["dtypes"]) + (
        f"; float32 is {meaning}, unless --precision highest is given" if meaning else ""
    )
    return [Finding(kind, "dtypes", OK, text)]
