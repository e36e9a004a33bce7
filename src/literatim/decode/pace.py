"""How many tokens a draft should propose: what pays, from the times and the acceptance seen so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

CHOICES = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
FEW_CHOICES = (0, 2, 4, 8)  # where each number of queries is a kernel to be prepared
FIRST = 4  # tried first
KEPT = 9  # times of a kind of round that are remembered; their median counts
MEMORY = 0.98  # how much of the acceptance seen so far is left after another proposal
PROBE_SHARE = 0.01  # of the time, spent by each of the two rounds that look whether speculation has come to pay
LEAST_SHARE = PROBE_SHARE / 8  # where it did not, time and again
MOST_LOST = 4  # plain rounds that one of a probe is thought to have cost: it may have waited for something else
NEIGHBOUR_EVERY, PLAIN_EVERY = 12, 50  # rounds of speculation, after which another number, or none, is timed again
PLAIN_OFTEN = 10  # instead, where it gains next to nothing: a machine that became slower must not look like a gain
CONSIDERED_EVERY = 8  # rounds, after which the best number is looked for anew
WORTH = 1.08  # times as many tokens a second as plainly: what speculation must promise
SHORT = 0.7e-3  # seconds of a plain round; in shorter ones what a change of networks costs the caches is as much as a
WORTH_SHORT = 2.0  # gain, and times scatter by as much again: then it must promise so many times as many
RESTS = 1.6e-3  # seconds of plain rounds while speculation does not pay, of which one is looked at
LONG_RESTS = 10 * RESTS  # the same where rounds are short: looking takes 7 to 20 us there, caches being cold


class Pace:
    """Always the same number of proposals; none by default."""

    def __init__(self, proposals: int = 0) -> None:
        self._proposals = proposals

    def proposals(self, rows: int, most: int) -> int:  # noqa: ARG002
        """How many to propose in the next round, of at most `most`."""
        return max(0, min(self._proposals, most))

    def drafts(self, rows: int) -> bool:  # noqa: ARG002
        """Whether most rounds of so many rows are thought to have proposals."""
        return self._proposals > 0

    def saw(self, rows: int, proposals: int, seconds: float, tried: Sequence[tuple[int, int]]) -> None:
        """A round took so long; of each row, how many proposals were right, and how many were judged at all."""


class AdaptivePace(Pace):
    """The number that gives the most tokens a second, by the median times of rounds and the acceptance of late.

    Rounds of a kind not seen yet are thought to lie on a line through those that were. Now and then another kind is
    timed: while speculation pays a neighbouring number, while it does not a round of it, so seldom that it costs
    PROBE_SHARE of the time, and half as much each time that it did not. The first round after a change between plain
    and drafted finds the other networks in the processor's caches and takes longer than those after it, so a probe has
    two rounds, of which the second counts.
    """

    def __init__(self, choices: Sequence[int] = CHOICES) -> None:
        super().__init__()
        self._choices = choices
        self._times: dict[int, Times] = {}
        self._right, self._judged = 0.8 * 5, 5.0  # what is thought of a draft before anything was seen
        self._taken = self._foretold = 5.0  # proposals that were taken, and as many as the acceptance had promised
        self._owed = 0.0  # seconds that may be spent on a probe
        self._share = PROBE_SHARE  # of the time that is saved up for it
        self._rounds = 0  # of speculation
        self._before: int | None = None  # proposals of the round before
        self._again = False  # whether that was the first round of a probe
        self._resting = 0  # plain rounds that are not looked at

    @property
    def acceptance(self) -> float:
        """Probability that a proposal is right, those before it being right."""
        return self._right / self._judged

    def proposals(self, rows: int, most: int) -> int:
        """The best known number, or one that is worth a look."""
        if self._resting:
            self._resting -= 1
            return 0
        times = self._times.setdefault(_kind(rows), Times())
        if most < self._choices[1] or not times.seen(0):
            return 0
        if self._again and self._before is not None:
            self._again, wanted = False, self._before
        elif times.tried:
            self._consider(times)
            wanted = self._another(times) if times.pays else self._probe(times, times)
        else:
            known = self._nearest(_kind(rows))
            promising = self.acceptance > 0.5 if known is None else known.pays
            wanted = FIRST if promising else self._probe(times, known or times)
        return wanted if wanted <= most else max(choice for choice in self._choices if choice <= most)

    def drafts(self, rows: int) -> bool:
        """Whether speculation pays, as far as is known."""
        times = self._times.get(_kind(rows))
        return times is not None and times.pays

    def _nearest(self, kind: int) -> Times | None:
        """The times of the next size of batch in which speculation was tried."""
        tried = {size: times for size, times in self._times.items() if times.tried}
        return tried[min(tried, key=lambda size: abs(size - kind))] if tried else None

    def _consider(self, times: Times) -> None:
        """Which number is the best, and what it gains over none: now and then, since it takes as long as a product."""
        times.since += 1
        if times.since < CONSIDERED_EVERY:
            return
        speeds = {choice: self._tokens(choice) / max(times.of(choice), 1e-9) for choice in self._choices}
        times.best = max(self._choices[1:], key=speeds.__getitem__)
        times.gain, times.since = speeds[times.best] / speeds[0], 0

    def _another(self, times: Times) -> int:
        """While speculation pays: the best, or by turns the next smaller, the next larger and none."""
        self._rounds += 1
        self._share = PROBE_SHARE
        if self._rounds % round(min(PLAIN_OFTEN * times.gain**4, PLAIN_EVERY)) == 0:
            self._again = True
            return 0
        at = self._choices.index(times.best)
        if self._rounds % NEIGHBOUR_EVERY == 0:
            at += 1 if self._rounds // NEIGHBOUR_EVERY % 2 else -1
        return self._choices[min(max(at, 0), len(self._choices) - 1)]

    def _probe(self, times: Times, known: Times) -> int:
        """While it does not pay: none, or its best number once enough was saved up for it, going by `known` times."""
        plain = times.of(0)
        self._owed += self._share * plain
        lost = (known.of(known.best) / max(known.of(0), 1e-9) - self._tokens(known.best)) * plain
        self._again = self._owed > max(lost, 0.25 * plain)
        if not self._again:
            self._resting = int((RESTS if plain >= 2 * SHORT else LONG_RESTS) / max(plain, 1e-6))
            self._owed += self._resting * self._share * plain
            return 0
        self._share = max(self._share / 2, LEAST_SHARE)
        return known.best

    def saw(self, rows: int, proposals: int, seconds: float, tried: Sequence[tuple[int, int]]) -> None:
        """Remember it."""
        if self._resting:
            self._before = 0
            return
        times = self._times.setdefault(_kind(rows), Times())
        if self._before is None or bool(self._before) == bool(proposals) or not times.seen(proposals):
            times.add(proposals, seconds)
        self._before = proposals
        if not proposals:
            return
        promised = self._promised(proposals)
        if times.pays:
            self._owed = 0.0
        else:
            times.since = CONSIDERED_EVERY  # it was a look whether things have changed
            self._owed = self._debt(times.of(0), seconds, tried)
        for right, judged in tried:
            fade = MEMORY**judged
            self._right, self._judged = fade * self._right + right, fade * self._judged + judged
            self._taken, self._foretold = fade * self._taken + right, fade * self._foretold + promised

    def _debt(self, plain: float, seconds: float, tried: Sequence[tuple[int, int]]) -> float:
        """What may be spent on probes after a round of one: less than nothing for what a short one really took."""
        if plain >= SHORT:
            return 0.0
        lost = seconds - plain * (1 + sum(right for right, _ in tried) / len(tried))
        return min(self._owed - min(lost, MOST_LOST * plain), 0.0)

    def _tokens(self, proposals: int) -> float:
        """Tokens of a row that a round is expected to give.

        A text that ends within a round takes fewer than the acceptance promises, and errors that come together leave
        more: what was taken of late says by how much.
        """
        return 1 + self._promised(proposals) * self._taken / self._foretold

    def _promised(self, proposals: int) -> float:
        """Proposals that are right one after the other, were each right with the same probability."""
        share = min(self.acceptance, 0.999)
        return share * (1 - share**proposals) / (1 - share)


class Times:
    """Seconds of rounds of one batch, by the number of proposals; and the `best` number, by its `gain` over none."""

    def __init__(self) -> None:
        self.best, self.gain, self.since = FIRST, 1.0, CONSIDERED_EVERY  # rounds since it was looked for
        self._kept: dict[int, deque[float]] = {}
        self._medians: dict[int, float] = {}  # kept up to date: they are asked for in every round

    def add(self, proposals: int, seconds: float) -> None:
        """One round more."""
        kept = self._kept.setdefault(proposals, deque(maxlen=KEPT))
        kept.append(seconds)
        self._medians[proposals] = sorted(kept)[len(kept) // 2]

    def seen(self, proposals: int) -> bool:
        """Whether such a round was timed."""
        return proposals in self._medians

    @property
    def pays(self) -> bool:
        """Whether the best number is worth it."""
        return self.gain > (WORTH if self._medians.get(0, SHORT) >= SHORT else WORTH_SHORT)

    @property
    def tried(self) -> bool:
        """Whether a round with proposals was timed."""
        return any(self._medians)

    def of(self, proposals: int) -> float:
        """Its median, else from the line between the kinds next to it, or on from the furthest one."""
        medians = self._medians
        if proposals in medians:
            return medians[proposals]
        below = max((count for count in medians if count < proposals), default=None)
        above = min((count for count in medians if count > proposals), default=None)
        if below is None:
            return medians[min(medians)]
        if above is not None:
            part = (proposals - below) / (above - below)
            return medians[below] + part * (medians[above] - medians[below])
        if len(medians) == 1:
            return medians[below] * (1 + 0.2 * (proposals - below))
        slope = (medians[below] - medians[min(medians)]) / (below - min(medians))
        return medians[below] + max(slope, 0.0) * (proposals - below)


def _kind(rows: int) -> int:
    """Batches of about the same size count as one kind: 1, 2, 3, 4, 6, 8, 12, 16, ..."""
    size = 1
    while size < rows:
        if size * 3 // 2 >= rows and size > 1:
            return size * 3 // 2
        size *= 2
    return size
