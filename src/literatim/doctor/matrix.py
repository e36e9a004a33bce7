"""Which versions go together, as their makers publish it."""

from __future__ import annotations

import re

ASCEND_SOURCE = "https://github.com/Ascend/pytorch COMPATIBILITY.md and PyPI, August 2026"
CUDA_SOURCE = "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html, table 1"

# The CANN that a release of TorchNPU is built for, and its wheels (versions of torch_npu). The first three parts of
# a wheel's version are those of the torch it needs. Two states of the table disagree on some wheels: both stand here.
_ASCEND = {
    "9.1": (
        *("2.12.0", "2.12.0.post2", "2.11.0", "2.11.0.post2", "2.10.0", "2.10.0.post4", "2.10.0.post6"),
        *("2.9.0.post3", "2.9.0.post6", "2.9.0.post8", "2.7.1.post5", "2.7.1.post8", "2.7.1.post10"),
    ),
    "9.0": ("2.10.0", "2.9.0.post2", "2.8.0.post4", "2.7.1.post4"),
    "8.5": ("2.9.0", "2.8.0.post2", "2.7.1.post2", "2.6.0.post5"),
    "8.3": ("2.8.0", "2.7.1", "2.6.0.post3", "2.1.0.post17"),
    "8.2": ("2.6.0", "2.5.1.post1", "2.1.0.post13"),
    "8.1": ("2.5.1", "2.4.0.post4", "2.3.1.post6", "2.1.0.post12"),
}

# Oldest driver branch on which builds for a CUDA major version run: CUDA_SOURCE has >= 450, >= 525 and >= 580.
_CUDA_DRIVERS = {11: 450, 12: 525, 13: 580}


def torch_for(torch_npu: str) -> str:
    """The version of torch that a wheel of torch_npu needs: 2.9.0 for 2.9.0.post6."""
    return ".".join(str(part) for part in _numbers(torch_npu)[:3])


def canns_for(torch_npu: str) -> tuple[str, ...]:
    """Releases of CANN that go with a wheel of torch_npu, newest first; empty when its torch is not listed.

    A wheel that is not listed itself goes with what the nearest ones before and after it go with.
    """
    wanted, post = torch_for(torch_npu), _post(torch_npu)
    listed = [
        (_post(wheel), cann) for cann, wheels in _ASCEND.items() for wheel in wheels if torch_for(wheel) == wanted
    ]
    before = max((at for at, _ in listed if at <= post), default=None)
    after = before if before == post else min((at for at, _ in listed if at > post), default=None)
    return tuple(dict.fromkeys(cann for at, cann in listed if at in (before, after)))


def same_cann(found: str, wanted: str) -> bool:
    """Whether the first two numbers agree: patches (8.5.1 for 8.5.0, or 8.3.RC2 for 8.3.RC1) go together."""
    return _numbers(found)[:2] == _numbers(wanted)[:2]


def oldest_driver(cuda: str) -> int | None:
    """The oldest NVIDIA driver branch for a build such as 12.6; None for a CUDA that is not in the table."""
    numbers = _numbers(cuda)
    return _CUDA_DRIVERS.get(numbers[0]) if numbers else None


def at_least(found: str, wanted: str) -> bool:
    """Whether version `found` is `wanted` or newer, by their leading numbers."""
    return _numbers(found) >= _numbers(wanted)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers before the first part that is none: (2, 9, 0) of 2.9.0.post6 and of 2.9.0+cpu."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _post(version: str) -> int:
    match = re.search(r"\.post(\d+)", version)
    return int(match[1]) if match else 0
