"""The noise of sampling: what it depends on, its distribution, and that of the tokens it gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from literatim.decode.noise import Noise
from literatim.decode.rows import Request
from literatim.decode.rules import Rules
from literatim.decode.speculative import Batch, Vocabulary, decode

CPU = torch.device("cpu")
SIZE, SOT, EOT, BEGIN, END = 12, 6, 5, 8, 12  # text 0..4, the end, the start, <|notimestamps|>, four timestamps
CHANCE = 1e-3  # a test of a true hypothesis fails so often; there are about twenty of them here


def test_the_same_key_gives_the_same_noise() -> None:
    one, other = (Noise(3, b"recording", 200, 0.4) for _ in range(2))
    assert torch.equal(one.at(0, 1000), other.at(0, 1000))
    assert torch.equal(one.at(7, 1000), other.at(7, 1000))


@pytest.mark.parametrize(
    "other",
    [Noise(4, b"one", 200, 0.4), Noise(3, b"two", 200, 0.4), Noise(3, b"one", 0, 0.4), Noise(3, b"one", 200, 0.6)]
    + [Noise(3, b"one", 200, 0.4, sample) for sample in (1, 2)],
)
def test_another_key_gives_other_noise(other: Noise) -> None:
    one = Noise(3, b"one", 200, 0.4).at(5, 1000)
    assert (one != other.at(5, 1000)).sum() > 990
    assert abs(np.corrcoef(one, other.at(5, 1000))[0, 1]) < 0.12  # about four standard deviations


def test_a_temperature_is_a_number_however_it_is_written() -> None:
    assert torch.equal(Noise(0, b"", 0, 1).at(0, 9), Noise(0, b"", 0, 1.0).at(0, 9))


def test_parts_of_a_key_do_not_run_into_each_other() -> None:
    assert not torch.equal(Noise(1, b"", 12, 0.5).at(0, 9), Noise(11, b"", 2, 0.5).at(0, 9))
    assert not torch.equal(Noise(1, b"5", 2, 0.5).at(0, 9), Noise(1, b"", 2, 0.55).at(0, 9))


def test_a_position_does_not_depend_on_what_was_asked_before() -> None:
    wanted = {at: Noise(1, b"x", 0, 1.0).at(at, 50).clone() for at in range(6)}
    noise = Noise(1, b"x", 0, 1.0)
    for at in (5, 0, 3, 3, 1):
        assert torch.equal(noise.at(at, 50), wanted[at])
    noise.forget(4)
    for at in (2, 5, 4):
        assert torch.equal(noise.at(at, 50), wanted[at])


def test_every_position_has_its_own() -> None:
    noise = Noise(1, b"x", 0, 1.0)
    drawn = torch.stack([noise.at(at, 400) for at in range(40)])
    assert len(drawn.flatten().unique()) > 0.999 * drawn.numel()
    beside = np.corrcoef(drawn.numpy())[~np.eye(40, dtype=bool)]
    assert np.abs(beside).max() < 0.25  # five standard deviations of 1 / 20


def test_a_larger_vocabulary_leaves_the_noise_of_the_first_ids() -> None:
    for size in (1, 2, 49, 50):
        assert torch.equal(Noise(1, b"x", 0, 1.0).at(3, size), Noise(1, b"x", 0, 1.0).at(3, 51)[:size])


def test_it_is_standard_gumbel_noise() -> None:
    drawn = torch.cat([Noise(seed, b"", 0, 1.0).at(seed, 2000) for seed in range(40)]).double().numpy()
    assert np.isfinite(drawn).all()
    assert stats.kstest(drawn, "gumbel_r").pvalue > CHANCE
    # over keys at one place too
    first = [float(Noise(seed, b"", 0, 1.0).at(0, 1)[0]) for seed in range(3000)]
    assert stats.kstest(first, "gumbel_r").pvalue > CHANCE


class Same:
    """A network with the same logits (V,) after any text."""

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits

    def feed(self, tokens: Tensor, lengths: Tensor, limit: int, start: int = 0) -> Tensor:
        return torch.zeros(*tokens.shape, 1)

    def logits(self, hidden: Tensor) -> Tensor:
        return self._logits.repeat(len(hidden), 1)

    choose = logits

    def move(self, source: int, target: int, positions: int) -> None:
        pass


LOGITS = torch.tensor([1.0, 0.2, -0.5, 1.7, 0.9, -1.5, 0.4, 0.3, -0.9, 0.5, -0.2, -1.3])


def sampled(rules: Rules, temperature: float, most: int, keys: int) -> list[tuple[int, ...]]:
    """What the plain loop says with each of so many keys."""
    batch = Batch(Same(LOGITS), rules, Vocabulary(SOT, None), CPU)
    noises = [Noise(1, b"recording", key, temperature) for key in range(keys)]
    return [row.tokens for row in decode(batch, [Request([SOT], most, noise) for noise in noises])]


def agrees(counts: np.ndarray, logits: Tensor, temperature: float) -> bool:
    """By a chi-square test of the counts of each id against softmax(logits / T)."""
    chances = (logits.double() / temperature).softmax(-1).numpy()
    possible = chances > 0
    assert counts[~possible].sum() == 0
    return bool(stats.chisquare(counts[possible], chances[possible] * counts.sum()).pvalue > CHANCE)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_tokens_are_samples_of_the_softmax(temperature: float) -> None:
    rules = Rules.make(SIZE, EOT, (1, SOT), (0,), None, CPU)
    said = sampled(rules, temperature, 3, 2500)
    allowed = LOGITS + torch.tensor([0, -torch.inf, 0, 0, 0, 0, -torch.inf, 0, 0, 0, 0, 0])
    first = allowed + torch.tensor([-torch.inf] + [0.0] * 11)
    for place, scores in ((0, first), (1, allowed), (2, allowed)):
        there = [row[place] if len(row) > place else EOT for row in said if len(row) >= place]
        assert len(there) > 1000
        assert agrees(np.bincount(there, minlength=SIZE), scores, temperature)
    # places are independent: the second does not follow from the first
    pairs = np.zeros((SIZE, SIZE))
    for row in said:
        if len(row) > 1:
            pairs[row[0], row[1]] += 1
    seen = pairs[pairs.sum(1) > 40][:, pairs.sum(0) > 40]
    assert stats.chi2_contingency(seen).pvalue > CHANCE


def test_tokens_under_the_timestamp_rules_are_samples_of_what_they_allow() -> None:
    """The first is a timestamp; after it text or the end, as long as the timestamps do not outweigh the text."""
    temperature, rules = 0.8, Rules.make(SIZE, EOT, (SOT,), (), (BEGIN, END, BEGIN + 3), CPU)
    said = sampled(rules, temperature, 3, 2500)
    never = torch.full((SIZE,), -torch.inf)
    first = never.clone()
    first[BEGIN : BEGIN + 3] = LOGITS[BEGIN : BEGIN + 3]
    assert agrees(np.bincount([row[0] for row in said], minlength=SIZE), first, temperature)
    second = LOGITS.clone()
    second[[SOT, BEGIN - 1, *range(BEGIN, END)]] = -torch.inf
    after = [row[1] if len(row) > 1 else EOT for row in said]
    assert agrees(np.bincount(after, minlength=SIZE), second, temperature)
    # after the first timestamp and a word: text, the end, and the timestamps after the first one
    third = [row[2] if len(row) > 2 else EOT for row in said if row[0] == BEGIN and len(row) > 1]
    scores = LOGITS.clone()
    scores[[SOT, BEGIN - 1, BEGIN]] = -torch.inf
    assert float(LOGITS[BEGIN + 1 :].logsumexp(-1)) < float(LOGITS[:BEGIN].max())  # they do not outweigh it
    assert len(third) > 250
    assert agrees(np.bincount(third, minlength=SIZE), scores, temperature)
