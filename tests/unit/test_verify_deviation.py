"""Errors of one result, against numpy's arithmetic and against what is known of rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from literatim.verify.deviation import UNIT, Scale, exact, measure, spread

SHAPE = (400, 192)


def _drawn(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _product(dtype: torch.dtype, factor: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """A device's product in a dtype, scaled; its truth; and the CPU's, which sums in two halves."""
    left, right = (_drawn(seed, (400, 400)).to(dtype) for seed in (1, 2))
    truth = left.double() @ right.double()
    cpu = (left.float()[:, :200] @ right.float()[:200] + left.float()[:, 200:] @ right.float()[200:]).to(dtype)
    return ((left.float() @ right.float()) * factor).to(dtype), truth, cpu


def test_spread_is_what_numpy_computes() -> None:
    truth, got = _drawn(0), _drawn(0) + 1e-3 * _drawn(1)
    off, true = (got - truth).numpy(), truth.numpy()
    rms = np.sqrt(np.mean(true**2))
    found = spread(got, truth)
    assert found.error == pytest.approx(np.sqrt(np.mean(off**2)) / rms)
    np.testing.assert_allclose(found.rows, np.sqrt(np.mean(off**2, axis=1)) / rms)
    np.testing.assert_allclose(found.channels, np.sqrt(np.mean(off**2, axis=0)) / rms)
    np.testing.assert_allclose(found.offsets, np.mean(off, axis=0) / rms)
    assert found.gain == pytest.approx(np.sum(off * true) / np.sum(true**2))
    assert found.gain_noise == pytest.approx(np.sqrt(np.sum((off * true) ** 2)) / np.sum(true**2))


def test_the_scale_is_that_of_the_truth() -> None:
    truth = _drawn(3)
    scale = Scale.of(truth)
    assert scale.rms == pytest.approx(float(truth.square().mean().sqrt()))
    np.testing.assert_allclose(scale.rows * scale.rms, truth.square().mean(1).sqrt())
    np.testing.assert_allclose(scale.channels * scale.rms, truth.square().mean(0).sqrt())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_another_order_of_summation_is_as_good(dtype: torch.dtype) -> None:
    got, truth, cpu = _product(dtype)
    found = measure(got, truth, spread(cpu, truth), UNIT[dtype], product=True)
    assert 0.3 < found.ratio < 3
    assert found.cosine == pytest.approx(float(torch.cosine_similarity(got.double().flatten(), truth.flatten(), 0)))
    assert found.max_abs == float((got.double() - truth).abs().max())


@pytest.mark.parametrize(
    ("dtype", "factor"), [(torch.float32, 1 + 3e-6), (torch.float16, 1.0005), (torch.bfloat16, 1.002)]
)
def test_a_factor_below_the_noise_of_one_value_shows_in_all_of_them(dtype: torch.dtype, factor: float) -> None:
    got, truth, cpu = _product(dtype, factor)
    found = measure(got, truth, spread(cpu, truth), UNIT[dtype], product=True)
    assert found.ratios["gain"] > 8
    assert factor - 1 < 8 * found.floor or dtype == torch.float32


@pytest.mark.parametrize("place", [(17, slice(None)), (slice(None), 101)])
def test_one_row_or_channel_is_not_averaged_away(place: tuple[int | slice, int | slice]) -> None:
    got, truth, cpu = _product(torch.float32)
    got[place] *= 1 + 1e-5
    found = measure(got, truth, spread(cpu, truth), UNIT[torch.float32], product=True)
    side = "row" if isinstance(place[0], int) else "channel"
    assert found.ratios["whole"] < 5
    assert found.ratios[side] > 8


def test_a_bias_left_out_shows_in_the_mean_of_a_channel() -> None:
    got, truth, cpu = _product(torch.bfloat16)
    size = float(truth.square().mean().sqrt())
    shifted = truth.clone()
    shifted[:, 5] -= 4e-3 * size  # less than bfloat16's roundoff for most of the values
    lower = shifted.to(torch.bfloat16)
    floor = spread(cpu, truth)
    assert measure(got, truth, floor, UNIT[torch.bfloat16], product=True).ratios["offset"] < 4
    assert measure(lower, truth, floor, UNIT[torch.bfloat16], product=True).ratios["offset"] > 8


def test_what_is_not_finite_is_counted_and_an_infinity_of_both_is_not() -> None:
    truth = _drawn(4)
    truth[:, 0] = -math.inf
    got = truth.clone()
    floor = spread(got, truth)
    assert measure(got, truth, floor, UNIT[torch.float32]).not_finite == 0
    got[3, 7], got[4, 0] = math.nan, 0.0
    found = measure(got, truth, floor, UNIT[torch.float32])
    assert found.not_finite == 2
    assert found.ratio == math.inf
    assert found.error == 0


def test_exact_results_are_compared_to_the_last_bit() -> None:
    values = torch.tensor([1.0, math.nan, math.inf])
    assert exact(values, values.clone()).ratio == 0
    found = exact(torch.tensor([1.0, 0.0, math.inf]), values)
    assert (found.differing, found.ratio) == (1, math.inf)
    assert exact(torch.tensor([1, 2]), torch.tensor([1, 3])).differing == 1
