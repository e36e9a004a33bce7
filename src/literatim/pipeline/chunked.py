"""Strategy chunked: chunks cut by the clock, each a recording of its own, put together again where they overlap."""

from __future__ import annotations

from dataclasses import dataclass, field

from literatim.audio import mel
from literatim.audio.chunks import Timeline
from literatim.audio.strides import Overlapping
from literatim.decode.stitch import Chunk, Seam, Stretch
from literatim.options import TranscribeOptions
from literatim.pipeline import prompts
from literatim.pipeline.engine import Engine
from literatim.pipeline.pieces import settled
from literatim.pipeline.reading import Voice
from literatim.pipeline.transcribe import Progress, Said, Track
from literatim.types import Segment


def begin(
    engine: Engine, key: int, channel: int, chunk: Overlapping, options: TranscribeOptions, voice: Voice
) -> Track:
    """A chunk as a track, padded to a window, with the features that transformers' extractor makes of it."""
    config = engine.config
    samples = mel.padded(chunk.samples, config.window_frames * mel.HOP_LENGTH)
    peak = float(mel.frames_of(samples, 0, config.window_frames, config.n_mels).max())
    walk = prompts.walk(engine.tokenizer, config.window_frames, config.window_frames, options, config.target_positions)
    timeline = Timeline([(chunk.start, chunk.start + len(chunk.samples))])
    return Track(key, channel, samples, peak, walk, voice, timeline=timeline)


@dataclass(frozen=True)
class _Place:
    """Where a chunk lies, in seconds."""

    start: float
    seconds: float
    left: float
    right: float
    last: bool

    @property
    def end(self) -> float:
        """Seconds of the recording."""
        return self.start + self.seconds


@dataclass
class _Heard:
    """What is known of a chunk, window by window; nothing in it holds sound."""

    language: tuple[str, float] | None
    said: list[Said] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    repeats: int = 0  # that were cut
    finished: bool = False


class Stitcher:
    """The segments of one channel, from its chunks; these may be decoded in any order."""

    def __init__(self, engine: Engine) -> None:
        tokenizer = self._tokenizer = engine.tokenizer
        self._seam = Seam(tokenizer.timestamp_begin, tokenizer.timestamp_end, tokenizer.time_precision)
        self._places: list[_Place] = []
        self._heard: dict[int, _Heard] = {}
        self._next = 0  # chunk that is to be stitched to those before it
        self._repeats = 0  # that were cut where no segment has ended yet
        self._told = 0.0  # seconds at which the last segment ends

    def expect(self, chunk: Overlapping) -> None:
        """The next chunk of the recording, which is decoded in its turn."""
        samples = (chunk.start, len(chunk.samples), chunk.left, chunk.right)
        start, seconds, left, right = (count / mel.SAMPLE_RATE for count in samples)
        self._places.append(_Place(start, seconds, left, right, chunk.last))

    def take(self, progress: Progress) -> list[Segment]:
        """A window more of a chunk; the segments that are whole now, with their times in the recording."""
        track, found = progress.track, list[Segment]()
        heard = self._heard.setdefault(track.number, _Heard(track.window_language))
        heard.said.append(progress.said)
        heard.repeats += sum(segment.repeats for segment in progress.segments)
        heard.tokens += self._kept(progress)
        heard.finished = progress.finished
        while self._next in self._heard and self._heard[self._next].finished:
            found += self._stitched(self._heard[self._next], self._places[self._next])
            self._next += 1
        return found

    def _kept(self, progress: Progress) -> list[int]:
        """Text and timestamps of a window; where another one follows, two in a row say where it begins."""
        stamps = range(self._tokenizer.timestamp_begin, self._tokenizer.timestamp_end)
        kept = settled(progress.said.result.tokens, stamps.start, stamps.stop)
        if any(segment.repeats for segment in progress.segments):
            kept = [*progress.tokens, *([] if progress.finished else kept[-2:])]
        elif not progress.tokens:
            kept = []
        return [token for token in kept if token in stamps or self._tokenizer.is_text(token)]

    def _stitched(self, heard: _Heard, place: _Place) -> list[Segment]:
        """What the next chunk ends."""
        made = self._seam.add(Chunk(heard.tokens, place.seconds, place.left, place.right))
        made += self._seam.finish() if place.last else []
        repeats = [0] * len(made)
        if made:
            repeats[0], self._repeats = self._repeats, 0
        self._repeats += heard.repeats
        if made and not self._seam.open:  # a loop is at the end of what was said
            repeats[-1], self._repeats = repeats[-1] + self._repeats, 0
        pairs = zip(made, repeats, strict=True)
        return [segment for stretch, times in pairs for segment in self._segments(stretch, times)]

    def _segments(self, stretch: Stretch, repeats: int) -> list[Segment]:
        """One, or none where there is no text: its figures are those of the worst of its chunks."""
        text = self._tokenizer.decode(stretch.tokens)
        if not text.strip():
            return []
        first, last = self._places[stretch.first], self._places[stretch.last]
        start = max(first.start, self._told) if stretch.start is None else stretch.start
        end = last.end if stretch.end is None else min(stretch.end, last.end)
        self._told = max(min(start, last.end), end)
        language, probability = self._heard[stretch.first].language or (None, None)
        said = [one for number in range(stretch.first, stretch.last + 1) for one in self._heard[number].said]
        segment = Segment(
            id=0,  # counted by the channel
            seek=round(first.start * mel.FRAMES_PER_SECOND),
            start=round(min(start, last.end), 3),
            end=round(self._told, 3),
            text=text,
            tokens=stretch.tokens,
            temperature=max(one.result.temperature for one in said),
            avg_logprob=min(one.result.avg_logprob for one in said),
            compression_ratio=max(one.ratio for one in said),
            no_speech_prob=max(one.result.no_speech_prob for one in said),
            language=language,
            language_probability=probability,
            repeats=repeats,
        )
        return [segment]
