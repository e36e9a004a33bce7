"""Summaries and intervals against numpy's and scipy's, and by arithmetic."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats as reference

from literatim.bench import stats

TIMES = [0.31, 0.29, 0.35, 0.30, 0.41, 0.28, 0.33, 0.30, 0.32, 0.90]


def test_summary_against_the_standard_library() -> None:
    found = stats.summary(TIMES)
    assert found["n"] == 10
    assert found["mean"] == pytest.approx(statistics.fmean(TIMES))
    assert found["median"] == pytest.approx(statistics.median(TIMES))
    assert found["std"] == pytest.approx(statistics.stdev(TIMES))
    assert (found["min"], found["max"]) == (0.28, 0.90)
    hundredths = statistics.quantiles(TIMES, n=100, method="inclusive")
    for level in (90, 95, 99):
        assert found[f"p{level}"] == pytest.approx(hundredths[level - 1])


def test_percentiles_by_hand() -> None:
    # eleven values 0..10: the 95th percentile lies at place 9.5
    assert stats.summary(list(range(11)))["p95"] == pytest.approx(9.5)


def test_a_single_value_has_no_spread() -> None:
    found = stats.summary([2.0])
    assert found.pop("n") == 1
    assert found.pop("std") == 0.0
    assert set(found.values()) == {2.0}


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_what_cannot_be_summarised(values: list[float]) -> None:
    with pytest.raises(ValueError, match="values"):
        stats.summary(values)
    with pytest.raises(ValueError, match="values"):
        stats.bootstrap(values, np.mean)
    with pytest.raises(ValueError, match="values"):
        stats.ratio_interval([1.0], values)


def test_bootstrap_agrees_with_scipy() -> None:
    sample = np.random.default_rng(4).normal(3.0, 1.0, 60)
    low, high = stats.bootstrap(sample, np.mean, draws=4000)
    known = reference.bootstrap((sample,), np.mean, n_resamples=4000, method="percentile", rng=9).confidence_interval
    assert low == pytest.approx(known.low, abs=0.03)
    assert high == pytest.approx(known.high, abs=0.03)
    assert stats.bootstrap(sample, np.mean) == stats.bootstrap(sample, np.mean)
    assert stats.bootstrap(sample, np.mean) != stats.bootstrap(sample, np.mean, seed=1)
    narrow = stats.bootstrap(sample, np.mean, draws=4000, level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    generator, inside = np.random.default_rng(0), 0
    for seed in range(200):
        low, high = stats.bootstrap(generator.normal(0.0, 1.0, 80), np.mean, seed=seed, draws=200)
        inside += low <= 0.0 <= high
    # 190 expected; four standard deviations of a binomial are 12, and the method is known to be a little narrow
    assert 174 <= inside <= 200


def test_rows_stay_whole() -> None:
    # errors and words of a recording: the rate is 1/2 in every draw only if no row is taken apart
    rows = [[1.0, 2.0], [3.0, 6.0], [10.0, 20.0]]
    assert stats.bootstrap(rows, lambda drawn: drawn[:, 0].sum() / drawn[:, 1].sum()) == (0.5, 0.5)


def test_draws_without_a_value_are_left_out() -> None:
    low, high = stats.bootstrap([0.0, 0.0, 1.0], lambda drawn: drawn.sum() / drawn.sum() if drawn.sum() else math.nan)
    assert (low, high) == (1.0, 1.0)
    assert all(map(math.isnan, stats.bootstrap([0.0], lambda _: math.nan)))


def test_ratio_of_pairs_does_not_see_what_both_share() -> None:
    # the machine slows down sixfold over the rounds, the ratio stays 2
    b = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert stats.ratio_interval([2 * value for value in b], b) == (2.0, 2.0, 2.0)


def test_ratio_of_unequal_lengths_draws_each_alone() -> None:
    a, b = [2.0, 2.2, 1.8, 2.1, 1.9], [1.0, 1.1, 0.9, 1.0]
    ratio, low, high = stats.ratio_interval(a, b)
    assert ratio == pytest.approx(2.0)
    assert 1.6 < low < 2.0 < high < 2.5


def test_ratio_by_nothing_is_no_number() -> None:
    assert all(map(math.isnan, stats.ratio_interval([1.0, 1.0], [0.0, 0.0])))


def test_two_runs_of_equal_length_can_be_drawn_apart() -> None:
    a, b = [2.0, 4.0, 6.0], [1.0, 2.0, 3.0]
    assert stats.ratio_interval(a, b) == (2.0, 2.0, 2.0)
    ratio, low, high = stats.ratio_interval(a, b, paired=False)
    assert ratio == 2.0
    assert low < 2.0 < high
    with pytest.raises(ValueError, match="pairs"):
        stats.ratio_interval(a, b[:2], paired=True)
