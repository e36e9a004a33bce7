"""CTC's collapse against the definition of it, and what it says of each token."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from literatim.decode.ctc import Steps, collapse, likeliest


def steps(ids: list[int]) -> Steps:
    """With log-probabilities that tell the steps apart."""
    return Steps(np.array(ids, np.int64), -np.arange(1, len(ids) + 1, dtype=np.float32))


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 3))
def test_as_defined(ids: list[int], blank: int) -> None:
    """Equal neighbours are one, then blanks go (Graves et al., 2006, equation 1); spans and means are those of runs."""
    found = collapse(steps(ids), blank, first=100)
    assert [token.id for token in found] == [id for id, _ in groupby(ids) if id != blank]
    for token in found:
        inside = range(token.start - 100, token.end - 100)
        assert {ids[at] for at in inside} == {token.id}
        assert token.start == 100 or ids[token.start - 101] != token.id
        assert token.end == 100 + len(ids) or ids[token.end - 100] != token.id
        assert token.logprob == pytest.approx(-sum(at + 1 for at in inside) / len(inside))


def test_equal_letters_in_a_word() -> None:
    """A blank keeps the two m of "inflammation" apart; without one they are one."""
    assert [token.id for token in collapse(steps([5, 5, 0, 5, 0, 0, 5]), 0)] == [5, 5, 5]
    assert [token.id for token in collapse(steps([5, 5, 5]), 0)] == [5]


def test_likeliest_of_a_batch() -> None:
    """Each row's own steps, with the logarithm of the softmax; nothing of what pads it."""
    logits = torch.randn(3, 7, 11, generator=torch.Generator().manual_seed(2))
    found, with_all = likeliest(logits, [7, 0, 4]), likeliest(logits, [7, 0, 4], whole=True)
    assert [len(row) for row in found] == [7, 0, 4]
    for row, more, own in zip(found, with_all, logits, strict=True):
        assert row.whole is None
        assert more.whole is not None
        np.testing.assert_allclose(more.whole, own.log_softmax(-1)[: len(row)].numpy(), atol=1e-6)
        wanted = own.log_softmax(-1).max(-1)
        assert row.ids.tolist() == wanted.indices[: len(row)].tolist()
        np.testing.assert_allclose(row.logprobs, wanted.values[: len(row)].numpy(), atol=1e-6)
    assert collapse(found[1], 0) == []


def test_parts_and_joined() -> None:
    """What is cut and put together again is what it was."""
    whole = steps([1, 1, 0, 2, 2, 3])
    again = Steps.joined([whole.part(0, 2), whole.part(2, 5), whole.part(5, 6)])
    assert again.ids.tolist() == whole.ids.tolist()
    assert again.logprobs.tolist() == whole.logprobs.tolist()
    assert len(Steps.joined([])) == 0
