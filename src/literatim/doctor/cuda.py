"""NVIDIA: what the driver says without torch, and whether it is new enough for the CUDA that torch was built for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from literatim.doctor import visible
from literatim.doctor.child import Ran, run
from literatim.doctor.findings import FAIL, OK, WARN, Finding
from literatim.doctor.matrix import CUDA_SOURCE, oldest_driver

SECTION = "cuda"
QUESTION = ("nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader")
MOST_SECONDS = 20.0  # nvidia-smi hangs when a driver does


def driver() -> Ran:
    """What `nvidia-smi` says of driver and GPUs; a code of None when it is not there."""
    return run(QUESTION, MOST_SECONDS)


def findings(ran: Ran, torch: Mapping[str, Any] | None, variables: Mapping[str, str]) -> list[Finding]:
    """The driver, when there is a sign of one, and what CUDA_VISIBLE_DEVICES hides."""
    return [*_driver(ran, None if torch is None else torch.get("cuda")), *visible.gpus(variables), *_slow(variables)]


def present(ran: Ran) -> bool:
    """Whether a driver with a GPU answered."""
    return ran.code == 0 and bool(ran.stdout.strip())


def _driver(ran: Ran, cuda: str | None) -> list[Finding]:
    if ran.hung:
        return [Finding(SECTION, "driver", WARN, f"nvidia-smi hangs ({MOST_SECONDS:g} s)", "restart the machine")]
    if ran.code is None:
        return []
    lines = ran.stdout.strip().splitlines()
    if not present(ran):
        said = (lines or ran.stderr.strip().splitlines() or ["nothing"])[0]
        return [Finding(SECTION, "driver", WARN, f"nvidia-smi fails: {said}", "restart the machine, or reinstall it")]
    version, _, name = lines[0].partition(", ")
    text = f"NVIDIA {version}: {name}{f' and {len(lines) - 1} more' if len(lines) > 1 else ''}"
    wanted = None if cuda is None else oldest_driver(cuda)
    if wanted is not None and version.split(".")[0].isdigit() and int(version.split(".")[0]) < wanted:
        text = f"{text}; torch is built for CUDA {cuda}, which needs {wanted} or newer ({CUDA_SOURCE})"
        mend = "update the driver, or take a torch for an older CUDA at https://pytorch.org/get-started/locally"
        return [Finding(SECTION, "driver", FAIL, text, mend)]
    return [Finding(SECTION, "driver", OK, text)]


def _slow(variables: Mapping[str, str]) -> list[Finding]:
    if variables.get("CUDA_LAUNCH_BLOCKING", "0") in ("", "0"):
        return []
    text = "CUDA_LAUNCH_BLOCKING is set: every kernel is waited for, for finding errors only"
    return [Finding(SECTION, "blocking", WARN, text, "unset CUDA_LAUNCH_BLOCKING")]
