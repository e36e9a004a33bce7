"""Tokens side by side, beside jiwer's counts and plain arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jiwer
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from literatim.verify.tokens import Judge, compare, edits, first_difference, without_regression, word_error_rate

END = 9
WORDS = st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=7)


def _decode(ids: Sequence[int]) -> str:
    return "".join(f" w{token}" for token in ids if token != END)


@given(WORDS.filter(len), WORDS)
def test_edits_and_their_rate_are_those_of_jiwer(reference: list[str], heard: list[str]) -> None:
    found = jiwer.process_words(" ".join(reference), " ".join(heard))
    assert edits(reference, heard) == found.substitutions + found.deletions + found.insertions
    assert word_error_rate(" ".join(reference), " ".join(heard)) == pytest.approx(found.wer)


def test_nothing_said() -> None:
    assert word_error_rate("", " ") == 0
    assert word_error_rate(" ", "word") is None


@pytest.mark.parametrize(
    ("reference", "device", "at"),
    [([1, 2, 3], [1, 2, 3], None), ([1, 2, 3], [1, 4, 3], 1), ([1, 2], [1, 2, 3], 2), ([1], [], 0), ([], [], None)],
)
def test_where_they_part(reference: list[int], device: list[int], at: int | None) -> None:
    assert first_difference(reference, device) == at


def _judge(gap: float, noise: float, widened: float = 1.0) -> Judge:
    """At position 1 token 2 is the likeliest and token 3 is `gap` below it; the floor moves token 5 by `noise`."""
    truth = torch.zeros(3, 10, dtype=torch.float64)
    truth[1, 2], truth[1, 3] = 4.0, 4.0 - gap
    floor = truth + 7.0  # a shift of all changes nothing
    floor[1, 5] += noise
    return Judge(truth, floor, widened)


def test_a_tie_is_told_from_a_fault() -> None:
    noise = 0.1 * 0.9  # less the mean of ten
    for gap, tie in ((0.17, True), (0.19, False), (0.0, True), (-0.19, False)):
        found = compare("clip", [1, 2, END], [1, 3, END], end=END, decode=_decode, judge=_judge(gap, 0.1))
        assert (found.first_difference, found.tie, found.same) == (1, tie, tie)
        assert found.margin == pytest.approx(gap)
        assert found.noise == pytest.approx(noise)
    wide = compare("clip", [1, 2], [1, 3], end=END, decode=_decode, judge=_judge(0.3, 0.1, widened=2.0))
    assert (wide.tie, wide.noise) == (True, pytest.approx(2 * noise))


def test_an_early_end_is_weighed_as_the_token_that_ends() -> None:
    judge = _judge(1.0, 0.1)
    found = compare("clip", [1, 2, END], [1], end=END, decode=_decode, judge=judge)
    assert (found.first_difference, found.margin) == (1, 4.0)


def test_a_forbidden_token_is_never_a_tie() -> None:
    judge = _judge(0.0, 100.0)
    judge.truth[1, 3] = -math.inf
    found = compare("clip", [1, 2], [1, 3], end=END, decode=_decode, judge=judge)
    assert (found.margin, found.tie, found.same) == (None, False, False)
    assert found.noise == pytest.approx(100 * (1 - 1 / 9))  # among the nine that are allowed


def test_beyond_the_logits_and_without_them_there_is_no_margin() -> None:
    for judge in (None, _judge(0.0, 1.0)):
        found = compare("clip", [1, 2, 3, 4], [1, 2, 3, 5], end=END, decode=_decode, judge=judge)
        assert (found.first_difference, found.margin, found.noise, found.tie) == (3, None, None, False)


def test_texts_and_rates() -> None:
    found = compare("clip", [1, 2, 3, END], [1, 4, 3, END], end=END, decode=_decode, truth="w1 w4 w3")
    assert (found.reference_text, found.device_text) == ("w1 w2 w3", "w1 w4 w3")
    assert found.wer == pytest.approx(1 / 3)
    assert found.truth_wer == (0.0, pytest.approx(1 / 3))
    assert found.pieces == {1: " w1", 2: " w2", 3: " w3", 4: " w4", END: ""}
    named = compare("clip", [1, END], [1, END], end=END, decode=_decode, special={END: "<|end|>", 1: "<|one|>"})
    assert named.pieces == {1: " w1", END: "<|end|>"}
    equal = compare("clip", [1], [1], end=END, decode=_decode)
    assert (equal.same, equal.wer, equal.truth_wer) == (True, 0.0, None)


def test_the_share_of_clips_without_regression() -> None:
    said = [("w1", [1], [1]), ("w1", [2], [1]), ("w1", [1], [2]), (None, [1], [2])]
    clips = [compare("clip", mine, theirs, end=END, decode=_decode, truth=truth) for truth, mine, theirs in said]
    assert without_regression(clips) == pytest.approx(2 / 3)
    assert without_regression(clips[3:]) is None
