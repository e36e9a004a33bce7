"""The vectorised rules against the same rules written row by row, and against both libraries they come from."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.generation.logits_process import (
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)

from literatim.decode.rules import RowState, Rules, apply
from reference.naive import NaiveRules, allowed
from reference.openai_whisper import openai

CPU = torch.device("cpu")
# text 0..19, the end, six special tokens, <|notimestamps|>, eight timestamps, four words added after them
EOT, SPECIAL, NO_STAMPS, BEGIN, END, WORDS = 20, 21, 27, 28, 36, 40
TEXTS = st.integers(0, EOT - 1)
STAMPS = st.integers(BEGIN, END - 1)
SUPPRESSED = st.sets(st.integers(0, NO_STAMPS - 1), max_size=8).map(lambda ids: tuple(sorted(ids)))
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def histories(draw: st.DrawFn, *tokens: st.SearchStrategy[int]) -> list[list[int]]:
    """Rows of one length, as a batch has."""
    rows, length = draw(st.integers(1, 5)), draw(st.integers(0, 7))
    one = st.lists(st.one_of(*tokens), min_size=length, max_size=length)
    return draw(st.lists(one, min_size=rows, max_size=rows))


def random_logits(rows: int, size: int, seed: int, stamp_bonus: float = 0.0) -> Tensor:
    """(B, V); a bonus on the timestamps makes their common mass decide now and then."""
    logits = 3 * torch.randn(rows, size, generator=torch.Generator().manual_seed(seed))
    logits[:, BEGIN:END] += stamp_bonus
    return logits


def masked(logits: Tensor, said: list[list[int]], rules: Rules) -> Tensor:
    """Through the state machine, token by token."""
    state = RowState.start(len(said), rules, CPU)
    for column in zip(*said, strict=True):
        state = state.after(torch.tensor(column), rules)
    return apply(logits.clone(), state, rules)


def make(size: int, suppress: tuple[int, ...], first: tuple[int, ...], stamps: tuple[int, int, int] | None) -> Rules:
    return Rules.make(size, EOT, suppress, first, stamps, CPU)


@settings(max_examples=150, deadline=None)
@given(
    said=histories(TEXTS, STAMPS, st.integers(0, WORDS - 1)),
    suppress=SUPPRESSED,
    first=SUPPRESSED,
    initial=st.integers(1, 10),
    timestamps=st.booleans(),
    seed=SEEDS,
    bonus=st.sampled_from([-4.0, 0.0, 3.0]),
)
def test_the_rules_are_those_written_row_by_row(
    said: list[list[int]],
    suppress: tuple[int, ...],
    first: tuple[int, ...],
    initial: int,
    timestamps: bool,
    seed: int,
    bonus: float,
) -> None:
    stamps = (BEGIN, END, BEGIN + initial) if timestamps else None
    logits = random_logits(len(said), WORDS, seed, bonus)
    found = masked(logits, said, make(WORDS, suppress, first, stamps))
    naive = NaiveRules(EOT, frozenset(suppress), frozenset(first), range(BEGIN, END) if timestamps else None, initial)
    expected = np.stack([allowed(row.numpy(), row_said, naive) for row, row_said in zip(logits, said, strict=True)])
    assert np.array_equal(found.numpy(), expected)


@settings(max_examples=100, deadline=None)
@given(
    said=histories(TEXTS, STAMPS),
    suppress=SUPPRESSED,
    first=SUPPRESSED,
    initial=st.integers(1, 7),
    seed=SEEDS,
    bonus=st.sampled_from([-4.0, 0.0, 3.0]),
)
def test_the_rules_are_those_of_transformers(
    said: list[list[int]], suppress: tuple[int, ...], first: tuple[int, ...], initial: int, seed: int, bonus: float
) -> None:
    config = SimpleNamespace(no_timestamps_token_id=NO_STAMPS, eos_token_id=EOT, max_initial_timestamp_index=initial)
    logits = random_logits(len(said), END, seed, bonus)
    prompt = torch.tensor([[SPECIAL, BEGIN, SPECIAL]] * len(said))  # a timestamp in a prompt counts for nothing
    so_far = torch.cat([prompt, torch.tensor(said, dtype=torch.long)], 1)
    expected = logits.clone()
    if first:
        expected = SuppressTokensAtBeginLogitsProcessor(list(first), 3)(so_far, expected)
    if suppress:
        expected = SuppressTokensLogitsProcessor(list(suppress))(so_far, expected)
    expected = WhisperTimeStampLogitsProcessor(config, begin_index=3)(so_far, expected)  # type: ignore[arg-type]
    found = masked(logits, said, make(END, suppress, first, (BEGIN, END, BEGIN + initial + 1)))
    assert torch.equal(found, expected)


@settings(max_examples=100, deadline=None)
@given(
    said=histories(TEXTS, STAMPS),
    suppress=SUPPRESSED,
    initial=st.integers(0, 7),
    timestamps=st.booleans(),
    seed=SEEDS,
    bonus=st.sampled_from([-4.0, 0.0, 3.0]),
)
def test_the_rules_are_those_of_openai_whisper(
    said: list[list[int]], suppress: tuple[int, ...], initial: int, timestamps: bool, seed: int, bonus: float
) -> None:
    decoding = openai("decoding")
    space = 3
    tokenizer = SimpleNamespace(eot=EOT, no_timestamps=NO_STAMPS, timestamp_begin=BEGIN, encode=lambda text: [space])
    filters = [decoding.SuppressBlank(tokenizer, 2), decoding.SuppressTokens(list(suppress))]
    if timestamps:
        filters.append(decoding.ApplyTimestampRules(tokenizer, 2, initial))
    logits = random_logits(len(said), END, seed, bonus)
    prompt = torch.tensor([[SPECIAL, BEGIN]] * len(said))
    so_far = torch.cat([prompt, torch.tensor(said, dtype=torch.long)], 1)
    expected = logits.clone()
    for item in filters:
        item.apply(expected, so_far)
    stamps = (BEGIN, END, BEGIN + initial + 1) if timestamps else None
    found = masked(logits, said, make(END, suppress, (space, EOT), stamps))
    assert torch.equal(found, expected)


def test_the_mass_of_the_timestamps_outweighs_a_likelier_text() -> None:
    """Eight timestamps at 0 have the mass log 8 = 2.08, more than the best text's 2 and less than 2.1."""
    rules = make(END, (), (), (BEGIN, END, END))
    for best, outweighed in ((2.0, True), (2.1, False)):
        logits = torch.full((1, END), -20.0)
        logits[0, BEGIN:END] = 0
        logits[0, 5] = best
        found = masked(logits, [[BEGIN, 1]], rules)  # one timestamp lies behind: seven are left
        assert torch.isinf(found[0, 5]) == (outweighed and best < np.log(7))
        state = RowState.start(1, rules, CPU).after(torch.tensor([1]), rules)  # none lies behind
        assert bool(torch.isinf(apply(logits.clone(), state, rules)[0, 5])) is outweighed


