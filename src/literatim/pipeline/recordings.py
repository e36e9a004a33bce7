"""Recordings on their way: read as the decoder asks for them, cut into tracks, and put together again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, zip_longest
from typing import Any

import torch

from literatim.audio import sound
from literatim.audio.chunks import Chunk, Cutter, Parts, Timeline
from literatim.audio.decode import Stream
from literatim.audio.mel import SAMPLE_RATE, Samples
from literatim.audio.silero import Silero, detector
from literatim.audio.strides import Overlapping, Strider, Strides
from literatim.audio.vad import Limits
from literatim.errors import LiteratimError
from literatim.options import AudioOptions, TranscribeOptions, VadOptions
from literatim.pipeline import chunked, loops
from literatim.pipeline.engine import Engine
from literatim.pipeline.transcribe import Progress, Track, Voice, begin
from literatim.types import Segment, Speculation, Transcript, Word

AHEAD = 4  # times the batch: chunks that are read ahead and sorted by their length


@dataclass(frozen=True)
class Job:
    """What is asked of recordings; of `text` nothing is left to be chosen."""

    audio: AudioOptions
    text: TranscribeOptions
    vad: VadOptions


@dataclass
class Channel:
    """One channel of a recording: its parts are decoded in any order, and heard in theirs."""

    label: str | None
    voice: Voice
    segments: list[Segment] = field(default_factory=list)
    speculation: Speculation | None = None
    remarks: tuple[str, ...] = ()
    reached: float = 0.0  # seconds up to which all parts are decoded
    parts: int = 0  # begun or waiting so far
    stitcher: chunked.Stitcher | None = None  # where its parts overlap
    _next: int = 0
    _waiting: dict[int, list[Segment]] = field(default_factory=dict)
    _ended: dict[int, float] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether all parts so far are decoded."""
        return self._next == self.parts

    def take(self, progress: Progress) -> list[Segment]:
        """A window more; the segments that have no part before them any more, in order."""
        track = progress.track
        if self.stitcher is None:
            told = [_moved(item, track) for item in progress.segments]
        else:
            told = self.stitcher.take(progress)
        self._waiting.setdefault(track.number, []).extend(told)
        if progress.finished:
            self.remarks = (*self.remarks, *track.remarks)
            self._ended[track.number] = track.seconds(track.duration, closing=True)
            if track.speculation is not None:
                self.speculation = (
                    track.speculation if self.speculation is None else self.speculation + track.speculation
                )
        elif track.number == self._next:
            self.reached = max(self.reached, track.seconds(track.done, closing=True))
        heard: list[Segment] = []
        while True:
            heard += self._waiting.pop(self._next, [])
            if self._next not in self._ended:
                break
            self.reached = max(self.reached, self._ended.pop(self._next))
            self._next += 1
        first = len(self.segments)
        heard = [replace(item, id=first + at, speaker=self.label) for at, item in enumerate(heard)]
        self.segments += heard
        return heard


