"""The size of an error, named: fp32, tf32-hf32, fp16, bf16, or broken.

A format with p bits of significand rounds by at most 2^-p of a value, its unit roundoff (Higham, "Accuracy and
Stability of Numerical Algorithms", 2002, 2.1). How much of it arrives in a result depends on the operation, and the
same operation in the same dtype on the CPU shows how much: the noise floor over the dtype's unit roundoff is its
amplification. The device's error over that amplification is the unit roundoff that the device seems to have, and that
is what is named. TF32 and HF32 round the factors of products to as many bits as float16 has; what tells them from
float16 is that results lie on no coarser grid (`figures.lattice`) and have float32's range.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FP32, TF32, FP16, BF16, BROKEN = GRADES = ("fp32", "tf32-hf32", "fp16", "bf16", "broken")
ROUNDOFF = {FP32: 2.0**-24, TF32: 2.0**-11, FP16: 2.0**-11, BF16: 2.0**-8}
OF_DTYPE = {"float32": FP32, "float16": FP16, "bfloat16": BF16}

# Other orders of summation move float32's last bits by some times; between its grade and the next one lie 13 bits.
_BAND = {FP32: 16.0, TF32: 4.0, FP16: 4.0, BF16: 4.0}
_LEAST = 0.5  # amplification of an operation that rounds its result alone, once
_LOST = 0.5  # relative RMS from which a result has little to do with the truth, whatever the floor is
_KEPT = {"float32": FP32, "tf32": TF32, "hf32": TF32, "bf16": BF16}  # what `device.precision_flags` calls them
LIMIT = 0.01  # of the rule that the published ports kept: 1 %


def amplification(floor: float | None, dtype: str) -> float:
    """How much of a rounding arrives in the result: the CPU's relative RMS error in this dtype by its unit roundoff."""
    return max((floor or 0.0) / ROUNDOFF[OF_DTYPE[dtype]], _LEAST)


def grade(relative_rms: float | None, floor: float | None, dtype: str, grid: str | None = None, bad: int = 0) -> str:
    """The name of an error of this relative RMS, where the same operation in the same dtype on the CPU has `floor`.

    None for `relative_rms` is an error where the truth is zero. `grid` is `figures.lattice` of the result, `bad` the
    number of its elements that are not finite though they should be. No grade is better than the dtype's own.
    """
    if bad or relative_rms is None or relative_rms > _LOST:
        return BROKEN
    own, size = OF_DTYPE[dtype], relative_rms / amplification(floor, dtype)
    for name in GRADES[GRADES.index(own) :]:
        if name == FP16 and own == FP32 and grid != FP16:
            continue  # of TF32's size, and so named above, or too large for both
        if grid is not None and GRADES.index(name) < GRADES.index(grid):
            continue
        if name != BROKEN and size <= _BAND[name] * ROUNDOFF[name]:
            return name
    return BROKEN


def expected(dtype: str, flags: Mapping[str, Any], operation: str | None = None) -> str:
    """The grade to expect of `matmul` or `conv` in a dtype, of a whole network if None.

    `flags` is `device.precision_flags`: on Ascend float32 convolutions are in HF32 as long as they may, on NVIDIA in
    TF32.
    """
    if dtype != "float32":
        return OF_DTYPE[dtype]
    kept = [flags.get(f"float32_{name}") for name in ((operation,) if operation else ("matmul", "conv"))]
    return max((_KEPT.get(str(name), FP32) for name in kept), key=GRADES.index)


def acceptable(found: str, expect: str) -> bool:
    """Whether a grade is as good as another one."""
    return GRADES.index(found) <= GRADES.index(expect)


def one_percent(probability: float | None, embedding: float | None, same_tokens: bool | None) -> tuple[str, ...]:
    """What breaks the rule of the published ports, in words; nothing where it is kept.

    The largest difference of a probability and the largest relative error of an embedding at most 1 %, and equal
    tokens; None where the model has no such thing.
    """
    broken = []
    for what, size in (("a probability", probability), ("an embedding", embedding)):
        if size is not None and size > LIMIT:
            broken.append(f"{what} is off by {100 * size:.2f} %, more than 1 %")
    if same_tokens is False:
        broken.append("the tokens differ")
    return tuple(broken)
