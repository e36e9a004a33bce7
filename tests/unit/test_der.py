"""Diarization error rates beside a count millisecond by millisecond with every mapping tried."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from literatim.bench.der import Errors, errors
from literatim.types import Turn


def drawn(random: np.random.Generator, speakers: int, letter: str) -> list[Turn]:
    """A few turns of each, which may lie over each other; times in whole hundredths."""
    turns = []
    for speaker in range(speakers):
        time = random.uniform(0, 3)
        for _ in range(int(random.integers(1, 5))):
            end = time + random.uniform(0.3, 3)
            turns.append(Turn(round(time, 2), round(end, 2), f"{letter}{speaker}"))
            time = end + random.uniform(0.1, 2)
    return turns


def counted(
    reference: list[Turn], hypothesis: list[Turn], collar: float, end: float, skip_overlap: bool
) -> tuple[float, float, float, list[float]]:
    """The four figures from frames of 10 ms; the mapping is the best before collars are taken out (md-eval).

    Of several mappings that are equally good each has a confusion of its own.
    """
    frames = round(end * 100)

    def rows(turns: list[Turn]) -> np.ndarray:
        names = sorted({turn.speaker for turn in turns})
        found = np.zeros((len(names), frames), int)
        for turn in turns:
            found[names.index(turn.speaker), round(turn.start * 100) : round(turn.end * 100)] = 1
        return found

    ours, theirs = rows(reference), rows(hypothesis)
    if len(ours) < len(theirs):
        ours = np.vstack([ours, np.zeros((len(theirs) - len(ours), frames), int)])
    if len(theirs) < len(ours):
        theirs = np.vstack([theirs, np.zeros((len(ours) - len(theirs), frames), int)])
    worth = {order: int((ours * theirs[list(order)]).sum()) for order in permutations(range(len(ours)))}
    kept = np.ones(frames, bool)
    if collar:
        for turn in reference:
            for time in (turn.start, turn.end):
                kept[max(0, round((time - collar) * 100)) : round((time + collar) * 100)] = False
    true, said = ours.sum(0), theirs.sum(0)
    if skip_overlap:
        kept &= true < 2
    parts = (true, np.maximum(true - said, 0), np.maximum(said - true, 0))
    confusions = []
    for order, together in worth.items():
        if together == max(worth.values()):
            wrong = np.minimum(true, said) - (ours * theirs[list(order)]).sum(0)
            confusions.append(float(wrong[kept].sum()) / 100)
    scored, missed, false_alarm = (float(part[kept].sum()) / 100 for part in parts)
    return scored, missed, false_alarm, confusions


@pytest.mark.parametrize("collar", [0.0, 0.25])
@pytest.mark.parametrize("skip_overlap", [False, True])
def test_errors_are_those_of_a_count_of_frames(collar: float, skip_overlap: bool) -> None:
    for seed in range(40):
        random = np.random.default_rng(seed)
        ours, theirs = drawn(random, int(random.integers(1, 5)), "a"), drawn(random, int(random.integers(1, 5)), "b")
        end = round(float(random.uniform(8, 20)), 2)
        found = errors(ours, theirs, collar, [(0.0, end)], skip_overlap=skip_overlap)
        wanted = counted(ours, theirs, collar, end, skip_overlap)
        assert (found.scored, found.missed, found.false_alarm) == pytest.approx(wanted[:3], abs=1e-6)
        assert any(found.confusion == pytest.approx(one, abs=1e-6) for one in wanted[3])


def test_what_a_rate_is_made_of() -> None:
    ours = [Turn(0, 10, "a"), Turn(10, 20, "b")]
    theirs = [Turn(1, 12, "x"), Turn(12, 22, "y")]
    found = errors(ours, theirs)
    assert found == Errors(scored=20, missed=1, false_alarm=2, confusion=2)
    assert found.rate == 0.25
    assert (found + found).rate == 0.25
    assert found.to_dict() == {"der": 0.25, "scored": 20, "missed": 1, "false_alarm": 2, "confusion": 2}
    assert errors(ours, theirs, regions=[(0, 20)]).false_alarm == 0
    assert errors(ours, theirs, collar=0.25).missed == 0.75


def test_who_is_who_is_told_by_what_is_scored() -> None:
    """Outside of the regions x is B for longer than it is A inside."""
    reference = [Turn(0, 10, "A"), Turn(10, 20, "B")]
    hypothesis = [Turn(0, 6, "x"), Turn(6, 10, "y"), Turn(10, 20, "x")]
    assert errors(reference, hypothesis, regions=[(0, 10)]).confusion == pytest.approx(4)
    assert errors(reference, hypothesis).confusion == pytest.approx(6)


def test_names_do_not_matter_and_each_is_given_once() -> None:
    ours = [Turn(0, 10, "a"), Turn(10, 20, "b")]
    assert errors(ours, [Turn(0, 10, "b"), Turn(10, 20, "a")]).rate == 0
    assert errors(ours, [Turn(0, 20, "a")]).confusion == 10


def test_overlap_counts_each_of_its_speakers() -> None:
    ours = [Turn(0, 10, "a"), Turn(8, 12, "b")]
    found = errors(ours, [Turn(0, 10, "a"), Turn(10, 12, "b")])
    assert (found.scored, found.missed) == (14, 2)
    assert errors(ours, [Turn(0, 10, "a"), Turn(10, 12, "b")], skip_overlap=True).rate == 0


def test_a_speaker_whose_own_turns_overlap_speaks_once() -> None:
    assert errors([Turn(0, 6, "a"), Turn(4, 10, "a")], [Turn(0, 10, "x")]).rate == 0


def test_nothing_said_has_no_rate() -> None:
    assert errors([], []).rate is None
    assert errors([], [Turn(0, 1, "x")]) == Errors(false_alarm=1)
