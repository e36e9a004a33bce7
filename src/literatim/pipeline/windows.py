"""How a recording is walked through window by window: a state machine without a model.

The seek rules are those of openai/whisper's `transcribe.py`, in mel frames of 10 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from literatim.pipeline import hallucinations
from literatim.pipeline.pieces import FRAMES_PER_SECOND, Piece, Window, end_of, ends_single, split

SAME = 3  # windows with the same text in a row are a loop

TextOf = Callable[[Sequence[int]], str]
Cut = Callable[[Sequence[Piece]], list[Piece]]
"""Takes the repeats of a loop out of a window's pieces."""

Align = Callable[[Sequence[Piece], float], list[Piece]]
"""Gives pieces their words, from those and the end of the last word before them, in seconds."""


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
        silence: float | None = None,
    ) -> None:
        """`reset_above`: the temperature above which a window's text is no condition for the next.

        `carried` stands at the start of every window's prompt; `clips` are the frames [start, end) to walk through, by
        default all. `silence`: what may be hallucinated, with so many seconds of silence beside it, is left out, where
        there are words.
        """
        self._total, self._window_frames, self._conditioned = total_frames, window_frames, conditioned
        self._reset_above, self._carried, self.first = reset_above, list(carried), True
        self._clips = [(start, min(end, total_frames)) for start, end in clips or [(0, total_frames)]]
        self._seek = self._clips[0][0]
        self._settle()
        self._previous: list[int] = list(initial_prompt)
        self._forgotten = 0
        self._silence = silence
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

    def _go(self, frames: int, window: Window) -> None:
        # a closing timestamp at the window's very start would never move on
        self._seek += frames if frames > 0 else window.frames
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
        self._go(window.frames, window)

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
            follow = not looped and not ends_single(tokens, timestamp_begin, timestamp_end)
            found = self._timed(align(pieces, self._spoken), window, advance, follow)
            if found is None:
                return []
            pieces, advance = found
        self._go(advance, window)
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

    def _timed(self, pieces: list[Piece], window: Window, advance: int, follow: bool) -> tuple[list[Piece], int] | None:
        """Pieces with words, without those that may be hallucinated, and how many frames to go on by.

        With `follow`, that is to the end of the last word. None where the window is left for another that begins later.
        """
        last = end_of(pieces)
        spoken = follow and last is not None and last > window.begin
        if last is not None and spoken:
            advance = round(last * FRAMES_PER_SECOND) - window.seek
        threshold = self._silence
        if threshold is not None:
            full = (window.seek + self._window_frames) / FRAMES_PER_SECOND
            if last is not None and spoken and full - last <= threshold:
                advance = window.frames
            gap = hallucinations.leading_silence(pieces, window, threshold)
            if gap:
                self._go(gap, window)
                return None
            pieces, further = hallucinations.without(pieces, window, self._spoken, threshold, full, self._total)
            advance = advance if further is None else further - window.seek
        last = end_of(pieces)
        self._spoken = self._spoken if last is None else last
        return pieces, advance

    def _again(self, text: list[str]) -> int:
        """How many windows in a row had this text, the last one among them."""
        self._times = self._times + 1 if text and text == self._last_text else bool(text)
        self._last_text = text
        return self._times
