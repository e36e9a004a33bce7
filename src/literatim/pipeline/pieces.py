"""What the tokens of a window say: its segments, and how far the next window is.

Frames are mel frames of 10 ms; timestamp tokens count steps of 20 ms from the window's start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from literatim.types import Word

FRAMES_PER_SECOND = 100
FRAME_SECONDS = 0.01
FRAMES_PER_STEP = 2
STEP_SECONDS = 0.02


@dataclass(frozen=True)
class Piece:
    """A segment of one window: times in seconds of the recording, tokens with their timestamps, text."""

    start: float
    end: float
    tokens: tuple[int, ...]
    text: str = ""
    words: tuple[Word, ...] | None = None
    repeats: int = 0  # of its last words, which were cut


@dataclass(frozen=True)
class Window:
    """`frames` mel frames of the recording from frame `seek`."""

    seek: int
    frames: int

    @property
    def begin(self) -> float:
        """Seconds."""
        return self.seek / FRAMES_PER_SECOND


def split(
    tokens: Sequence[int], window: Window, timestamp_begin: int, timestamp_end: int | None = None
) -> tuple[list[Piece], int]:
    """The segments that `tokens` of a window describe, and how many frames to go on by.

    Two timestamps in a row part two segments. When the last token is a lone timestamp, speech ends there and the
    whole window is done; otherwise the next window starts where the last complete segment ended. Ids from
    `timestamp_end` on were added to the vocabulary later and are words.
    """
    stamps = [timestamp_begin <= token and (timestamp_end is None or token < timestamp_end) for token in tokens]
    single_ending = ends_single(tokens, timestamp_begin, timestamp_end)
    cuts = [index for index in range(1, len(tokens)) if stamps[index - 1] and stamps[index]]
    begin = window.begin
    if not cuts:
        times = [token for token, stamp in zip(tokens, stamps, strict=True) if stamp]
        # one closing timestamp other than the window's start tells where the only segment ends
        has_end = bool(times) and times[-1] != timestamp_begin
        last = times[-1] - timestamp_begin if has_end else None
        end = begin + (window.frames / FRAMES_PER_SECOND if last is None else last * STEP_SECONDS)
        return [Piece(begin, end, tuple(tokens))], window.frames
    if single_ending:
        cuts.append(len(tokens))
    pieces, first = [], 0
    for cut in cuts:
        part = tuple(tokens[first:cut])
        opening, closing = (part[0] - timestamp_begin), (part[-1] - timestamp_begin)
        pieces.append(Piece(begin + opening * STEP_SECONDS, begin + closing * STEP_SECONDS, part))
        first = cut
    if single_ending:
        return pieces, window.frames
    return pieces, (tokens[first - 1] - timestamp_begin) * FRAMES_PER_STEP


def ends_single(tokens: Sequence[int], timestamp_begin: int, timestamp_end: int | None = None) -> bool:
    """Whether the last token is a timestamp and the one before is none: no speech follows in the window."""
    stamps = [timestamp_begin <= token and (timestamp_end is None or token < timestamp_end) for token in tokens[-2:]]
    return stamps == [False, True]


def settled(tokens: Sequence[int], timestamp_begin: int, timestamp_end: int) -> Sequence[int]:
    """The tokens of a window without those that the next one says again, as transformers keeps them.

    The timestamp at which the next window begins is the last of them.
    """
    stamps = [timestamp_begin <= token < timestamp_end for token in tokens]
    cuts = [index for index in range(1, len(tokens)) if stamps[index - 1] and stamps[index]]
    return tokens if not cuts or ends_single(tokens, timestamp_begin, timestamp_end) else tokens[: cuts[-1] + 1]


def end_of(pieces: Sequence[Piece]) -> float | None:
    """When the last word ends, in seconds; without any word when the last piece does, None without a piece."""
    ends = [word.end for piece in pieces for word in piece.words or ()]
    return ends[-1] if ends else pieces[-1].end if pieces else None