@dataclass
class Pending:
    """One recording on its way; `complete` once all of it was read."""

    index: int
    channels: list[Channel] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0  # of the whole recording where that is known, else of what was read
    complete: bool = False
    sounds: list[sound.Sound] = field(default_factory=list)  # those that are read again as they are decoded

    @property
    def whole(self) -> bool:
        """Whether nothing of it is left to be done."""
        return self.complete and all(channel.whole for channel in self.channels)

    @property
    def done(self) -> float:
        """The share that is decoded."""
        if self.whole:
            return 1.0
        reached = sum(channel.reached for channel in self.channels)
        return min(1.0, reached / len(self.channels) / self.seconds) if self.channels and self.seconds else 0.0

    def open(self, numbers: tuple[int | None, ...], language: str | None) -> None:
        """Its channels, once they are known."""
        labels = [None] if len(numbers) == 1 else [f"CHANNEL_{number:02d}" for number in numbers]
        self.channels = [Channel(label, Voice(language)) for label in labels]

    def transcript(self) -> Transcript:
        """Channels merged in order of time; the language is the first channel's."""
        channels, warnings = self.channels, list(self.warnings)
        segments = [segment for channel in channels for segment in channel.segments]
        if len(channels) > 1:
            segments = sorted(segments, key=lambda segment: (segment.start, segment.end))
            segments = [replace(segment, id=number) for number, segment in enumerate(segments)]
            languages = [channel.voice.language for channel in channels]
            if len({language for language in languages if language}) > 1:
                found = ", ".join(f"{at}: {language}" for at, language in enumerate(languages))
                warnings.append(f"the channels are in different languages ({found})")
        warnings += dict.fromkeys(remark for found in self.sounds for remark in found.remarks)
        warnings += loops.remarks(segments)
        warnings += dict.fromkeys(remark for channel in channels for remark in channel.remarks)
        figures = [channel.speculation for channel in channels if channel.speculation is not None]
        if not segments:
            warnings.append("no speech was found")
        voice = channels[0].voice
        return Transcript(
            text="".join(segment.text for segment in segments),
            language=voice.language or "",
            language_probability=voice.probability,
            duration=self.seconds,
            segments=tuple(segments),
            speakers=tuple(dict.fromkeys(segment.speaker for segment in segments if segment.speaker)),
            warnings=tuple(warnings),
            speculation=sum(figures[1:], figures[0]) if figures else None,
        )


