"""The guard against repetition: transformers' processors, and what it does to whole texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

from literatim.decode.beam import likeliest
from literatim.decode.guard import UNGUARDED, Guard

SIZE = 9


@given(
    seed=st.integers(0, 2**32 - 1),
    said=st.lists(st.integers(0, SIZE - 1), max_size=12),
    penalty=st.sampled_from([0.5, 1.0, 1.3, 4.0]),
    run=st.integers(0, 4),
)
def test_logits_are_those_of_transformers(seed: int, said: list[int], penalty: float, run: int) -> None:
    logits = torch.randn(SIZE, generator=torch.Generator().manual_seed(seed))
    ours, theirs, ids = logits.clone(), logits[None].clone(), torch.tensor([said], dtype=torch.long)
    Guard(penalty, run).apply(ours, said)
    if said:
        theirs = RepetitionPenaltyLogitsProcessor(penalty)(ids, theirs)
    if run:
        theirs = NoRepeatNGramLogitsProcessor(run)(ids, theirs)
    assert torch.equal(ours, theirs[0])


def test_it_is_off_by_itself() -> None:
    assert not UNGUARDED.on
    assert Guard(1.1).on
    assert Guard(run=2).on


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (None, 1),  # -2/4, -1/3, -6/10
        (1.0, 1),  # -2/1.5, -1/1.33, -6/2.5
        (0.0, 1),
    ],
)
def test_the_best_of_several_by_hand(penalty: float | None, expected: int) -> None:
    assert likeliest([-2.0, -1.0, -6.0], [4, 3, 10], penalty) == expected


def test_long_texts_are_forgiven_by_the_mean_and_not_without_a_penalty() -> None:
    sums, lengths = [-1.0, -3.0], [2, 10]
    assert likeliest(sums, lengths, None) == int(np.argmax([-1 / 2, -3 / 10])) == 1
    assert likeliest(sums, lengths, 0.0) == 0
    assert likeliest(sums, lengths, 1.0) == int(np.argmax([-1 / (7 / 6), -3 / (15 / 6)])) == 0
    assert likeliest([-1.0], [0], None) == 0
