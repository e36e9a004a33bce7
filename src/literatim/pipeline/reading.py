"""Recordings on their way: their channels, the parts of these in any order, and the transcripts they come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import torch

from literatim.audio import sound
from literatim.audio.chunks import Chunk, Cutter, Parts, Timeline
from literatim.audio.decode import Stream
from literatim.audio.mel import SAMPLE_RATE
from literatim.audio.strides import Overlapping, Strider
from literatim.errors import LiteratimError
from literatim.options import AudioOptions, TranscribeOptions, VadOptions
from literatim.pipeline import loops
from literatim.types import Segment, Speculation, Transcript, Word


@dataclass(frozen=True)
class Job:
    """What is asked of recordings; of `text` nothing is left to be chosen."""

    audio: AudioOptions
    text: TranscribeOptions
    vad: VadOptions


@dataclass
class Voice:
    """The language of a channel, one for all its tracks; `probability` is 1 where it was given."""

    language: str | None = None
    probability: float = 1.0


class Part(Protocol):
    """One channel of a recording, or a chunk of it, on its way; `key` is the number of the recording.

    A chunk has its `number` among those of the channel, and a `timeline` by which its times become the recording's.
    """

    key: int
    channel: int
    number: int
    timeline: Timeline | None
    speculation: Speculation | None
    remarks: tuple[str, ...]

    @property
    def duration(self) -> float:
        """Seconds of its samples."""
        ...

    @property
    def done(self) -> float:
        """Seconds of its samples that are decoded."""
        ...

    def seconds(self, time: float, *, closing: bool = False) -> float:
        """Seconds of the recording for seconds of its samples; `closing`: of something that ends there."""
        ...


class Told(Protocol):
    """One window more of a part: what it added, and whether the part is finished."""

    @property
    def track(self) -> Part:
        """The part."""
        ...

    @property
    def segments(self) -> Sequence[Segment]:
        """With the times of the part."""
        ...

    @property
    def finished(self) -> bool:
        """Whether it was the last one."""
        ...


class Stitcher(Protocol):
    """What makes one text of chunks that overlap."""

    def expect(self, chunk: Overlapping, /) -> None:
        """The next chunk of the recording, which is decoded in its turn."""
        ...

    def take(self, progress: Any, /) -> list[Segment]:
        """A window more; the segments that are whole now, with the times of the recording."""
        ...


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
    stitcher: Stitcher | None = None  # where its parts overlap
    _next: int = 0
    _waiting: dict[int, list[Segment]] = field(default_factory=dict)
    _ended: dict[int, float] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether all parts so far are decoded."""
        return self._next == self.parts

    def take(self, progress: Told) -> list[Segment]:
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


PartType = TypeVar("PartType", bound=Part)


class Reading(Generic[PartType]):
    """Parts for the decoder, of one recording or many, and what comes of them.

    `tracks` reads as it is gone through; where reading fails, the recording is in `failed` and the next one follows.
    """

    def __init__(self, job: Job, audios: Iterable[tuple[Any, float | None]]) -> None:
        """`audios`: recordings, each with its sampling rate where it is an array's and known."""
        self._job, self._audios = job, audios
        self._open: dict[int, Pending] = {}
        self._errors: list[tuple[int, LiteratimError]] = []
        self._ended = 0

    @property
    def done(self) -> float:
        """Recordings finished or failed, and the parts of those under way."""
        return self._ended + sum(pending.done for pending in self._open.values())

    def tracks(self) -> Iterator[PartType]:
        """Every part of every recording that can be read."""
        raise NotImplementedError

    def take(self, progress: Told) -> list[Segment]:
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

    def _each(self, cut: Callable[[Pending, Any, float | None], Iterator[PartType]]) -> Iterator[PartType]:
        for index, (audio, rate) in enumerate(self._audios):
            pending = self._open[index] = Pending(index)
            try:
                yield from cut(pending, audio, rate)
                pending.complete = True
            except LiteratimError as error:
                del self._open[index]
                self._errors.append((index, error))
                self._ended += 1

    def _chunks(self, pending: Pending, audio: Any, rate: float | None) -> Iterator[PartType]:
        """A part for each chunk, as the recording is decoded: no more of it is held than that."""
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

    @property
    def _language(self) -> str | None:
        """The language of all recordings, where it is known beforehand."""
        raise NotImplementedError

    def _parted(self, channel: Channel) -> Cutter | Parts | Strider:
        """What makes chunks of a channel."""
        raise NotImplementedError

    def _chunk(self, pending: Pending, channel: int, chunk: Chunk | Overlapping) -> PartType:
        raise NotImplementedError


def _moved(segment: Segment, track: Part) -> Segment:
    """The segment at its times in the recording."""
    if track.timeline is None:
        return segment
    words = None if segment.words is None else tuple(_moved_word(word, track) for word in segment.words)
    start, end = (track.seconds(time, closing=end) for time, end in ((segment.start, False), (segment.end, True)))
    seek = track.timeline.sample(segment.seek * SAMPLE_RATE // 100) * 100 // SAMPLE_RATE
    return replace(segment, seek=seek, start=round(start, 3), end=round(max(start, end), 3), words=words)


def _moved_word(word: Word, track: Part) -> Word:
    start, end = track.seconds(word.start), track.seconds(word.end, closing=True)
    return replace(word, start=round(start, 3), end=round(max(start, end), 3))