def test_one_rows_mass_does_not_touch_its_neighbour() -> None:
    rules = make(END, (), (), (BEGIN, END, END))
    logits = torch.zeros(2, END)
    logits[1, 5] = 9.0
    found = masked(logits, [[BEGIN, 1], [BEGIN, 1]], rules)
    assert torch.isinf(found[0, :BEGIN]).all()
    assert found[1, 5] == 9


def test_a_token_after_the_timestamps_is_a_word_without_them_and_nothing_with_them() -> None:
    logits = torch.zeros(1, WORDS)
    assert masked(logits, [[1]], make(WORDS, (), (), None))[0, END] == 0
    assert torch.isinf(masked(logits, [[BEGIN, 1]], make(WORDS, (), (), (BEGIN, END, END)))[0, END:]).all()


def test_ids_beyond_the_vocabulary_are_ignored() -> None:
    found = masked(torch.zeros(1, EOT), [[]], make(EOT, (3, EOT + 5), (4, EOT + 9), None))
    assert torch.isinf(found[0]).nonzero().flatten().tolist() == [3, 4]


@pytest.mark.parametrize("timestamps", [None, (BEGIN, END, END)])
def test_something_may_always_follow(timestamps: tuple[int, int, int] | None) -> None:
    """Even after the last timestamp of the window, opened or closed."""
    rules = make(END, (), (), timestamps)
    for said in ([BEGIN, 1, END - 1], [BEGIN, 1, END - 1, END - 1], [END - 1], [END - 1, 1], [1]):
        found = masked(random_logits(1, END, 0), [said], rules)
        assert torch.isfinite(found).any()
        assert not torch.isnan(found).any()