class Recordings:
    """Tracks for the decoder, of one recording or many, and what comes of them.

    `tracks` reads as it is gone through; where reading fails, the recording is in `failed` and the next one follows.
    """

    def __init__(self, engine: Engine, job: Job, audios: Iterable[tuple[Any, float | None]]) -> None:
        """`audios`: recordings, each with its sampling rate where it is an array's and known."""
        self._engine, self._job, self._audios = engine, job, audios
        self._open: dict[int, Pending] = {}
        self._errors: list[tuple[int, LiteratimError]] = []
        self._ended = 0
        self._longest = engine.config.window_frames * SAMPLE_RATE // 100
        self._strides: Strides | None = None
        if job.text.strategy == "chunked":
            self._strides = Strides.of(job.text.chunk_length_s, job.text.strides, self._longest)
        self._network: Silero | None = detector() if job.text.vad_filter else None

    @property
    def done(self) -> float:
        """Recordings finished or failed, and the parts of those under way."""
        return self._ended + sum(pending.done for pending in self._open.values())

    def tracks(self) -> Iterator[Track]:
        """Every part of every recording that can be read."""
        if self._job.text.strategy == "sequential":
            yield from self._each(self._walks)
            return
        tracks, ahead = self._each(self._chunks), AHEAD * self._job.text.rows
        while some := list(islice(tracks, ahead)):
            # the first part of each channel tells its language, so that it cannot come after the others
            yield from sorted(some, key=lambda track: (track.number > 0, -len(track.samples)))

    def take(self, progress: Progress) -> list[Segment]:
        """A window more; the segments that became ready, in order."""
        pending = self._open.get(progress.track.key)
        if pending is None:  # the rest of its recording could not be read
            return []
        return pending.channels[progress.track.channel].take(progress)

    def finished(self) -> Iterator[tuple[int, Transcript]]:
        """The recordings that are whole, each once."""
        for pending in [pending for pending in self._open.values() if pending.whole]:
            del self._open[pending.index]
            self._ended += 1
            yield pending.index, pending.transcript()

    def failed(self) -> Iterator[tuple[int, LiteratimError]]:
        """The recordings that could not be read, each once."""
        while self._errors:
            yield self._errors.pop(0)

    def _each(self, cut: Any) -> Iterator[Track]:
        for index, (audio, rate) in enumerate(self._audios):
            pending = self._open[index] = Pending(index)
            try:
                yield from cut(pending, audio, rate)
                pending.complete = True
            except LiteratimError as error:
                del self._open[index]
                self._errors.append((index, error))
                self._ended += 1

    def _walks(self, pending: Pending, audio: Any, rate: float | None) -> Iterator[Track]:
        """A track for each channel, of the whole recording or of all speech in it."""
        stream = Stream(audio, sampling_rate=rate, options=self._job.audio)
        cutter = partial(self._cutter, None) if self._job.text.vad_filter else None
        sounds = sound.channels(stream, self._engine.config.n_mels, cutter)
        pending.open(stream.channels, self._language)
        pending.warnings, pending.seconds = stream.warnings, stream.seconds
        for at, found in enumerate(sounds):
            if found is not None:
                pending.sounds.append(found)
                yield self._track(pending, at, found.samples, found.timeline)

    def _chunks(self, pending: Pending, audio: Any, rate: float | None) -> Iterator[Track]:
        """A track for each chunk, as the recording is decoded: no more of it is held than that."""
        stream, cutters = Stream(audio, sampling_rate=rate, options=self._job.audio), list[Cutter | Parts | Strider]()
        for block in stream:
            if not cutters:
                pending.open(stream.channels, self._language)
                cutters = [self._parted(channel) for channel in pending.channels]
            pending.seconds = max(stream.seconds, stream.stated)
            for at, samples in enumerate(block):
                for chunk in cutters[at].push(torch.from_numpy(samples.copy())):
                    yield self._chunk(pending, at, chunk)
        pending.warnings, pending.seconds = stream.warnings, stream.seconds
        for at, cutter in enumerate(cutters):
            for chunk in cutter.finish():
                yield self._chunk(pending, at, chunk)

    def _chunk(self, pending: Pending, channel: int, chunk: Chunk | Overlapping) -> Track:
        if isinstance(chunk, Chunk):
            return self._track(pending, channel, chunk.samples, chunk.timeline)
        found = pending.channels[channel]
        assert found.stitcher is not None
        found.stitcher.expect(chunk)
        return self._counted(
            chunked.begin(self._engine, pending.index, channel, chunk, self._job.text, found.voice), found
        )

    def _track(self, pending: Pending, channel: int, samples: Samples, timeline: Timeline | None) -> Track:
        found = pending.channels[channel]
        options = self._job.text if timeline is None else replace(self._job.text, clip_timestamps=(0.0,))
        track = begin(self._engine, pending.index, channel, samples, options, found.voice)
        track.timeline = timeline
        track.walk.first = found.parts == 0
        return self._counted(track, found)

    def _counted(self, track: Track, channel: Channel) -> Track:
        track.number = channel.parts
        channel.parts += 1
        return track

    def _parted(self, channel: Channel) -> Cutter | Parts | Strider:
        """What makes chunks of a channel."""
        if self._strides is None:
            return self._cutter(self._longest)
        channel.stitcher = chunked.Stitcher(self._engine)
        return Strider(self._strides)

    def _cutter(self, longest: int | None) -> Cutter | Parts:
        """Of chunks of at most `longest` samples, None: of single spans, however long; in the parts asked for."""
        points = [round(time * SAMPLE_RATE) for time in self._job.text.clip_points]
        cutter = partial(self._plain_cutter, longest)
        return cutter() if points == [0] else Parts(cutter, list(zip_longest(points[::2], points[1::2])))

    def _plain_cutter(self, longest: int | None) -> Cutter:
        limits = Limits.of(self._job.vad, longest)
        if self._network is None:  # nothing is left out, so that nothing needs room around it
            limits = replace(limits, pad=0)
        return Cutter(self._network, limits, longest or 0)

    @property
    def _language(self) -> str | None:
        return self._job.text.language if self._engine.tokenizer.is_multilingual else "en"


def _moved(segment: Segment, track: Track) -> Segment:
    """The segment at its times in the recording."""
    if track.timeline is None:
        return segment
    words = None if segment.words is None else tuple(_moved_word(word, track) for word in segment.words)
    start, end = (track.seconds(time, closing=end) for time, end in ((segment.start, False), (segment.end, True)))
    seek = track.timeline.sample(segment.seek * SAMPLE_RATE // 100) * 100 // SAMPLE_RATE
    return replace(segment, seek=seek, start=round(start, 3), end=round(max(start, end), 3), words=words)


def _moved_word(word: Word, track: Track) -> Word:
    start, end = track.seconds(word.start), track.seconds(word.end, closing=True)
    return replace(word, start=round(start, 3), end=round(max(start, end), 3))
