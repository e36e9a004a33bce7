"""How a recording is walked through window by window: a state machine without a model.

The seek rules are those of openai/whisper's `transcribe.py`. Frames are mel frames of 10 ms; timestamp tokens count
steps of 20 ms from the window's start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from literatim.types import Word

FRAME_SECONDS = 0.01
FRAMES_PER_STEP = 2
SAME = 3  # windows with the same text in a row are a loop

TextOf = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Piece:
    """A segment of one window: times in seconds of the recording, tokens with their timestamps, text."""

    start: float
    end: float
    tokens: tuple[int, ...]
    text: str = ""
    words: tuple[Word, ...] | None = None
    repeats: int = 0  # of its last words, which were cut


Cut = Callable[[Sequence[Piece]], list[Piece]]
"""Takes the repeats of a loop out of a window's pieces."""

Align = Callable[[Sequence[Piece], float], list[Piece]]
"""Gives pieces their words, from those and the end of the last word before them, in seconds."""


@dataclass(frozen=True)
class Window:
    """`frames` mel frames of the recording from frame `seek`."""

    seek: int
    frames: int


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
    begin = window.seek * FRAME_SECONDS
    if not cuts:
        times = [token for token, stamp in zip(tokens, stamps, strict=True) if stamp]
        # one closing timestamp other than the window's start tells where the only segment ends
        has_end = bool(times) and times[-1] != timestamp_begin
        last = times[-1] - timestamp_begin if has_end else None
        end = begin + (window.frames * FRAME_SECONDS if last is None else last * FRAMES_PER_STEP * FRAME_SECONDS)
        return [Piece(begin, end, tuple(tokens))], window.frames
    if single_ending:
        cuts.append(len(tokens))
    pieces, first = [], 0
    for cut in cuts:
        part = tuple(tokens[first:cut])
        opening, closing = (part[0] - timestamp_begin), (part[-1] - timestamp_begin)
        step = FRAMES_PER_STEP * FRAME_SECONDS
        pieces.append(Piece(begin + opening * step, begin + closing * step, part))
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


class Walk:
    """One recording's way: the next window, the prompt it is given, and where it goes on."""

    def __init__(
        self,
        total_frames: int,
        window_frames: int,
        initial_prompt: Iterable[int],
        conditioned: bool,
        reset_above: float = 0.5,
        *,
        carried: Sequence[int] = (),
        clips: Sequence[tuple[int, int]] = (),
    ) -> None:
        """`reset_above`: the temperature above which a window's text is no condition for the next.

        `carried` stands at the start of every window's prompt; `clips` are the frames [start, end) to walk through, by
        default all.
        """
        self._total, self._window_frames, self._conditioned = total_frames, window_frames, conditioned
        self._reset_above, self._carried, self.first = reset_above, list(carried), True
        self._clips = [(start, min(end, total_frames)) for start, end in clips or [(0, total_frames)]]
        self._seek = self._clips[0][0]
        self._settle()
        self._previous: list[int] = list(initial_prompt)
        self._forgotten = 0
        self._spoken = 0.0  # end of the last word, in seconds
        self._last_text: list[str] = []  # of the window before
        self._times = 0  # that it came in a row

    @property
    def seek(self) -> int:
        """Frames done; equal to the total when finished."""
        return min(self._seek, self._total) if self._clips else self._total

    @property
    def window(self) -> Window | None:
        """The window to decode next, None when the recording is done."""
        if not self._clips:
            return None
        return Window(self._seek, min(self._window_frames, self._clips[0][1] - self._seek))

    def _settle(self) -> None:
        """On to the next clip where this one is done."""
        while self._clips and self._seek >= self._clips[0][1]:
            self._clips.pop(0)
            if self._clips:
                self._seek = self._clips[0][0]

    def _go(self, frames: int) -> None:
        self._seek += frames
        self.first = False
        self._settle()

    def prompt(self, most: int) -> list[int]:
        """What is carried along, and the last tokens of what was said before, `most` together."""
        carried = self._carried[:most]
        left = most - len(carried)
        return carried + (self._previous[self._forgotten :][-left:] if left > 0 else [])

    def skip(self) -> None:
        """The window holds no speech."""
        window = self.window
        assert window is not None
        self._go(window.frames)

    def accept(
        self,
        tokens: Sequence[int],
        timestamp_begin: int,
        text_of: TextOf,
        timestamp_end: int | None = None,
        align: Align | None = None,
        temperature: float = 0.0,
        cut: Cut | None = None,
    ) -> list[Piece]:
        """Take a window's tokens: its segments that hold text, and on to the next window.

        With words, the next one begins where the last word ends, unless all of this one is done. With `cut`, a loop
        takes nothing from how far the next one is, and is no condition for it; nor is what `SAME` windows in a row
        have said.
        """
        window = self.window
        assert window is not None
        pieces, advance = split(tokens, window, timestamp_begin, timestamp_end)
        pieces = pieces if cut is None else cut(pieces)
        looped = any(piece.repeats for piece in pieces)
        if align is not None:
            pieces = align(pieces, self._spoken)
            ends = [word.end for piece in pieces for word in piece.words or ()]
            self._spoken = ends[-1] if ends else self._spoken
            last = round(ends[-1] / FRAME_SECONDS) - window.seek if ends else 0
            if last > 0 and not looped and not ends_single(tokens, timestamp_begin, timestamp_end):
                advance = last
        # a closing timestamp at the window's very start would never move on
        self._go(advance or window.frames)
        heard = []
        for piece in pieces:
            text = text_of(piece.tokens)
            if piece.start < piece.end and text.strip():
                heard.append(replace(piece, text=text))
                self._previous += piece.tokens
        stuck = looped or (cut is not None and self._again([piece.text for piece in heard]) >= SAME)
        if not self._conditioned or temperature > self._reset_above or stuck:
            self._forgotten = len(self._previous)
        return heard

    def _again(self, text: list[str]) -> int:
        """How many windows in a row had this text, the last one among them."""
        self._times = self._times + 1 if text and text == self._last_text else bool(text)
        self._last_text = text
        return self._times
