"""Dictations: windows that overlap, cut by the clock; their steps put together, then collapsed to words.

The windows are those of transformers' speech pipeline with `chunk_length_s=20, stride_length_s=2`, as MedASR's model
card (huggingface.co/google/medasr) uses it: what two windows share is said by each in the half farther from its edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from literatim.audio.chunks import Chunk, Timeline
from literatim.audio.mel import SAMPLE_RATE
from literatim.audio.strides import Overlapping, Strider, Strides
from literatim.decode.ctc import Steps, Token, collapse
from literatim.errors import OptionError
from literatim.options import TranscribeOptions
from literatim.pipeline.listener import Listener
from literatim.pipeline.reading import Channel, Job, Pending, Reading
from literatim.pipeline.safeguards import compression_ratio
from literatim.pipeline.stretches import Settings, Stretches, is_search
from literatim.text.medasr import MARKUP_WORDS, Spoken
from literatim.types import Segment, Speculation, Word

LANGUAGE = "en"
CHUNK, STRIDE = 20.0, 2.0  # seconds
LONGEST = 120.0  # seconds of a window
PAUSE = 1.5  # seconds without a word that end a segment
LONG = 30.0  # seconds after which a segment ends at the next word
ENDS = frozenset({"{period}", "{question mark}", "{exclamation mark}", "{exclamation point}"})
BREAKS = frozenset({"{new paragraph}", "{new line}"})


@dataclass
class Window:
    """A part of a channel that is heard at once."""

    key: int
    channel: int
    number: int
    chunk: Overlapping
    timeline: Timeline | None = None
    speculation: Speculation | None = None
    remarks: tuple[str, ...] = ()
    done: float = 0.0

    @property
    def duration(self) -> float:
        """Seconds of its samples."""
        return len(self.chunk.samples) / SAMPLE_RATE

    def seconds(self, time: float, *, closing: bool = False) -> float:  # noqa: ARG002 (nothing is left out of it)
        """Seconds of the recording for seconds of its samples."""
        return self.chunk.start / SAMPLE_RATE + time


@dataclass(frozen=True, eq=False)
class Heard:
    """What a window says: only those of its steps that no neighbour says."""

    track: Window
    steps: Steps
    segments: tuple[Segment, ...] = ()
    finished: bool = True


def run(listener: Listener, windows: Iterable[Window], options: TranscribeOptions) -> Iterator[Heard]:
    """Hear windows, up to `options.rows` at a time."""
    waiting = iter(windows)
    while some := list(islice(waiting, options.rows)):
        heard = listener.hear([window.chunk.samples for window in some], whole=is_search(options))
        for window, steps in zip(some, heard, strict=True):
            yield Heard(window, _kept(window.chunk, steps, listener.step_samples))


def strides(listener: Listener, options: TranscribeOptions) -> Strides:
    """Windows of whole steps. Raises OptionError for those that do not cover a recording."""
    step = listener.step_samples
    seconds = CHUNK if options.chunk_length_s is None else options.chunk_length_s
    shared = (STRIDE,) if options.stride_length_s is None else options.strides
    made = Strides.of(seconds, shared, round(LONGEST * SAMPLE_RATE))
    chunk, left, right = (round(count / step) * step for count in (made.chunk, made.left, made.right))
    if chunk <= left + right:
        raise OptionError(f"chunk_length_s {seconds:g} leaves nothing between its strides; make it longer")
    lacking = chunk // step - listener.steps(chunk)  # steps that would reach over a window's end
    if right < lacking * step:
        least = lacking * step / SAMPLE_RATE
        raise OptionError(f"stride_length_s is too short: what a window shares must be {least:g} s at least")
    return Strides(chunk, left, right)


class Dictations(Reading[Window]):
    """Windows for the network, of one recording or many, and what comes of them."""

    def __init__(self, listener: Listener, job: Job, audios: Iterable[tuple[object, float | None]]) -> None:
        super().__init__(job, audios)
        self._listener, self._strides = listener, strides(listener, job.text)
        self._settings = Settings.of(listener, job.text) if is_search(job.text) else None

    def tracks(self) -> Iterator[Window]:
        """Every window of every recording that can be read, in order."""
        yield from self._each(self._chunks)

    @property
    def _language(self) -> str | None:
        return LANGUAGE

    def _parted(self, channel: Channel) -> Strider:
        searching = Stretches(self._settings) if self._settings else None
        channel.stitcher = Writer(self._listener, self._job.text.word_timestamps, searching)
        return Strider(self._strides)

    def _chunk(self, pending: Pending, channel: int, chunk: Chunk | Overlapping) -> Window:
        assert isinstance(chunk, Overlapping)
        found = pending.channels[channel]
        window = Window(pending.index, channel, found.parts, chunk)
        found.parts += 1
        return window


def _kept(chunk: Overlapping, steps: Steps, step: int) -> Steps:
    """From the middle of what is shared with the one before to the middle of what is shared with the one after."""
    stop = len(steps) if chunk.last else (len(chunk.samples) - chunk.right) // step
    return steps.part(chunk.left // step, stop)


class Writer:
    """The segments of one channel from its windows, which come in order.

    A segment is told once nothing that may follow can change it, and is forgotten then.
    """

    def __init__(self, listener: Listener, with_words: bool, searching: Stretches | None = None) -> None:
        self._tokenizer, self._blank, self._with_words = listener.tokenizer, listener.config.blank, with_words
        self._step = listener.step_samples / SAMPLE_RATE
        # a step is told at the middle of the sound that it is made of
        self._offset = (listener.reach / SAMPLE_RATE - self._step) / 2
        self._steps, self._first = Steps.joined([]), 0  # those not told yet, and the number of their first
        self._searching = searching
        self._found: list[Token] = []  # by the search, and not told yet
        self._end = 0.0  # seconds that were heard

    def expect(self, chunk: Overlapping) -> None:
        """Windows come in order: there is nothing to be kept."""

    def take(self, heard: Heard) -> list[Segment]:
        """A window more; the segments that are whole now."""
        self._end = heard.track.seconds(heard.track.duration)
        last = heard.track.chunk.last
        tokens = self._tokens(heard.steps, last)
        words = self._tokenizer.words([token.id for token in tokens])
        lengths = self._lengths(words, tokens)
        told: list[Segment] = []
        at = 0
        for length in lengths:
            # what a word is, and whether a segment ends before it, is known once so many more are there
            if not last and at + length + MARKUP_WORDS >= len(words):
                break
            own = words[at : at + length]
            told.append(self._segment(own, tokens))
            at += length
        if at:
            self._forget(tokens, words[at - 1].last)
        return told

    def _tokens(self, steps: Steps, last: bool) -> list[Token]:
        """All tokens that are not told yet."""
        if self._searching is not None:
            self._found += self._searching.take(steps, last=last)
            return self._found
        self._steps = Steps.joined([self._steps, steps])
        return collapse(self._steps, self._blank, self._first)

    def _forget(self, tokens: Sequence[Token], told: int) -> None:
        if self._searching is not None:
            self._found = self._found[told:]
            return
        cut = tokens[told - 1].end
        self._steps, self._first = self._steps.part(cut - self._first, len(self._steps)), cut

    def _lengths(self, words: Sequence[Spoken], tokens: Sequence[Token]) -> list[int]:
        """How many words each segment has."""
        firsts = [0] if words else []
        for at in range(1, len(words)):
            before, word = words[at - 1], words[at]
            start = tokens[word.first].start
            pause = (start - tokens[before.last - 1].end) * self._step
            length = (start - tokens[words[firsts[-1]].first].start) * self._step
            ended = before.text[1:] in ENDS | BREAKS and word.text[1:] not in BREAKS
            apart = word.first >= before.last  # no token is in both
            if apart and (ended or word.text.startswith(" [") or pause >= PAUSE or length >= LONG):
                firsts.append(at)
        return [stop - start for start, stop in pairwise([*firsts, len(words)])]

    def _segment(self, words: Sequence[Spoken], tokens: Sequence[Token]) -> Segment:
        own = tokens[words[0].first : words[-1].last]
        text = "".join(word.text for word in words)
        start, end = self._time(own[0].start), self._time(own[-1].end)
        return Segment(
            id=0,  # counted by the channel
            seek=round(start * 100),
            start=start,
            end=end,
            text=text,
            tokens=tuple(token.id for token in own),
            temperature=0.0,
            avg_logprob=sum(token.logprob for token in own) / len(own),
            compression_ratio=compression_ratio(text),
            no_speech_prob=0.0,  # a step without speech is a blank: there is nothing to be told of a whole window
            words=tuple(self._word(word, tokens) for word in words) if self._with_words else None,
        )

    def _word(self, word: Spoken, tokens: Sequence[Token]) -> Word:
        own = tokens[word.first : word.last]
        steps = sum(token.end - token.start for token in own)
        mean = sum(token.logprob * (token.end - token.start) for token in own) / steps
        return Word(word.text, self._time(own[0].start), self._time(own[-1].end), math.exp(mean))

    def _time(self, step: int) -> float:
        """Seconds of the recording at which a step begins."""
        return round(min(self._end, max(0.0, step * self._step + self._offset)), 3)
