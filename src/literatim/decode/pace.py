"""How many tokens a draft should propose: what pays, from the times and the acceptance seen so far."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence

CHOICES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
KEPT = 7  # times of a kind of round that are remembered; their median counts
MEMORY = 0.98  # how much of the acceptance seen so far is left after another proposal
PROBE_SHARE = 0.01  # of the time, spent on looking whether speculation has come to pay


class Pace:
    """Always the same number of proposals; none by default."""

    def __init__(self, proposals: int = 0) -> None:
        self._proposals = proposals

    def proposals(self, rows: int, most: int) -> int:  # noqa: ARG002
        """How many to propose in the next round, of at most `most`."""
        return max(0, min(self._proposals, most))

    def saw(self, rows: int, proposals: int, seconds: float, tried: Sequence[tuple[int, int]]) -> None:
        """A round took so long; of each row, how many proposals were right, and how many were judged at all."""


class AdaptivePace(Pace):
    """The number that gives the most tokens a second, by the median times of rounds and the acceptance of late.

    Rounds of a kind not seen yet are thought to lie on a line through those that were. While speculation does not pay,
    a round of it is tried now and then, so seldom that it costs PROBE_SHARE of the time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._times: dict[int, dict[int, deque[float]]] = {}
        self._right, self._judged = 0.8 * 5, 5.0  # what is thought of a draft before anything was seen
        self._owed = 0.0  # seconds that may be spent on a probe

    @property
    def acceptance(self) -> float:
        """Probability that a proposal is right, those before it being right."""
        return self._right / self._judged

    def proposals(self, rows: int, most: int) -> int:
        """Plain rounds and the first choice are timed before anything is decided."""
        allowed = [choice for choice in CHOICES if choice <= most]
        if not allowed:
            return 0
        times = self._times.get(rows, {})
        if 0 not in times:
            return 0
        middle = min(allowed, key=lambda choice: abs(choice - 4))
        if len(times) == 1 and self._right >= 0.5 * self._judged:
            return middle
        best = max(allowed, key=lambda choice: self._speed(rows, choice))
        plain = self._time(rows, 0)
        if self._speed(rows, best) > self._speed(rows, 0):
            if len(times[0]) < KEPT and sum(len(kept) for kept in times.values()) % 8 == 7:
                return 0  # one plain time may have been an odd one
            return best
        self._owed += PROBE_SHARE * plain
        cost = self._time(rows, best) - self._tokens(best) * plain
        return best if self._owed > max(cost, 0.25 * plain) else 0

    def saw(self, rows: int, proposals: int, seconds: float, tried: Sequence[tuple[int, int]]) -> None:
        """Remember it."""
        self._times.setdefault(rows, {}).setdefault(proposals, deque(maxlen=KEPT)).append(seconds)
        for right, judged in tried:
            if judged:
                fade = MEMORY**judged
                self._right, self._judged = fade * self._right + right, fade * self._judged + judged
        if proposals:
            self._owed = 0.0

    def _tokens(self, proposals: int) -> float:
        """Tokens of a row that a round is expected to give."""
        share = min(self.acceptance, 0.999)
        return (1 - share ** (proposals + 1)) / (1 - share)

    def _speed(self, rows: int, proposals: int) -> float:
        return self._tokens(proposals) / max(self._time(rows, proposals), 1e-9)

    def _time(self, rows: int, proposals: int) -> float:
        """Seconds of a round: its median, else from the line through the rounds seen."""
        times = self._times[rows]
        if proposals in times:
            return statistics.median(times[proposals])
        seen = {count: statistics.median(kept) for count, kept in times.items()}
        if len(seen) == 1:
            return seen[0] * (1 + 0.2 * proposals)
        below = max((count for count in seen if count < proposals), default=None)
        above = min((count for count in seen if count > proposals), default=None)
        if below is not None and above is not None:
            part = (proposals - below) / (above - below)
            return seen[below] + part * (seen[above] - seen[below])
        slopes = statistics.linear_regression(list(seen), list(seen.values()))
        return max(slopes.slope * proposals + slopes.intercept, seen[max(seen)] if below is not None else 0.0)
