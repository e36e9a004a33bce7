"""Sound to text while it comes in: a growing window is heard again and again, and what two hearings agree on is final.

Local agreement as in Machacek, Dabre and Bojar, "Turning Whisper into real-time transcription system" (2023,
arXiv:2307.14743), by whole segments: what is final is what the model says of one window, first segment by segment, so
that the final text can be had again from the recording (`Live.windows`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from literatim.audio import mel
from literatim.errors import AudioFormatError, OptionError
from literatim.options import LiveOptions, TranscribeOptions
from literatim.pipeline import loops
from literatim.pipeline import transcribe as pipeline
from literatim.pipeline.engine import Engine
from literatim.pipeline.reading import Voice
from literatim.types import LiveUpdate, Segment, Transcript

Run = Callable[[list[pipeline.Track], TranscribeOptions], Iterator[pipeline.Progress]]

SAME_END = 0.2  # seconds by which two hearings may differ over where a segment ends
KEPT = 0.5  # seconds of what was heard as silence that are heard once more: a word may begin there
SHORTEST = 0.1  # seconds
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff]")  # Thai, Lao, Burmese, kana, Han


@dataclass(frozen=True)
class LiveWindow:
    """Samples [start, stop) of the stream as one window, whose first `segments` segments became final."""

    start: int
    stop: int
    segments: int


@dataclass(frozen=True)
class _Hearing:
    """What the model says of the window so far: its segments, times in seconds of the window, and all of its text."""

    segments: tuple[Segment, ...]
    text: str
    samples: int

    def after(self, count: int, seconds: float, samples: int) -> _Hearing:
        """Without the first segments, from a later beginning on."""
        gone = "".join(segment.text for segment in self.segments[:count])
        left = tuple(_moved(segment, -seconds) for segment in self.segments[count:])
        return _Hearing(left, self.text[len(gone) :], self.samples - samples)


class Live:
    """One stream on its way to text, from `Recognizer.live`. `segments` are those that are final.

    Each window is decoded as a recording of its own, not conditioned on text before it; the language is the one that is
    heard where the first segment becomes final, if none is given. What is final depends on how much had come in
    at each hearing, thus on the pieces that `feed` is given; it is always the text of `windows`.
    """

    def __init__(self, engine: Engine, run: Run, options: TranscribeOptions, live: LiveOptions) -> None:
        self._engine, self._run = engine, run
        self._options = replace(options, condition_on_previous_text=False)
        self._step = round(live.live_step * mel.SAMPLE_RATE)
        self._window = engine.config.window_frames * mel.HOP_LENGTH
        self._held = np.empty(0, np.float32)
        self._start = 0  # samples of the stream before those held
        self._heard = 0  # samples of the stream that the last hearing had
        self._before: _Hearing | None = None
        self._voice: tuple[str, float] | None = None
        self._finished = False
        self.segments: list[Segment] = []
        self.windows: list[LiveWindow] = []

    @property
    def seconds(self) -> float:
        """How much has come in."""
        return (self._start + len(self._held)) / mel.SAMPLE_RATE

    @property
    def transcript(self) -> Transcript:
        """All that is final."""
        language, probability = self._voice or (self._options.language or "", 1.0)
        text = "".join(segment.text for segment in self.segments)
        warnings = tuple(loops.remarks(self.segments)) if self.segments else ("no speech was found",)
        return Transcript(text, language, probability, self.seconds, tuple(self.segments), warnings=warnings)

    def listen(self, chunks: Iterable[Any]) -> Iterator[LiveUpdate]:
        """Feed all chunks as they come, then finish."""
        for chunk in chunks:
            yield from self.feed(chunk)
        yield from self.finish()

    def feed(self, chunk: Any) -> Iterator[LiveUpdate]:
        """Take samples (n,) at 16 kHz: an array of floats with full scale 1, or int16, or the bytes of int16.

        The sound is taken at once; going through the updates does the work. Whatever has come in by then is heard in
        one go, so that a slow machine keeps up. Raises AudioFormatError or OptionError.
        """
        if self._finished:
            raise OptionError("this stream is finished; call live() for another")
        self._held = np.concatenate([self._held, _samples(chunk)])
        return self._updates()

    def finish(self) -> Iterator[LiveUpdate]:
        """The stream has ended: all of the rest becomes final, by the rules for a recording."""
        if not self._finished:
            self._finished = True
            yield from self._full_windows()
            if len(self._held) >= SHORTEST * mel.SAMPLE_RATE:
                track = self._track(self._held)
                for _ in self._run([track], self._options):
                    pass
                yield self._take(track.segments, len(self._held), len(self._held))

    def _updates(self) -> Iterator[LiveUpdate]:
        yield from self._full_windows()
        stop = self._start + len(self._held)
        if stop - self._heard >= self._step and len(self._held) >= SHORTEST * mel.SAMPLE_RATE:
            self._heard = stop
            yield self._growing_window()

    def _full_windows(self) -> Iterator[LiveUpdate]:
        while len(self._held) >= self._window:
            hearing, done = self._hear(self._held[: self._window])
            self._heard = self._start + self._window
            yield self._take(hearing.segments, self._window, done)

    def _growing_window(self) -> LiveUpdate:
        now, _ = self._hear(self._held)
        before, self._before = self._before, now
        if before is None:
            return LiveUpdate(self.seconds, (), "", now.text.strip())
        if not now.text and not before.text:
            done = max(0, before.samples - round(KEPT * mel.SAMPLE_RATE))
            return self._take((), len(self._held), done)
        count = _agreed_segments(before.segments, now.segments)
        if not count:
            return LiveUpdate(self.seconds, (), *_agreed_words(before.text, now.text))
        end = now.segments[count - 1].end
        done = min(round(end * mel.SAMPLE_RATE), len(self._held))
        old = before.after(count, end, done)
        update = self._take(now.segments[:count], len(self._held), done)
        self._before = now.after(count, end, done)
        agreed, partial = _agreed_words(old.text, self._before.text)
        return replace(update, agreed=agreed, partial=partial)

    def _take(self, segments: Iterable[Segment], stop: int, done: int) -> LiveUpdate:
        """These segments of the first `stop` samples held are final, and the first `done` samples are done with."""
        offset = self._start / mel.SAMPLE_RATE
        final = tuple(
            replace(
                _moved(segment, offset),
                id=len(self.segments) + number,
                seek=segment.seek + self._start // mel.HOP_LENGTH,
            )
            for number, segment in enumerate(segments)
        )
        if final:
            self.segments += final
            self.windows.append(LiveWindow(self._start, self._start + stop, len(final)))
        self._held, self._start, self._before = self._held[done:], self._start + done, None
        return LiveUpdate(self.seconds, final, "", "")

    def _hear(self, samples: NDArray[np.float32]) -> tuple[_Hearing, int]:
        """One window, and how many of its samples a recording would go on by."""
        track = self._track(samples)
        progress = next(self._run([track], self._options))
        if progress.segments and self._voice is None:
            self._voice = (track.language or "", track.voice.probability)
        tokenizer = self._engine.tokenizer
        text = tokenizer.decode(progress.tokens) if progress.tokens else ""
        done = min(track.walk.seek * mel.HOP_LENGTH, len(samples)) if track.walk.window else len(samples)
        return _Hearing(progress.segments, text, len(samples)), done

    def _track(self, samples: NDArray[np.float32]) -> pipeline.Track:
        options = self._options
        if self._voice is not None and options.language is None and self._engine.tokenizer.is_multilingual:
            options = replace(options, language=self._voice[0])
        voice = Voice(options.language if self._engine.tokenizer.is_multilingual else "en")
        return pipeline.begin(self._engine, 0, 0, torch.from_numpy(samples.copy()), options, voice)


def _moved(segment: Segment, seconds: float) -> Segment:
    """The segment at other times of a clock."""
    words = segment.words
    if words is not None:
        words = tuple(
            replace(word, start=round(word.start + seconds, 3), end=round(word.end + seconds, 3)) for word in words
        )
    return replace(segment, start=round(segment.start + seconds, 3), end=round(segment.end + seconds, 3), words=words)


def _agreed_segments(before: tuple[Segment, ...], now: tuple[Segment, ...]) -> int:
    """How many segments from the first on are the same in both, with about the same ends."""
    pairs = zip(before, now, strict=False)
    same = takewhile(lambda pair: pair[0].text == pair[1].text and abs(pair[0].end - pair[1].end) <= SAME_END, pairs)
    return sum(1 for _ in same)


def _agreed_words(before: str, now: str) -> tuple[str, str]:
    """The text as two parts: the words from the first on that both have, and the rest."""
    spaced = _UNSPACED.search(now) is None
    words, others = (text.split() if spaced else list(text.strip()) for text in (now, before))
    same = takewhile(lambda pair: pair[0] == pair[1], zip(words, others, strict=False))
    count = sum(1 for _ in same)
    between = " " if spaced else ""
    return between.join(words[:count]), between.join(words[count:])


def _samples(chunk: Any) -> NDArray[np.float32]:
    if isinstance(chunk, (bytes, bytearray, memoryview)):
        if len(chunk) % 2:
            raise AudioFormatError("a chunk of bytes must hold whole int16 samples; this one has an odd length")
        chunk = np.frombuffer(chunk, "<i2")
    if hasattr(chunk, "detach"):
        chunk = chunk.detach().cpu()
    array = np.asarray(chunk)
    if array.ndim != 1 or not (array.dtype.kind == "f" or array.dtype == np.int16):
        shape = f"{array.dtype} of shape {array.shape}"
        raise AudioFormatError(f"a chunk must be (n,) samples at 16 kHz, float or int16, or their bytes; not {shape}")
    floats: NDArray[np.float32] = array.astype(np.float32)
    if array.dtype == np.int16:
        floats /= np.float32(32768)
    if not np.isfinite(floats).all():
        raise AudioFormatError("a chunk holds samples that are not numbers (NaN or infinity)")
    return floats
