"""Chunks that overlap to one text, as transformers' speech pipeline puts them together (`chunk_length_s`).

Its rules (transformers, models/whisper/tokenization_whisper.py, `_decode_asr`): timestamps that lie in the overlap of
two chunks part no segments; the tokens on both sides are held back until a timestamp outside of it ends the segment,
and are then joined where they are most alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

POSITIONS = 1500  # of the encoder, in every released Whisper


@dataclass(frozen=True)
class Chunk:
    """What was said in one chunk, and seconds: its length, and its overlaps.

    Tokens are text and timestamps. Where these fall, a window more of the chunk begins: they count from there.
    """

    tokens: Sequence[int]
    seconds: float
    left: float
    right: float


@dataclass(frozen=True)
class Stretch:
    """Text tokens with their times in seconds of the recording; the last may have no end, or no times at all.

    They come from the chunks `first` to `last`, counted from 0.
    """

    start: float | None
    end: float | None
    tokens: tuple[int, ...]
    first: int
    last: int


def join(parts: Sequence[Sequence[int]]) -> list[int]:
    """Sequences that overlap, each with the next, as one: cut in the middle of where two are most alike.

    Every overlap of two is rated by the share of equal tokens at equal places, long ones a little higher; one equal
    token alone is taken for chance.
    """
    whole, left = [], list(parts[0])
    for right in parts[1:]:
        best, (cut, resume) = 0.0, (len(left), 0)
        for reach in range(1, len(left) + len(right)):
            start, stop = max(0, len(left) - reach), min(len(left), len(left) + len(right) - reach)
            other, end = max(0, reach - len(left)), min(len(right), reach)
            equal = sum(one == two for one, two in zip(left[start:stop], right[other:end], strict=True))
            rating = equal / reach + reach / 10_000
            if equal > 1 and rating > best:
                best, (cut, resume) = rating, ((start + stop) // 2, (other + end) // 2)
        whole += left[:cut]
        left = list(right[resume:])
    return whole + left


@dataclass
class _Clock:
    """Seconds of a chunk from those of its windows, as far as transformers knows where these begin."""

    latest: float = 0.0
    before: float = 0.0  # the one before the latest
    begins: float = 0.0

    def at(self, seconds: float, parted: bool, window: float) -> float:
        """A timestamp of the window under way, or of the next; `parted`: two stood before it, or nothing did."""
        if seconds < self.latest:
            if parted:
                self.latest = self.before
            self.begins += self.before if parted else window
        self.before, self.latest = self.latest, seconds
        return self.begins + seconds


class Seam:
    """Chunks of a recording in their order to its text; a timestamp token counts `step` seconds.

    Ids from `timestamp_end` on were added to the vocabulary later and are words.
    """

    def __init__(self, timestamp_begin: int, timestamp_end: int, step: float) -> None:
        self._timestamp_begin, self._timestamp_end, self._step = timestamp_begin, timestamp_end, step
        self._offset, self._number = 0.0, -1  # where the chunk begins in seconds, and which it is
        self._first = 0  # chunk of the stretch that is open
        self._start: float | None = None  # of that stretch, where a timestamp began it
        self._parts: list[list[int]] = []  # its tokens, a sequence for each chunk
        self._skips = False  # the timestamp after one that was passed over begins what that one ended

    def add(self, chunk: Chunk) -> list[Stretch]:
        """The next chunk; the stretches that it ends."""
        self._offset -= chunk.left
        self._number += 1
        first = self._timestamp_begin + chunk.left / self._step
        last = self._last_to_keep(chunk)
        current, done, clock = list[int](), list[Stretch](), _Clock()
        for at, token in enumerate(chunk.tokens):
            if not self._is_stamp(token):
                current.append(token)
                continue
            parted = at < 2 or all(map(self._is_stamp, chunk.tokens[at - 2 : at]))
            seconds = clock.at((token - self._timestamp_begin) * self._step, parted, POSITIONS * self._step)
            if last is not None and token >= last:
                self._skips = True
            elif self._skips or (self._parts and token < first):
                self._skips = False
            else:
                time = round(seconds + self._offset, 2)
                if self._start is None:
                    self._start = time
                elif time != self._start:
                    done.append(self._closed(time, [*self._parts, current]))
                    current = []
        self._offset += chunk.seconds - chunk.right
        if current:
            self._first = self._first if self._parts else self._number
            self._parts.append(current)
        elif not any(self._parts):
            self._start, self._parts = None, []
        return done

    @property
    def open(self) -> bool:
        """Whether there is text that no timestamp has ended."""
        return bool(self._parts)

    def finish(self) -> list[Stretch]:
        """What no timestamp has ended."""
        return [self._closed(None, self._parts)] if self.open else []

    def _closed(self, end: float | None, parts: list[list[int]]) -> Stretch:
        first = self._first if self._parts else self._number
        made = Stretch(self._start, end, tuple(join(parts)), first, self._number)
        self._start, self._parts = None, []
        return made

    def _is_stamp(self, token: int) -> bool:
        return self._timestamp_begin <= token < self._timestamp_end

    def _last_to_keep(self, chunk: Chunk) -> int | None:
        """The first timestamp of the overlap at the right, or the chunk's last one: from there on none counts."""
        last = None
        stamps = list(filter(self._is_stamp, chunk.tokens)) if chunk.right else []
        for token in reversed(stamps):
            if last is not None and (token - self._timestamp_begin) * self._step < chunk.seconds - chunk.right:
                break
            last = token
        return last
