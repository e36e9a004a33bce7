"""How many tokens are proposed: on simulated machines and drafts, in simulated seconds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from literatim.decode.pace import CHOICES, AdaptivePace, Pace, Times

NOISE = 0.05  # standard deviation of a round's time, of the time


@dataclass
class Machine:
    """Rounds of `rows` rows and K proposals take seconds by the model's times of a step, and by those of the draft."""

    step: float  # seconds of a plain round
    row: float  # share of it that each row more takes
    token: float  # share of it that each token more takes, a row
    draft: float  # share of it that one step of the draft takes

    def seconds(self, rows: int, proposals: int) -> float:
        checked = 1 + self.row * (rows - 1) + self.token * rows * proposals
        return self.step * (checked + proposals * self.draft * (1 + self.row * (rows - 1)))


LARGE = Machine(30e-3, 0.03, 0.02, 0.06)  # a large model and a small draft
SMALL = Machine(3e-3, 0.10, 0.10, 0.40)  # a small model whose draft is hardly cheaper
FULL = Machine(30e-3, 0.60, 0.60, 0.10)  # a machine with no arithmetic left over
BROAD = Machine(30e-3, 0.03, 0.05, 0.06)  # few rows leave arithmetic over, many do not
SLOW = Machine(10e-3, 0.10, 0.05, 1.50)  # a draft slower than the model


def simulate(
    pace: Pace, machine: Machine, rows: int, chances: Iterator[float], rounds: int, dice: random.Random
) -> tuple[float, list[int]]:
    """Tokens a second, and what was proposed round by round; each round has a chance that a proposal is right."""
    tokens, seconds, asked = 0, 0.0, []
    for _ in range(rounds):
        chance, count = next(chances), pace.proposals(rows, 30)
        tried = []
        for _ in range(rows):
            right = 0
            while right < count and dice.random() < chance:
                right += 1
            tried.append((right, min(count, right + 1)))
            tokens += right + 1
        spent = machine.seconds(rows, count) * max(0.5, dice.gauss(1, NOISE))
        pace.saw(rows, count, spent, tried)
        seconds += spent
        asked.append(count)
    return tokens / seconds, asked


def always(chance: float) -> Iterator[float]:
    while True:
        yield chance


def in_stretches(good: float, bad: float, length: int) -> Iterator[float]:
    while True:
        yield from [good] * length
        yield from [bad] * length


def best_fixed(machine: Machine, rows: int, chance: float) -> float:
    """Tokens a second that the best single number is expected to give."""
    speeds = []
    for count in (0, *CHOICES):
        tokens = sum(chance**right for right in range(count + 1))
        speeds.append(rows * tokens / machine.seconds(rows, count))
    return max(speeds)


def plain(machine: Machine, rows: int) -> float:
    return rows / machine.seconds(rows, 0)


