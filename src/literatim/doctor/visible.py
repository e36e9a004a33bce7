"""Variables that choose which devices a program sees, and what is wrong with their values."""

from __future__ import annotations

import re
from collections.abc import Mapping

from literatim.device import ascend
from literatim.doctor.findings import FAIL, INFO, OK, Finding, split

CUDA = "CUDA_VISIBLE_DEVICES"
_UUID = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]+")


def npus(variables: Mapping[str, str]) -> list[Finding]:
    """ASCEND_RT_VISIBLE_DEVICES: numbers in strictly ascending order; torch_npu sees no NPU in any other."""
    value = variables.get(ascend.VISIBLE)
    if value is None:
        return []
    problem = ascend.visible_problem(value)
    if problem is not None:
        text, mend = split(problem)
        return [Finding("npu", "visible", INFO if not value else FAIL, text, mend)]
    return [_fine("npu", ascend.VISIBLE, value.split(","))]


def gpus(variables: Mapping[str, str]) -> list[Finding]:
    """CUDA_VISIBLE_DEVICES: numbers or UUIDs, none twice; the list ends at the first entry that is neither.

    https://docs.nvidia.com/cuda/cuda-c-programming-guide, environment variables; twice: torch then sees none.
    """
    value = variables.get(CUDA)
    if value is None:
        return []
    words = [word.strip() for word in value.split(",")]
    known = [word for word in words if re.fullmatch(r"\d+", word) or _UUID.fullmatch(word)]
    mend = f"export {CUDA}={','.join(dict.fromkeys(known)) or '0'}"
    if words[0] in ("", "-1"):
        return [Finding("cuda", "visible", INFO, f"{CUDA}={value} hides every GPU", f"unset {CUDA}")]
    if len(known) < len(words):
        text = f"{CUDA}={value}: what is neither a number nor a UUID hides itself and all that comes after it"
        return [Finding("cuda", "visible", FAIL, text, mend)]
    if len(set(words)) < len(words):
        return [Finding("cuda", "visible", FAIL, f"{CUDA}={value} names a GPU twice, which hides every GPU", mend)]
    return [_fine("cuda", CUDA, words)]


def _fine(kind: str, name: str, cards: list[str]) -> Finding:
    named = ", ".join(f"{kind}:{index} is card {card}" for index, card in enumerate(cards[:3]))
    return Finding(kind, "visible", OK, f"{name}={','.join(cards)}: {named}{', ...' if len(cards) > 3 else ''}")
