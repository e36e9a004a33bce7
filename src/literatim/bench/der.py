"""Diarization error rates, as NIST's md-eval counts them: missed speech, false alarms and speech of the wrong speaker.

Speakers of the hypothesis are mapped one to one to those of the reference so that most of the scored time is right.
Where several speak, each counts. Around each edge of the reference, `collar` seconds to both sides are not scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from literatim.needs import need
from literatim.types import Turn

Region = tuple[float, float]
"""Seconds, from and to."""


@dataclass(frozen=True)
class Errors:
    """Seconds of speakers: of the reference, missed, said to speak and silent, taken for another."""

    scored: float = 0.0
    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0

    @property
    def rate(self) -> float | None:
        """All errors over the time of the reference's speakers; None where nobody speaks in it."""
        return (self.missed + self.false_alarm + self.confusion) / self.scored if self.scored else None

    def __add__(self, other: Errors) -> Errors:
        """Both recordings."""
        return Errors(
            self.scored + other.scored,
            self.missed + other.missed,
            self.false_alarm + other.false_alarm,
            self.confusion + other.confusion,
        )

    def to_dict(self) -> dict[str, float | None]:
        """Seconds to the millisecond, and the rate."""
        names = ("scored", "missed", "false_alarm", "confusion")
        return {"der": self.rate, **{name: round(getattr(self, name), 3) for name in names}}


def errors(
    reference: Sequence[Turn],
    hypothesis: Sequence[Turn],
    collar: float = 0.0,
    regions: Sequence[Region] | None = None,
    *,
    skip_overlap: bool = False,
) -> Errors:
    """The errors within `regions`; where none are given, from the first edge of any turn to the last.

    With `skip_overlap` nothing is scored where several speakers of the reference speak.
    """
    if regions is None:
        edges = [time for turn in (*reference, *hypothesis) for time in (turn.start, turn.end)]
        regions = [(min(edges), max(edges))] if edges else []
    collars = [(time - collar, time + collar) for turn in reference for time in (turn.start, turn.end)]
    times = _times(reference, hypothesis, regions, collars if collar else [])
    if len(times) < 2:
        return Errors()
    middles, lengths = (times[1:] + times[:-1]) / 2, np.diff(times)
    ours, theirs = _active(reference, middles), _active(hypothesis, middles)  # (R, P), (H, P)
    asked = _within(middles, regions)
    mapped = _mapping(ours, theirs, lengths * asked)
    scored = asked & ~_within(middles, collars if collar else [])
    if skip_overlap:
        scored &= ours.sum(0) < 2
    weights = lengths * scored
    true, said = ours.sum(0), theirs.sum(0)
    right = sum((ours[one] & theirs[other] for one, other in mapped), np.zeros(len(middles), np.int64))
    return Errors(
        float((true * weights).sum()),
        float((np.maximum(true - said, 0) * weights).sum()),
        float((np.maximum(said - true, 0) * weights).sum()),
        float(((np.minimum(true, said) - right) * weights).sum()),
    )


def _times(
    reference: Sequence[Turn], hypothesis: Sequence[Turn], regions: Iterable[Region], collars: Iterable[Region]
) -> NDArray[np.float64]:
    """All times at which something begins or ends."""
    turns = [(turn.start, turn.end) for turn in (*reference, *hypothesis)]
    return np.unique(np.array([time for part in (*turns, *regions, *collars) for time in part], np.float64))


def _active(turns: Sequence[Turn], middles: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Who speaks at which of the times: (speakers, P)."""
    names = list(dict.fromkeys(turn.speaker for turn in turns))
    found = np.zeros((len(names), len(middles)), bool)
    for turn in turns:
        first, last = np.searchsorted(middles, (turn.start, turn.end))
        found[names.index(turn.speaker), first:last] = True
    return found


def _within(middles: NDArray[np.float64], regions: Iterable[Region]) -> NDArray[np.bool_]:
    found = np.zeros(len(middles), bool)
    for start, end in regions:
        first, last = np.searchsorted(middles, (start, end))
        found[first:last] = True
    return found


def _mapping(ours: NDArray[np.bool_], theirs: NDArray[np.bool_], weights: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of speakers, one to one, with the longest time together."""
    solve = need("scipy.optimize", "diarize", "counting diarization errors").linear_sum_assignment
    together = (ours * weights) @ theirs.T  # (R, H)
    rows, columns = solve(together, maximize=True)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))
