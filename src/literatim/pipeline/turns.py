"""From windows to turns: whose each moment of speech is, and where one speaker ends and another begins.

The likeliest course of speakers (Viterbi, 1967): a moment is the nearer to a speaker the nearer the windows around it
are, and each change costs something, less where it is quiet.

Letters of shapes: N windows, K speakers, T steps of STEP samples of speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from literatim.audio.decode import SAMPLE_RATE
from literatim.audio.vad import Span

Floats = NDArray[np.float32]

STEP = SAMPLE_RATE // 20  # samples, 50 ms
FRAME = 160  # samples between two frames of features
CHANGE = 0.15  # what a change of speaker costs, in seconds of cosine
QUIET = 0.2  # the part of it that is left where it is quiet
RANGE = 20.0  # decibels below the loudest near it from which a step is quiet
NEAR = 10  # steps to either side among which the loudest is looked for
JOINED = round(0.25 * SAMPLE_RATE)  # pauses of one speaker that are no end of the turn
SHORTEST = round(0.25 * SAMPLE_RATE)  # of a turn right beside another's


@dataclass(frozen=True, eq=False)
class Speaking:
    """Spans of speech and windows of them in samples, the power of each step of each span, cosines (N, K)."""

    spans: Sequence[Span]
    windows: Sequence[Span]
    loudness: Sequence[Floats]
    cosines: Floats


@dataclass(frozen=True)
class Stretch:
    """Samples that are one speaker's, by number."""

    start: int
    end: int
    speaker: int


def spoken(heard: Speaking) -> list[Stretch]:
    """Whose each span is, in order; one is parted where its speaker changes."""
    path = likeliest(scores(heard), change_costs(heard))
    found: list[Stretch] = []
    first = 0
    for (start, end), powers in zip(heard.spans, heard.loudness, strict=True):
        own = path[first : first + len(powers)]
        first += len(powers)
        edges = [0, *(np.flatnonzero(np.diff(own)) + 1).tolist(), len(own)]
        found += [
            Stretch(start + one * STEP, min(start + other * STEP, end), int(own[one])) for one, other in pairwise(edges)
        ]
    return joined(without_short(joined(found)))


def scores(heard: Speaking) -> Floats:
    """How near each step is to each speaker, (T, K): by its windows, most by those in whose middle it lies."""
    counts = np.array([len(powers) for powers in heard.loudness])
    firsts = np.concatenate([[0], np.cumsum(counts)])
    total, weight = np.zeros((firsts[-1], heard.cosines.shape[1]), np.float32), np.zeros(firsts[-1], np.float32)
    starts, ends = np.array(heard.windows).T
    begins = np.array([start for start, _ in heard.spans])
    span = np.searchsorted(begins, starts, side="right") - 1
    first = firsts[span] + (starts - begins[span]) // STEP
    # windows begin on frames: the last of a span may end up to one before it
    last = np.minimum(firsts[span] + -(-(ends + FRAME - 1 - begins[span]) // STEP), firsts[span + 1])
    for at in range(int((last - first).max())):
        own = first + at < last
        far = np.abs(2 * at + 1 - (last - first)[own]) / (last - first)[own]  # 0 in the middle, near 1 at the ends
        part = (1.02 - far).astype(np.float32)
        np.add.at(total, (first + at)[own], part[:, None] * heard.cosines[own])
        np.add.at(weight, (first + at)[own], part)
    return (total / weight[:, None]).astype(np.float32)


def change_costs(heard: Speaking) -> Floats:
    """What a change of speaker before each step costs, (T,): least where it is quiet and where a span begins."""
    costs = []
    for powers in heard.loudness:
        level = 10 * np.log10(powers + 1e-10)
        padded = np.pad(level, NEAR, constant_values=-np.inf)
        loudest = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEAR + 1).max(-1)
        cost = np.clip(1 - (loudest - level) / RANGE, QUIET, 1)
        cost[0] = QUIET
        costs.append(cost)
    return (CHANGE * np.concatenate(costs)).astype(np.float32)


def likeliest(near: Floats, costs: Floats) -> NDArray[np.int64]:
    """The speaker of each step (T,): the course with the largest sum of (T, K) seconds of cosine, less its changes."""
    steps, speakers = near.shape
    gains = near * (STEP / SAMPLE_RATE)
    came = np.empty((steps, speakers), np.int16)
    best, stay = gains[0].astype(np.float64), np.arange(speakers)
    for at in range(1, steps):
        top = int(best.argmax())
        change = best[top] - costs[at]
        came[at] = np.where(best >= change, stay, top)
        best = np.maximum(best, change) + gains[at]
    path = np.empty(steps, np.int64)
    path[-1] = best.argmax()
    for at in range(steps - 1, 0, -1):
        path[at - 1] = came[at, path[at]]
    return path


def joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """The same, with neighbours of one speaker made one where little lies between them."""
    found: list[Stretch] = []
    for stretch in stretches:
        if found and found[-1].speaker == stretch.speaker and stretch.start - found[-1].end <= JOINED:
            found[-1] = Stretch(found[-1].start, stretch.end, stretch.speaker)
        else:
            found.append(stretch)
    return found


def without_short(stretches: Sequence[Stretch]) -> list[Stretch]:
    """The same, with what is too short to be a turn given to the longer of the speakers right beside it."""
    found: list[Stretch] = []
    for at, one in enumerate(stretches):
        stretch = one
        beside = [found[-1]] if found and found[-1].end == stretch.start else []
        beside += [after for after in stretches[at + 1 : at + 2] if after.start == stretch.end]
        if stretch.end - stretch.start < SHORTEST and beside:
            longer = max(beside, key=lambda near: near.end - near.start)
            stretch = Stretch(stretch.start, stretch.end, longer.speaker)
        found.append(stretch)
    return found