@pytest.mark.parametrize("rows", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("machine", [LARGE, SMALL, FULL, SLOW], ids=["large", "small", "full", "slow"])
@pytest.mark.parametrize("chance", [0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_it_is_near_the_best_number_and_never_much_slower_than_none(machine: Machine, rows: int, chance: float) -> None:
    """Whatever the draft is worth; the first rounds count as well."""
    dice = random.Random(f"{rows} {chance} {machine}")
    found, _ = simulate(AdaptivePace(), machine, rows, always(chance), 1500, dice)
    assert found >= 0.97 * plain(machine, rows)
    assert found >= 0.9 * best_fixed(machine, rows, chance)


def test_a_useless_draft_is_hardly_asked() -> None:
    _, asked = simulate(AdaptivePace(), SMALL, 8, always(0.1), 1000, random.Random(1))
    assert sum(count > 0 for count in asked[50:]) < 30


def test_a_good_draft_is_asked_in_nearly_every_round() -> None:
    _, asked = simulate(AdaptivePace(), LARGE, 1, always(0.9), 500, random.Random(2))
    assert sum(count == 0 for count in asked) < 25
    assert sorted(asked)[len(asked) // 2] >= 6  # so likely to be right, and so cheap


def test_it_comes_back_after_a_bad_stretch() -> None:
    pace, dice = AdaptivePace(), random.Random(3)
    simulate(pace, LARGE, 4, always(0.9), 200, dice)
    _, bad = simulate(pace, LARGE, 4, always(0.0), 300, dice)
    assert sum(count > 0 for count in bad[100:]) < 30
    _, good = simulate(pace, LARGE, 4, always(0.9), 600, dice)
    assert sum(count > 0 for count in good[-200:]) > 180


def test_stretches_of_good_and_bad_are_not_slower_than_plain() -> None:
    dice = random.Random(4)
    found, _ = simulate(AdaptivePace(), LARGE, 4, in_stretches(0.9, 0.0, 100), 3000, dice)
    assert found >= 0.97 * plain(LARGE, 4)


@pytest.mark.parametrize("length", [4, 6, 10, 20])
def test_short_texts_are_not_slower_than_plain(length: int) -> None:
    """Proposals behind the end of a text are never judged, so that the acceptance promises more than there is."""
    machine, pace, dice = Machine(1e-3, 0, 0.02, 0.50), AdaptivePace(), random.Random(length)
    tokens, seconds = 0, 0.0
    for _ in range(600):
        left = length
        while left:
            count = pace.proposals(1, 30)
            right = 0
            while right < count and dice.random() < 0.95:
                right += 1
            taken = min(right + 1, left)
            spent = machine.seconds(1, count) * max(0.5, dice.gauss(1, NOISE))
            pace.saw(1, count, spent, [(min(right, taken), taken if taken <= right else min(count, right + 1))])
            left, tokens, seconds = left - taken, tokens + taken, seconds + spent
    assert tokens / seconds > 0.98 * plain(machine, 1)


def test_each_number_of_rows_has_its_own_times() -> None:
    """Where many rows make speculation useless it stays on for one."""
    pace, dice = AdaptivePace(), random.Random(5)
    asked: dict[int, list[int]] = {1: [], 32: []}
    for _ in range(30):
        for rows, kept in asked.items():
            kept += simulate(pace, BROAD, rows, always(0.75), 10, dice)[1]
    assert sum(count > 0 for count in asked[32][50:]) < 0.2 * len(asked[32][50:])
    assert sum(count > 0 for count in asked[1][50:]) > 0.8 * len(asked[1][50:])


def test_one_odd_time_does_not_decide() -> None:
    """A first plain round was interrupted, or a first speculative one: it is forgotten a thousand rounds later."""
    for odd in (0, 1):
        pace, dice = AdaptivePace(), random.Random(6)
        for index in range(2):
            count = pace.proposals(1, 30)
            slow = 20.0 if index == odd else 1.0
            pace.saw(1, count, slow * LARGE.seconds(1, count), [(count, count)])
        _, asked = simulate(pace, LARGE, 1, always(0.85), 1200, dice)
        assert sum(count > 0 for count in asked[-200:]) > 180


def test_where_it_does_not_pay_other_batches_do_not_try_it_at_once() -> None:
    """A batch that runs empty is of every size: not each is to find out for itself what the one before has."""
    tries = []
    for machine in (SLOW, LARGE):
        pace, dice = AdaptivePace(), random.Random(3)
        simulate(pace, machine, 16, always(0.85), 20, dice)
        asked = [simulate(pace, machine, rows, always(0.85), 3, dice)[1] for rows in (12, 8, 6, 4, 3, 2, 1)]
        tries.append(sum(any(counts) for counts in asked))
    assert tries[0] <= 1
    assert tries[1] == 7


def test_short_rounds_pay_for_their_probes_and_are_seldom_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A draft that costs the caches more than its own time: what a probe took is earned before the next one."""
    looks, add = [0], Times.add

    def counted(times: Times, proposals: int, seconds: float) -> None:
        looks[0] += 1
        add(times, proposals, seconds)

    monkeypatch.setattr(Times, "add", counted)
    plain, pace, dice, rounds = 0.25e-3, AdaptivePace(), random.Random(5), 20_000
    tokens, seconds, before = 0, 0.0, 0
    for _ in range(rounds):
        count = pace.proposals(1, 30)
        right = 0
        while right < count and dice.random() < 0.95:
            right += 1
        cold = 3 * plain if bool(count) != bool(before) else 0.0
        spent = plain * (1 + 0.3 * count) + cold
        pace.saw(1, count, spent, [(right, min(count, right + 1))])
        tokens, seconds, before = tokens + right + 1, seconds + spent, count
    assert tokens / seconds > 0.99 / plain
    assert looks[0] < rounds / 15


@pytest.mark.parametrize("make", [AdaptivePace, lambda: Pace(5), Pace])
def test_never_more_than_allowed(make: Callable[[], Pace]) -> None:
    pace, dice = make(), random.Random(7)
    for _ in range(2000):
        rows, most = dice.randint(1, 4), dice.randint(-3, 20)
        count = pace.proposals(rows, most)
        assert 0 <= count <= max(0, most)
        pace.saw(rows, count, dice.random(), [(dice.randint(0, count), count)] * rows)


def test_a_fixed_number() -> None:
    assert [Pace(5).proposals(3, most) for most in (-1, 0, 3, 5, 9)] == [0, 0, 3, 5, 5]
    assert Pace().proposals(1, 9) == 0


def test_acceptance_is_that_of_the_proposals_judged() -> None:
    pace = AdaptivePace()
    for _ in range(400):
        pace.saw(2, 4, 1.0, [(4, 4), (0, 1)])  # four of five
    assert pace.acceptance == pytest.approx(0.8, abs=0.02)
    before = pace.acceptance
    pace.saw(2, 0, 1.0, [(0, 0), (0, 0)])
    assert pace.acceptance == before
