"""Error rates of scored pairs, beside plain counting at every threshold and beside scikit-learn's curve."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from literatim.pipeline.error_rates import equal_error_rate, equal_error_threshold, min_dcf

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=30)


def _rates_at(threshold: float, scored: list[float], same: list[bool]) -> tuple[float, float]:
    """Of pairs of two speakers taken, of pairs of one refused."""
    taken = [score >= threshold for score, one in zip(scored, same, strict=True) if not one]
    refused = [score < threshold for score, one in zip(scored, same, strict=True) if one]
    return float(np.mean(taken)), float(np.mean(refused))


@given(PAIRS)
def test_the_equal_error_rate_lies_where_the_rates_cross(pairs: list[tuple[int, bool]]) -> None:
    scored, same = [float(score) for score, _ in pairs], [one for _, one in pairs]
    found, at = equal_error_rate(scored, same), equal_error_threshold(scored, same)
    if len(set(same)) < 2:
        assert found is at is None
        return
    points = [_rates_at(at, scored, same) for at in [math.inf, *sorted(set(scored), reverse=True)]]
    # the curve of (taken, refused), cut with the diagonal by numpy
    taken, refused = (np.array(side) for side in zip(*points, strict=True))
    steps = np.linspace(0, len(points) - 1, 20001 * (len(points) - 1) + 1)
    along = [np.interp(steps, range(len(points)), side) for side in (taken, refused)]
    assert found == pytest.approx(along[0][np.abs(along[0] - along[1]).argmin()], abs=1e-4)
    assert at is not None
    assert min(scored) <= at <= max(scored)


def test_the_threshold_takes_and_refuses_as_many() -> None:
    random = np.random.default_rng(0)
    same = random.random(20000) < 0.4
    scored = np.where(same, 0.6, 0.1) + 0.2 * random.standard_normal(20000)
    at = equal_error_threshold(scored, same)
    assert at == pytest.approx(0.35, abs=0.01)
    taken, refused = _rates_at(at, scored.tolist(), same.tolist())
    assert taken == pytest.approx(refused, abs=1e-3)
    assert equal_error_rate(scored, same) == pytest.approx(taken, abs=1e-3)
    # of two normal distributions 2.5 deviations apart
    assert equal_error_rate(scored, same) == pytest.approx(0.5 * math.erfc(1.25 / math.sqrt(2)), abs=0.005)


@given(PAIRS, st.sampled_from([0.01, 0.05, 0.5, 0.9]))
def test_the_least_cost_over_all_thresholds(pairs: list[tuple[int, bool]], prior: float) -> None:
    scored, same = [float(score) for score, _ in pairs], [one for _, one in pairs]
    found = min_dcf(scored, same, prior)
    if len(set(same)) < 2:
        assert found is None
        return
    costs = []
    for at in [math.inf, *scored]:
        taken, refused = _rates_at(at, scored, same)
        costs.append((prior * refused + (1 - prior) * taken) / min(prior, 1 - prior))
    assert found == pytest.approx(min(costs))
    assert found <= 1 + 1e-12


def test_beside_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(1)
    same = random.random(3000) < 0.3
    scored = np.round(np.where(same, 0.5, 0.2) + 0.2 * random.standard_normal(3000), 2)  # with ties
    taken, right, _ = metrics.roc_curve(same, scored, drop_intermediate=False)
    assert min_dcf(scored, same) == pytest.approx(((0.01 * (1 - right) + 0.99 * taken) / 0.01).min())
    at = np.argmin(np.abs(1 - right - taken))
    step = max(np.diff(taken).max(), np.diff(right).max())
    assert abs(equal_error_rate(scored, same) - (1 - right[at] + taken[at]) / 2) < step
