"""Loops in a window's segments: the repeats are cut, and the result says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate

from literatim.decode import loops
from literatim.pipeline.pieces import Piece
from literatim.types import Segment


def cut(pieces: Sequence[Piece], is_text: Callable[[int], bool]) -> list[Piece]:
    """The segments of a window without the repeats of a loop that their text ends in.

    What is said again and again is kept once, up to the end of a segment where one ends there; `repeats` of the
    last segment that is left are the times it was said after that.
    """
    # segments of no length are not told
    texts = [[token for token in piece.tokens if is_text(token)] * (piece.start < piece.end) for piece in pieces]
    said = [token for text in texts for token in text]
    loop = loops.find(said)
    if loop is None:
        return list(pieces)
    ends = list(accumulate(map(len, texts)))
    once = loop.start + loop.length
    # where no segment ends in the second time, it is cut as far into the words as they stop at the end
    whole = once + (len(said) - once) % loop.length
    last = next((end for end in ends if once <= end < once + loop.length), whole)
    at = next(number for number, end in enumerate(ends) if end >= last)
    kept = _first(pieces[at], last - ends[at] + len(texts[at]), is_text)
    return [*pieces[:at], replace(kept, repeats=(len(said) - last) // loop.length)]


def _first(piece: Piece, count: int, is_text: Callable[[int], bool]) -> Piece:
    """The segment with its first `count` text tokens; its timestamps stay."""
    tokens = []
    for token in piece.tokens:
        if not is_text(token):
            tokens.append(token)
        elif count:
            tokens.append(token)
            count -= 1
    return replace(piece, tokens=tuple(tokens))


def remarks(segments: Iterable[Segment]) -> list[str]:
    """What a reader should know of loops that were cut."""
    found = [f"{segment.start:.2f} s ({segment.repeats} repeats)" for segment in segments if segment.repeats]
    if not found:
        return []
    return [
        f"the model said the same again and again, which is kept once, in the segment{'s' * (len(found) > 1)} from "
        f"{', '.join(found)} on; what was said there may be lost. With cut_loops False the repeats stay"
    ]
