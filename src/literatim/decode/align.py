"""When the tokens of a text were said: from cross-attention to the frame in which each of them begins.

The way of openai/whisper's timing.py: attention of the alignment heads, told apart over the tokens, smoothed over time,
averaged over the heads, and dynamic time warping through it. The path is the same as there, ties included.

Letters of shapes: A heads, K fed tokens, N text tokens and the end, S encoder steps of 20 ms.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from literatim.native import library
from literatim.native.library import Library

STEP_SECONDS = 0.02
MEDIAN_WIDTH = 7  # steps; WhisperConfig.median_filter_width of every released model
# Which of seven are exchanged, pair by pair, where the first is greater: the fourth is the median then
# (N. Devillard, Fast median search: an ANSI C implementation, 1998).
# fmt: off
_EXCHANGES = (
    (0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4),
)
# fmt: on


def attended(scores: Tensor, steps: int) -> Tensor:
    """How much each token attends to each step beyond what the others do: (K, S') of `scores` (A, K, S).

    `scores` are float32 on the CPU, before the softmax; S' are the first `steps`, those that hold sound. Steps that all
    tokens attend to alike say nothing and become 0; openai/whisper divides by zero there.
    """
    heads, fed, _ = scores.shape
    room = torch.empty(MEDIAN_WIDTH + 1, fed, steps)
    total = torch.zeros(fed, steps)
    for head in scores:
        total += sharpened(head[:, :steps].softmax(-1), room)
    mean: Tensor = total / heads
    return mean


def sharpened(attention: Tensor, room: Tensor | None = None) -> Tensor:
    """A head's attention (K, S): z-scores over the tokens, median over time; `attention` and `room` are written to."""
    attention -= attention.mean(0)
    deviation = torch.linalg.vector_norm(attention, dim=0) / math.sqrt(len(attention))
    return median(attention.div_(deviation.masked_fill_(deviation == 0, 1)), room)


def median(values: Tensor, room: Tensor | None = None) -> Tensor:
    """(K, S): the median of each step and the three on either side, mirrored at the ends; fewer than four stay.

    `room` (MEDIAN_WIDTH + 1, K, S) is written to, and what is returned may be a part of it.
    """
    half, count = MEDIAN_WIDTH // 2, values.shape[-1]
    if count <= half:
        return values
    padded = torch.cat([values[:, 1 : half + 1].flip(1), values, values[:, -half - 1 : -1].flip(1)], 1)
    *lanes, spare = values.new_empty(MEDIAN_WIDTH + 1, *values.shape) if room is None else room
    for at, lane in enumerate(lanes):
        lane.copy_(padded[:, at : at + count])
    for low, high in _EXCHANGES:  # in the memory that is there: new memory costs more than the work
        least = torch.minimum(lanes[low], lanes[high], out=spare)
        torch.maximum(lanes[low], lanes[high], out=lanes[high])
        lanes[low], spare = least, lanes[low]
    middle: Tensor = lanes[half]
    return middle


def warp(scores: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the path with the largest sum of `scores` (N, S), from the first cell to the last.

    A path goes on by a row, a column or both. Sums are float32, as in openai/whisper, and of two equal ways it takes
    the one that openai/whisper takes.
    """
    kernels = library.find()
    path = _path(scores) if kernels is None else _path_by_kernels(kernels, scores)
    return path[::-1, 0], path[::-1, 1]


def _path_by_kernels(kernels: Library, scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows and columns (P, 2), from the last cell to the first."""
    rows, columns = scores.shape
    scores, path = np.ascontiguousarray(scores, np.float32), np.empty((rows + columns, 2), np.int64)
    sums, ways = np.empty(columns + 1, np.float32), np.empty((rows, columns), np.int8)
    count = kernels.warp(scores.ctypes.data, rows, columns, sums.ctypes.data, ways.ctypes.data, path.ctypes.data)
    return path[:count]


def _path(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """As `_path_by_kernels`, where there are none."""
    rows, columns = scores.shape
    costs = _costs(-scores)
    found, row, column = [], rows, columns
    while row > 0 or column > 0:
        found.append((row - 1, column - 1))
        at = row + column
        both, down, along = costs[at - 2, row - 1], costs[at - 1, row - 1], costs[at - 1, row]
        if both < down and both < along:
            row, column = row - 1, column - 1
        elif down < both and down < along:
            row -= 1
        else:
            column -= 1
    return np.array(found, np.int64).reshape(-1, 2)


def _costs(costs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The least sum on the way to each cell: that of row i and column j, counted from 1, is in [i + j, i].

    So the cells of a diagonal, which do not need each other, lie side by side.
    """
    rows, columns = costs.shape
    sums = np.full((rows + columns + 1, rows + 1), np.inf, np.float32)
    sums[0, 0] = 0
    along = np.zeros((rows + columns, rows), np.float32)  # [i + j, i], counted from 0
    row, column = np.indices(costs.shape, np.int32)
    along[row + column, row] = costs
    for at in range(2, rows + columns + 1):
        low, high = max(1, at - columns), min(rows, at - 1) + 1
        both, down = sums[at - 2, low - 1 : high - 1], sums[at - 1, low - 1 : high - 1]
        right, least = sums[at - 1, low:high], np.minimum(both, down)
        chosen = np.where((least < right) & (both != down), least, right)
        np.add(along[at - 2, low - 1 : high - 1], chosen, out=sums[at, low:high])
    return sums


def starts(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The step (N,) in which the path through `scores` (N, S) enters each row."""
    rows, columns = warp(scores)
    return columns[np.diff(rows, prepend=-1) > 0]
