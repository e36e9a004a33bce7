"""From windows to turns: how near each moment is to a speaker, what a change costs, and where turns end."""

from __future__ import annotations

import numpy as np
import pytest

from diarization_builders import RATE
from literatim.pipeline.turns import CHANGE, QUIET, STEP, Speaking, Stretch, change_costs, scores, spoken, without_short

LOUD = np.float32(0.01)


def speaking(spans: list[tuple[int, int]], windows: list[tuple[int, int]], cosines: list[list[float]]) -> Speaking:
    """Spans that are as loud everywhere."""
    loudness = [np.full(-(-(end - start) // STEP), LOUD, np.float32) for start, end in spans]
    return Speaking(spans, windows, loudness, np.array(cosines, np.float32))


def test_a_moment_is_nearest_to_the_window_in_whose_middle_it_lies() -> None:
    """Two windows of 1.5 s, the second 0.75 s after the first: one hears the speaker, the other nobody."""
    span = (1600, 1600 + 36_000)
    near = scores(speaking([span], [(1600, 25_600), (13_600, 37_600)], [[1.0], [0.0]]))[:, 0]
    assert (near[: 12_000 // STEP] == 1).all()
    assert (near[24_000 // STEP + 1 :] == 0).all()
    assert (np.diff(near[15:30]) < 0).all()
    assert near[15] > 0.9
    assert near[22] == pytest.approx(0.5, abs=0.05)
    assert near[30] < 0.1


def test_a_change_costs_least_where_a_span_begins() -> None:
    """However loud it is there: the pause before it was quiet."""
    spans = [(0, 5 * STEP), (RATE, RATE + 4 * STEP)]
    costs = change_costs(speaking(spans, spans, [[1.0], [1.0]]))
    least = CHANGE * QUIET
    assert costs == pytest.approx([least, *[CHANGE] * 4, least, *[CHANGE] * 3])


@pytest.mark.parametrize("over", [0, 1, 300, STEP - 1])
def test_the_last_turn_ends_with_its_span(over: int) -> None:
    """Not with the step that it fills in part."""
    span = (320, 320 + RATE + over)
    assert spoken(speaking([span], [span], [[1.0, 0.0]])) == [Stretch(*span, 0)]


def test_what_is_too_short_goes_to_the_longer_neighbour() -> None:
    before, short = Stretch(0, RATE, 0), Stretch(RATE, RATE + STEP, 1)
    for seconds, speaker in ((2.0, 2), (0.5, 0)):
        after = Stretch(RATE + STEP, RATE + STEP + round(seconds * RATE), 2)
        assert without_short([before, short, after]) == [before, Stretch(RATE, RATE + STEP, speaker), after]
