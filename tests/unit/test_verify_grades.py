"""The name of an error, for errors that were made on purpose by rounding to the format of that name."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from literatim.verify.faults import to_hf32
from literatim.verify.figures import errors, lattice
from literatim.verify.grades import GRADES, acceptable, amplification, expected, grade, one_percent

DEPTH = 384


def _bits(values: Tensor, lost: int) -> Tensor:
    """float32 without its last bits, to the nearest."""
    return ((values.view(torch.int32) + (1 << (lost - 1))) & -(1 << lost)).view(torch.float32)


ROUNDED = {
    "fp32": lambda x: x,
    "tf32-hf32": to_hf32,
    "fp16": lambda x: x.half().float(),
    "bf16": lambda x: x.bfloat16().float(),
    "broken": lambda x: _bits(x.contiguous(), 22),  # one bit of mantissa, as float4
}


def _operations() -> dict[str, tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    return {
        "linear": (draw(50, DEPTH), draw(96, DEPTH)),
        "wide linear": (draw(20, 4096), draw(64, 4096)),
        "short linear": (draw(50, 8), draw(96, 8)),
        "one direction": (draw(50, DEPTH).abs(), draw(96, DEPTH).abs()),
        "small numbers": (draw(50, DEPTH) * 1e-3, draw(96, DEPTH) * 1e-2),
    }


@pytest.mark.parametrize("operation", list(_operations()))
@pytest.mark.parametrize("name", GRADES)
def test_factors_rounded_to_a_format_are_named_by_it(name: str, operation: str) -> None:
    # of terms that all have one sign the errors cancel beside the sum: those of one bit of mantissa look like eight
    expected = "bf16" if (name, operation) == ("broken", "one direction") else name
    x, weight = _operations()[operation]
    truth = F.linear(x.double(), weight.double())
    floor = errors(F.linear(x, weight), truth).relative_rms
    got = F.linear(ROUNDED[name](x), ROUNDED[name](weight))
    if name in {"fp16", "bf16"}:
        got = ROUNDED[name](got)  # computed in that type, and handed on as float32
    found = errors(got, truth)
    assert grade(found.relative_rms, floor, "float32", lattice(got, truth)) == expected


def test_another_order_of_summation_is_float32() -> None:
    x, weight = _operations()["wide linear"]
    truth = F.linear(x.double(), weight.double())
    floor = errors(F.linear(x, weight), truth).relative_rms
    for step in (1, 7, 64, 1024):
        parts = [F.linear(a, b) for a, b in zip(x.split(step, 1), weight.split(step, 1), strict=True)]
        one_by_one = torch.zeros_like(parts[0])
        for part in parts:
            one_by_one += part
        assert grade(errors(one_by_one, truth).relative_rms, floor, "float32") == "fp32"


@pytest.mark.parametrize(("dtype", "name"), [(torch.float16, "fp16"), (torch.bfloat16, "bf16")])
def test_half_precision_is_itself_and_three_bits_fewer_are_not(dtype: torch.dtype, name: str) -> None:
    x, weight = (one.to(dtype) for one in _operations()["linear"])
    truth = F.linear(x.double(), weight.double())
    floor = errors(F.linear(x, weight), truth).relative_rms
    kind = str(dtype).removeprefix("torch.")
    as_float = F.linear(x.float(), weight.float())
    assert grade(errors(as_float.to(dtype), truth).relative_rms, floor, kind) == name
    assert grade(errors(as_float, truth).relative_rms, floor, kind) == name  # better than the dtype is not named so
    worse = {"float16": "bf16", "bfloat16": "broken"}[kind]
    coarse = _bits(as_float, {"float16": 17, "bfloat16": 20}[kind])
    assert grade(errors(coarse, truth).relative_rms, floor, kind) == worse


def test_an_ill_conditioned_operation_is_measured_by_its_own_floor() -> None:
    random = torch.Generator().manual_seed(2)
    x = torch.randn(50, DEPTH, generator=random)
    pairs = torch.cat([x, -x * (1 + 1e-2 * torch.randn(50, DEPTH, generator=random))], 1)  # sums that cancel
    weight = torch.rand(96, DEPTH, generator=random).repeat(1, 2)
    truth = F.linear(pairs.double(), weight.double())
    floor = errors(F.linear(pairs, weight), truth).relative_rms
    assert floor is not None
    assert floor > 50 * 2**-24
    backwards = errors(F.linear(pairs.flip(1), weight.flip(1)), truth).relative_rms
    assert grade(backwards, floor, "float32") == "fp32"
    assert grade(floor, None, "float32") == "tf32-hf32"  # the same error of an operation that is well conditioned


@pytest.mark.parametrize(("error", "bad"), [(None, 0), (0.0, 1), (0.6, 0), (math.inf, 0)])
def test_broken_whatever_the_floor(error: float | None, bad: int) -> None:
    for floor in (None, 1e-7, 1.0):
        assert grade(error, floor, "float32", bad=bad) == "broken"


def test_a_scale_of_1_001_in_float32_is_not_float32() -> None:
    assert grade(1e-3, 2e-7, "float32") == "tf32-hf32"
    assert grade(1e-2, 2e-7, "float32") == "bf16"
    assert grade(1e-1, 2e-7, "float32") == "broken"
    assert amplification(2**-22, "float32") == 4
    assert amplification(0.0, "float32") == 0.5


@pytest.mark.parametrize(
    ("dtype", "flags", "operation", "grades"),
    [
        ("float32", {"float32_conv": "hf32", "float32_matmul": "float32"}, "conv", "tf32-hf32"),
        ("float32", {"float32_conv": "hf32", "float32_matmul": "float32"}, "matmul", "fp32"),
        ("float32", {"float32_conv": "tf32", "float32_matmul": "float32"}, None, "tf32-hf32"),
        ("float32", {"float32_conv": "float32", "float32_matmul": "bf16"}, None, "bf16"),
        ("float32", {"float32_conv": None, "float32_matmul": None}, None, "fp32"),
        ("float16", {"float32_conv": "hf32"}, "conv", "fp16"),
        ("bfloat16", {}, None, "bf16"),
    ],
)
def test_what_is_expected(dtype: str, flags: dict[str, str | None], operation: str | None, grades: str) -> None:
    assert expected(dtype, flags, operation) == grades


def test_grades_have_an_order() -> None:
    assert [acceptable(name, "fp16") for name in GRADES] == [True, True, True, False, False]
    assert not acceptable("broken", "bf16")


def test_the_rule_of_one_percent() -> None:
    assert one_percent(0.01, 0.01, True) == ()
    assert one_percent(None, None, None) == ()
    assert one_percent(0.0101, None, True) == ("a probability is off by 1.01 %, more than 1 %",)
    assert one_percent(0.0, 0.02, False) == ("an embedding is off by 2.00 %, more than 1 %", "the tokens differ")
