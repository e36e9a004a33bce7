"""Huawei Ascend: driver, CANN, torch_npu and the variables that they read, as far as they show without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from literatim.device import ascend
from literatim.device.host import version
from literatim.doctor import visible
from literatim.doctor.child import Ran, run
from literatim.doctor.findings import FAIL, INFO, OK, WARN, Finding, split
from literatim.doctor.matrix import ASCEND_SOURCE, canns_for, same_cann

SECTION = "npu"
QUESTION = ("npu-smi", "info")
MOST_SECONDS = 20.0  # for npu-smi, which waits for a busy driver
_CARD = Path("/dev/davinci0")


def driver() -> Ran:
    """What `npu-smi info` says; a code of None when it is not there."""
    return run(QUESTION, MOST_SECONDS)


def expected(ran: Ran, card: Path = _CARD) -> bool:
    """Whether anything says that an NPU should be usable: a card, its driver, or torch_npu."""
    return ran.code is not None or card.exists() or version("torch_npu") is not None


def findings(ran: Ran, cann: str | None, variables: Mapping[str, str]) -> list[Finding]:
    """Driver, versions against the published table, and variables; nothing where nothing of Ascend is here."""
    return [*_driver(ran), *_versions(cann), *visible.npus(variables), *_variables(variables)]


def _driver(ran: Ran) -> list[Finding]:
    if ran.hung:
        return [Finding(SECTION, "driver", WARN, f"npu-smi hangs ({MOST_SECONDS:g} s)", "restart the machine")]
    if ran.code is None:
        return []
    if ran.code:
        lines = (ran.stdout + ran.stderr).strip().splitlines() or ["nothing"]
        mend = "in a container, mount /usr/local/Ascend/driver and the devices; else reinstall the driver"
        return [Finding(SECTION, "driver", WARN, f"npu-smi fails: {lines[0]}", mend)]
    found = re.search(r"Version:\s*([\w.]+)", ran.stdout)
    return [Finding(SECTION, "driver", OK, f"Ascend {found[1] if found else 'of unknown version'} (npu-smi)")]


def _versions(cann: str | None) -> list[Finding]:
    package = version("torch_npu")
    if package is None:
        return []
    wrong = ascend.mismatch()
    if wrong is not None:
        text, mend = split(wrong)
        return [Finding(SECTION, "versions", FAIL, text, mend)]
    pair = f"torch_npu {package} with torch {version('torch')}"
    wanted = canns_for(package)
    if not wanted:
        return [Finding(SECTION, "versions", INFO, f"{pair}: not in the published table ({ASCEND_SOURCE})")]
    listed = " or ".join(wanted)
    if cann is None:
        return [Finding(SECTION, "versions", INFO, f"{pair} go with CANN {listed}; which CANN is here is not told")]
    if any(same_cann(cann, one) for one in wanted):
        return [Finding(SECTION, "versions", OK, f"{pair} and CANN {cann}")]
    text = f"{pair} go with CANN {listed}, and here is CANN {cann} ({ASCEND_SOURCE})"
    mend = f"install CANN {wanted[0]}, or the torch and torch_npu that go with CANN {cann}"
    return [Finding(SECTION, "versions", WARN, text, mend)]


def _variables(variables: Mapping[str, str]) -> list[Finding]:
    """Settings that make it slow, or another program's business."""
    found = []
    if variables.get("ASCEND_LAUNCH_BLOCKING", "0") == "1":
        text = "ASCEND_LAUNCH_BLOCKING=1: every operator is waited for, for finding errors only"
        found.append(Finding(SECTION, "blocking", WARN, text, "unset ASCEND_LAUNCH_BLOCKING"))
    if variables.get("TASK_QUEUE_ENABLE") == "0":
        text = "TASK_QUEUE_ENABLE=0: operators are not queued ahead, which is slow"
        found.append(Finding(SECTION, "task queue", WARN, text, "unset TASK_QUEUE_ENABLE"))
    if variables.get("TORCH_TRANSFER_TO_NPU", "0") not in ("", "0"):
        text = "TORCH_TRANSFER_TO_NPU is set: torch.cuda then means the NPU in every program; literatim never needs it"
        found.append(Finding(SECTION, "transfer", WARN, text, "unset TORCH_TRANSFER_TO_NPU"))
    if "PYTORCH_NPU_ALLOC_CONF" in variables and "PYTORCH_ALLOC_CONF" in variables:
        text = "PYTORCH_NPU_ALLOC_CONF and PYTORCH_ALLOC_CONF are both set; torch_npu takes one of them"
        found.append(Finding(SECTION, "allocator", WARN, text, "unset PYTORCH_NPU_ALLOC_CONF"))
    return found
