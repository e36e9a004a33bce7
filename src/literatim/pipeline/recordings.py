"""Recordings for Whisper: read as the decoder asks for them, and cut into tracks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice, zip_longest
from typing import Any

from literatim.audio import sound
from literatim.audio.chunks import Chunk, Cutter, Parts, Timeline
from literatim.audio.decode import Stream
from literatim.audio.mel import SAMPLE_RATE, Samples
from literatim.audio.silero import Silero, detector
from literatim.audio.strides import Overlapping, Strider, Strides
from literatim.audio.vad import Limits
from literatim.pipeline import chunked
from literatim.pipeline.engine import Engine
from literatim.pipeline.reading import Channel, Job, Pending, Reading
from literatim.pipeline.transcribe import Track, begin

AHEAD = 4  # times the batch: chunks that are read ahead and sorted by their length


class Recordings(Reading[Track]):
    """Tracks for Whisper's decoder, of one recording or many."""

    def __init__(self, engine: Engine, job: Job, audios: Iterable[tuple[Any, float | None]]) -> None:
        super().__init__(job, audios)
        self._engine = engine
        self._longest = engine.config.window_frames * SAMPLE_RATE // 100
        self._strides: Strides | None = None
        if job.text.strategy == "chunked":
            self._strides = Strides.of(job.text.chunk_length_s, job.text.strides, self._longest)
        self._network: Silero | None = detector() if job.text.vad_filter else None

    def tracks(self) -> Iterator[Track]:
        """Every part of every recording that can be read."""
        if self._job.text.strategy == "sequential":
            yield from self._each(self._walks)
            return
        tracks, ahead = self._each(self._chunks), AHEAD * self._job.text.rows
        while some := list(islice(tracks, ahead)):
            # the first part of each channel tells its language, so that it cannot come after the others
            yield from sorted(some, key=lambda track: (track.number > 0, -len(track.samples)))

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
