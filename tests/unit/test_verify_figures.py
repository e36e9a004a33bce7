"""Figures of an error, beside numpy's, scipy's and plain arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine
from scipy.special import rel_entr, softmax

from literatim.verify.figures import Errors, distributions, errors, lattice
from literatim.verify.speakers import scores, vectors


def _pair(*shape: int, noise: float = 1e-3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    truth = torch.randn(*shape, generator=random, dtype=torch.float64)
    return truth + noise * torch.randn(*shape, generator=random, dtype=torch.float64), truth


def test_errors_beside_numpy() -> None:
    got, truth = _pair(3, 5, 40)
    found, mine, true = errors(got, truth), got.numpy(), truth.numpy()
    off, rms = mine - true, np.sqrt((true**2).mean())
    large = np.abs(true) > 0.1 * rms
    assert found.elements == 600
    assert found.not_finite == 0
    assert found.cosine == pytest.approx(1 - cosine(mine.ravel(), true.ravel()), abs=1e-14)
    assert found.max_abs == pytest.approx(np.abs(off).max(), rel=1e-12)
    assert found.mean_abs == pytest.approx(np.abs(off).mean(), rel=1e-12)
    assert found.rmse == pytest.approx(np.sqrt((off**2).mean()), rel=1e-12)
    assert found.relative_rms == pytest.approx(np.linalg.norm(off) / np.linalg.norm(true), rel=1e-12)
    assert found.max_relative == pytest.approx(np.abs(off / true).max(), rel=1e-12)
    assert found.mean_relative == pytest.approx(np.abs(off / true).mean(), rel=1e-12)
    assert found.max_relative_bounded == pytest.approx(np.abs(off / true)[large].max(), rel=1e-12)
    assert found.mean_relative_bounded == pytest.approx(np.abs(off / true)[large].mean(), rel=1e-12)
    assert found.bounded == pytest.approx(large.mean(), rel=1e-12)
    rows = np.linalg.norm(off, axis=-1) / np.linalg.norm(true, axis=-1)
    assert found.worst_row == pytest.approx(rows.max(), rel=1e-12)
    assert found.row == np.unravel_index(rows.argmax(), rows.shape)
    channels = np.linalg.norm(off.reshape(15, 40), axis=0) / np.linalg.norm(true.reshape(15, 40), axis=0)
    assert (found.worst_channel, found.channel) == (pytest.approx(channels.max(), rel=1e-12), channels.argmax())


def test_a_value_near_zero_blows_the_relative_error_up_and_the_bounded_one_not() -> None:
    truth = torch.tensor([[1.0, -2.0, 1e-9, 3.0]], dtype=torch.float64)
    found = errors(truth + 1e-3, truth)
    assert found.max_relative == pytest.approx(1e6)
    assert found.max_relative_bounded == pytest.approx(1e-3)
    assert found.bounded == 0.75


@pytest.mark.parametrize("place", [(0, 3, 7), (1, 0, 0), (1, 9, 15)])
def test_one_wrong_element_names_its_row_and_its_channel(place: tuple[int, int, int]) -> None:
    _, truth = _pair(2, 10, 16)
    got = truth.clone()
    got[place] += 1
    found = errors(got, truth)
    assert found.row == place[:2]
    assert found.channel == place[2]
    assert found.relative_rms is not None
    assert found.worst_row is not None
    assert found.worst_row > 3 * found.relative_rms  # about the root of twenty rows


def test_noise_on_a_silent_row_is_measured_by_the_others() -> None:
    truth = torch.ones(10, 8, dtype=torch.float64)
    truth[4] = 1e-12
    found = errors(truth + 1e-6, truth)
    rms = math.sqrt(0.9)
    assert found.worst_row == pytest.approx(1e-6 / (0.1 * rms))
    assert found.row == (4,)


def test_what_is_not_finite_is_counted_and_spoils_no_figure() -> None:
    got, truth = _pair(2, 6)
    clean = errors(got[1:], truth[1:])
    for value in (math.nan, math.inf, -math.inf):
        spoilt = got.clone()
        spoilt[0] = value
        found = errors(spoilt, truth)
        assert found.not_finite == 6
        for name in ("cosine", "max_abs", "mean_abs", "rmse", "max_relative", "worst_row"):
            assert getattr(found, name) == pytest.approx(getattr(clean, name), rel=1e-12)
    both = [one.clone().index_fill_(0, torch.tensor([0]), -math.inf) for one in (got, truth)]
    assert errors(*both).not_finite == 0


def test_all_not_finite_and_all_zero() -> None:
    lost = errors(torch.full((3,), math.nan), torch.ones(3))
    assert (lost.not_finite, lost.cosine, lost.relative_rms, lost.max_abs) == (3, None, None, 0)
    zero = errors(torch.zeros(2, 3), torch.zeros(2, 3))
    assert (zero.relative_rms, zero.worst_row, zero.max_relative, zero.bounded) == (None, None, None, 0)
    assert isinstance(errors(torch.tensor(1.0), torch.tensor(2.0)), Errors)


def test_shapes_must_agree() -> None:
    for shapes in (((2, 3), (3, 2)), ((0, 3), (0, 3))):
        with pytest.raises(ValueError, match="cannot be compared"):
            errors(*(torch.zeros(shape) for shape in shapes))


def test_distributions_beside_scipy() -> None:
    got, truth = _pair(2, 4, 30, noise=0.3)
    found = distributions(got, truth)
    p, q = (softmax(one.numpy().reshape(8, 30), axis=-1) for one in (truth, got))
    divergence = rel_entr(p, q).sum(-1)
    assert found.positions == 8
    assert found.probability_cosine == pytest.approx(min(1 - cosine(*pair) for pair in zip(p, q, strict=True)))
    assert found.probability_max_abs == pytest.approx(np.abs(p - q).max())
    assert (found.kl, found.kl_max) == (pytest.approx(divergence.mean()), pytest.approx(divergence.max()))
    assert found.greedy == (p.argmax(-1) == q.argmax(-1)).mean()
    five = [len(set(np.argsort(a)[-5:]) & set(np.argsort(b)[-5:])) / 5 for a, b in zip(p, q, strict=True)]
    assert found.top5 == pytest.approx(np.mean(five))
    assert 0 < found.greedy < 1
    assert 0 < found.top5 < 1


def test_a_uniform_shift_is_an_error_of_the_logits_alone() -> None:
    _, truth = _pair(3, 30)
    moved = truth + torch.tensor([[0.5], [-2.0], [1.0]])
    found = distributions(moved, truth)
    assert found.shift == pytest.approx(-2)
    assert found.probability_max_abs == pytest.approx(0, abs=1e-15)
    assert found.kl_max == pytest.approx(0, abs=1e-12)
    assert found.centred.max_abs == pytest.approx(0, abs=1e-14)
    assert errors(moved, truth).max_abs == pytest.approx(2)


def test_positions_that_are_not_finite_match_nothing() -> None:
    got, truth = _pair(2, 2, 20, noise=0)
    got[1, 0, 3] = math.nan
    found = distributions(got, truth)
    assert (found.positions, found.not_finite, found.greedy, found.top5, found.kl) == (4, 1, 0.75, 0.75, 0)
    assert found.centred.not_finite == 20
    lost = distributions(torch.full((1, 4), math.nan), torch.ones(1, 4))
    assert (lost.kl, lost.shift, lost.greedy) == (None, None, 0)


@pytest.mark.parametrize(("dtype", "name"), [(torch.bfloat16, "bf16"), (torch.float16, "fp16")])
def test_a_coarser_grid_is_seen(dtype: torch.dtype, name: str) -> None:
    _, truth = _pair(200)
    assert lattice(truth.to(dtype).float(), truth) == name
    assert lattice(truth.float(), truth) is None
    assert lattice(truth.to(dtype).float(), truth.to(dtype).double()) is None  # weights that were stored so
    assert lattice(truth.to(dtype), truth) is None  # not hidden
    assert lattice(truth.to(dtype).float()[:63], truth[:63]) is None


def test_ten_bits_with_a_wide_exponent_are_tf32() -> None:
    _, truth = _pair(200)
    ten = (truth * 1e-30).float().view(torch.int32).bitwise_and(~0x1FFF).view(torch.float32)
    assert lattice(ten, truth * 1e-30) == "tf32-hf32"


def test_speaker_vectors_beside_numpy() -> None:
    got, truth = _pair(7, 16)
    found, mine, true = vectors(got, truth), got.numpy(), truth.numpy()
    relative = np.linalg.norm(mine - true, axis=1) / np.linalg.norm(true, axis=1)
    cosines = [1 - cosine(*pair) for pair in zip(mine, true, strict=True)]
    most = np.abs(mine - true).max(1)
    assert (found.relative, found.relative_max) == (pytest.approx(relative.mean()), pytest.approx(relative.max()))
    assert (found.cosine, found.cosine_min) == (pytest.approx(np.mean(cosines)), pytest.approx(min(cosines)))
    assert (found.max_abs, found.max_abs_max) == (pytest.approx(most.mean()), pytest.approx(most.max()))
    got[3, 2] = math.nan
    left = vectors(got, truth)
    assert (left.samples, left.not_finite, left.relative_max) == (7, 1, pytest.approx(np.delete(relative, 3).max()))
    with pytest.raises(ValueError, match="none of 7"):
        vectors(got * math.nan, truth)


def test_scores_of_pairs() -> None:
    got, truth = _pair(4, 8)
    pairs, same = torch.tensor([[0, 1], [2, 3], [0, 3]]), torch.tensor([True, False, True])
    found = scores(got, truth, pairs, same)
    change = [abs(cosine(got[a], got[b]) - cosine(truth[a], truth[b])) for a, b in pairs.tolist()]
    assert (found.pairs, found.max_change) == (3, pytest.approx(max(change)))
    assert found.mean_change == pytest.approx(np.mean(change))
    assert found.eer_change == found.eer - found.eer_truth  # type: ignore[operator]
    assert scores(got, truth, pairs[:1], same[:1]).eer_change is None
