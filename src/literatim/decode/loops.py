"""Loops: a text that ends in the same words over and over, found in its tokens.

A decoder that has come into a loop seldom gets out of it, so that only the end of a text is looked at. What people
repeat on purpose ("no, no, no") is mostly shorter than what counts as a loop here; a refrain that is really sung five
times at the end of a window is cut as well, and said to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TIMES = 5  # at least so often must the same be said in a row
LENGTH = 20  # and so many tokens must that be in all


@dataclass(frozen=True)
class Loop:
    """A text that from token `start` on says the same `length` tokens on and on, the last time perhaps in part."""

    start: int
    length: int
    times: int  # whole ones


def find(said: Sequence[int]) -> Loop | None:
    """The loop that a text ends in, by its shortest cycle."""
    for length in range(1, len(said) // TIMES + 1):
        same = 0
        while same + length < len(said) and said[-1 - same] == said[-1 - same - length]:
            same += 1
        span = same + length
        if span >= max(LENGTH, TIMES * length):
            return Loop(len(said) - span, length, span // length)
    return None
