"""Warnings that drivers and torch write, and which of them can be left alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from literatim.doctor.findings import INFO, WARN, Finding

SECTION = "warnings"


@dataclass(frozen=True)
class Notice:
    """Lines that match `pattern`, what they mean, and the mend of those that matter; None: harmless."""

    pattern: str
    name: str
    meaning: str
    mend: str | None = None


# Wordings as users report them: https://github.com/vllm-project/vllm-ascend/issues/3133 and /1991,
# https://github.com/huggingface/transformers/issues/38189, torch_npu's documentation.
KNOWN = (
    Notice(
        r"owner does not match|owner of .* does not match|Permission mismatch",
        "another owner",
        "CANN was installed by another user, root as a rule; it works all the same",
    ),
    Notice(
        r"expandable_segments currently defaults|AutoNonVariableTypeMode|torch_npu.*(?:autoload|set_env)",
        "torch_npu's remarks",
        "defaults and old names inside torch_npu",
    ),
    Notice(
        r"High Accuracy but Low Performance OP with 64-bit",
        "64-bit operator",
        "the result is right; an operator of the model runs on 64-bit integers and is slow",
    ),
    Notice(
        r"Failed to initialize NumPy|_ARRAY_API not found|compiled using NumPy 1\.x",
        "NumPy",
        "torch was built for NumPy 1 and cannot exchange arrays with NumPy 2",
        "`pip install --upgrade torch`, or `pip install 'numpy<2'`",
    ),
    Notice(
        r"fall back to run on the CPU|falls? back to (?:run on )?(?:the )?CPU|_npu_fallback",
        "CPU fallback",
        "the device lacks an operator, and the CPU does it in its place, slowly",
        "`export TORCH_NPU_FALLBACK_CPU_DISABLE=1` turns it into an error that names the operator",
    ),
    Notice(
        r"is not compatible with the current PyTorch installation|no longer supports this GPU",
        "GPU and torch",
        "this torch has no kernels for this GPU",
        "choose a build for it at https://pytorch.org/get-started/locally",
    ),
    Notice(
        r"The NVIDIA driver on your system is too old",
        "NVIDIA driver",
        "the driver is too old for this torch",
        "update the driver, or take a torch for an older CUDA at https://pytorch.org/get-started/locally",
    ),
)


def findings(outputs: Iterable[str]) -> list[Finding]:
    """What children wrote to standard error, sorted into harmless, not harmless and unknown."""
    lines = [line.strip() for output in outputs for line in output.splitlines() if "warn(" not in line]
    found = []
    for notice in KNOWN:
        count = sum(bool(re.search(notice.pattern, line)) for line in lines)
        if count and notice.mend is None:
            found.append(Finding(SECTION, notice.name, INFO, f"harmless: {notice.meaning} ({_times(count)})"))
        elif count:
            found.append(Finding(SECTION, notice.name, WARN, f"{notice.meaning} ({_times(count)})", notice.mend))
    return found + _unknown([line for line in lines if re.search(r"[Ww]arning:|CAUTION|^\[W", line)])


def _unknown(lines: list[str]) -> list[Finding]:
    distinct = list(dict.fromkeys(line for line in lines if not any(re.search(n.pattern, line) for n in KNOWN)))
    if not distinct:
        return []
    more = f", and {len(distinct) - 1} more" if len(distinct) > 1 else ""
    return [Finding(SECTION, "not known here", INFO, f"{distinct[0][:160]}{more}")]


def _times(count: int) -> str:
    return "seen once" if count == 1 else f"seen {count} times"
