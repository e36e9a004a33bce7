"""Subtitles from segments and their words: which words stand in which line of which cue (openai/whisper's utils.py)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from literatim.options import SubtitleOptions
from literatim.types import Segment, Transcript, Word

PAUSE = 3.0  # seconds without a word, after which a cue of several segments ends
BREAKS = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")  # what str.splitlines splits at
ENDLESS = 1000  # characters or words, where there is no limit


@dataclass(frozen=True)
class Cue:
    """Text from `start` to `end`, in seconds; `words` keep their spaces and line breaks, one of them may be marked."""

    start: float
    end: float
    words: tuple[str, ...]
    speaker: str | None = None
    marked: int | None = None

    def text(self, escape: Callable[[str], str]) -> str:
        """All words, each as `escape` writes it; the marked one is underlined."""
        written = [escape(word) for word in self.words]
        if self.marked is not None:
            written[self.marked] = re.sub(r"^(\s*)(.*)$", r"\1<u>\2</u>", written[self.marked])
        return "".join(written)


def line(text: str) -> str:
    """The text on one line, stripped; every other character is kept."""
    return " ".join(part.strip() for part in text.splitlines() if part.strip())


def cues(transcript: Transcript, options: SubtitleOptions) -> Iterator[Cue]:
    """All cues in their order. A segment without words is one; one without text is none."""
    for words, speaker in _groups(transcript.segments, options):
        whole = Cue(words[0].start, words[-1].end, tuple(word.word for word in words), speaker)
        if options.highlight_words:
            yield from _highlighted(whole, words)
        else:
            yield whole


def _highlighted(cue: Cue, words: list[Word]) -> Iterator[Cue]:
    """The cue again for each word while it is said, and for the time between them."""
    last = cue.start
    for at, word in enumerate(words):
        if round(1000 * last) != round(1000 * word.start):
            yield replace(cue, start=last, end=word.start)
        yield replace(cue, start=word.start, end=word.end, marked=at)
        last = word.end


def _groups(segments: tuple[Segment, ...], options: SubtitleOptions) -> Iterator[tuple[list[Word], str | None]]:
    """The words of each cue, with a line break before those that begin a line, and who says them.

    With both a width and a number of lines, a cue goes on over the ends of segments.
    """
    width, lines = options.max_line_width, options.max_line_count
    by_segment, most = width is None or lines is None, options.max_words_per_line or ENDLESS
    group: list[Word] = []
    length, count, last, speaker = 0, 1, 0.0, None
    for segment, place, word in _words(segments):
        paused = bool(group) and not by_segment and word.start - last > PAUSE
        parted = bool(group) and (place % most == 0 if by_segment else segment.speaker != speaker)
        has_room = length + len(word.word) <= (width or ENDLESS)
        if length > 0 and has_room and not paused and not parted:
            text = word.word
            length += len(text)
        else:
            text = word.word.strip()
            if parted or (group and lines is not None and (paused or count >= lines)):
                yield group, speaker
                group, count = [], 1
            elif length > 0:
                count, text = count + 1, f"\n{text}"
            length = len(text.strip())
        group.append(replace(word, word=text))
        last, speaker = word.start, segment.speaker
    if group:
        yield group, speaker


def _words(segments: tuple[Segment, ...]) -> Iterator[tuple[Segment, int, Word]]:
    """Each word with its segment and its place in it."""
    for segment in segments:
        text = line(segment.text)
        if text:
            for place, word in enumerate(segment.words or [Word(text, segment.start, segment.end, 1.0)]):
                yield segment, place, replace(word, word=BREAKS.sub(" ", word.word))
