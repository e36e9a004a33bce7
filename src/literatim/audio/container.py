"""Files in, decoded blocks out: the only user of PyAV (FFmpeg).

FFmpeg is given bytes, never a name: formats are limited to a list, protocols to none, decoders to audio, so
that a playlist or an address inside a file leads nowhere (format_whitelist and its kin are described at
https://ffmpeg.org/ffmpeg-formats.html).
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import av

from literatim.audio.frames import blocks, size_of
from literatim.audio.gather import Samples
from literatim.audio.limits import Tally
from literatim.audio.source import Source
from literatim.errors import AudioContentError, AudioFormatError

FORMATS = "wav,w64,mp3,flac,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,aac,aiff,caf"
SLACK = 1.0  # seconds of encoder padding that packets may hold beyond the audio
TOLERANCE = 0.1  # seconds that a complete file may fall short of its stated duration
_OGG_PAGE = 65_307  # the longest possible page, RFC 3533


class Reader:
    """Decodes the best audio stream of a file; `warnings` is complete once `blocks` has run out."""

    def __init__(self, source: Source, tally: Tally) -> None:
        self.warnings: list[str] = []
        self.stated = 0.0  # seconds that the file says it has, 0 where it does not
        self._source = source
        self._tally = tally
        self._label = source.label
        self._damaged = 0
        self._damaged_last = False
        self._last_error = ""
        self._cut = False
        self._last: Any = None  # of the frames that say when they are
        self._since = 0.0  # seconds of it and those after it

    def blocks(self) -> Generator[tuple[Samples, int], None, None]:
        """Yield (block (C, n) float32, rate in Hz); raises AudioFormatError, -LimitError or -ContentError."""
        self._refuse_long()
        with _opened(self._source) as container:
            stream = _audio_stream(container, self._label)
            self.stated = _stated_seconds(container, stream, self._source.size)
            yield from blocks(self._frames(container, stream))
            if self._tally.seconds == 0:
                self._report_nothing()
            self._report_end(container, stream)

    def _refuse_long(self) -> None:
        """Add up the packets before decoding one: kilobytes can hold hours of silence, and a header can lie.

        Demuxing costs a tenth of decoding and no memory. Uncompressed audio cannot outgrow its file.
        """
        with _opened(self._source) as container:
            stream = _audio_stream(container, self._label)
            context = stream.codec_context
            self._tally.check_format(context.sample_rate or 0, context.channels)
            limit = self._tally.options.max_seconds
            if context.name.startswith("pcm_") and self._source.size * 8 <= limit * (context.bit_rate or 0):
                return
            seconds, previous = 0.0, None
            for packet in self._packets(container, stream):
                length = packet.duration or 0
                if not length and packet.pts is not None and previous is not None:
                    length = max(0, packet.pts - previous)  # what states no duration has lasted since the one before
                seconds += float(length * packet.time_base) if packet.time_base else 0.0
                previous = packet.pts
                self._tally.check_seconds(seconds - SLACK)
        self._cut = False

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        try:
            for packet in container.demux(stream):
                self._cut = self._cut or packet.is_corrupt
                yield packet
        except av.FFmpegError as error:  # what came before it is good
            self._cut, self._last_error = True, _reason(error)

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        for packet in self._packets(container, stream):
            try:
                frames = packet.decode()
            except av.FFmpegError as error:  # as ffmpeg itself does: skip the packet, go on with the next
                self._damaged += 1
                self._damaged_last, self._last_error = True, _reason(error)
                continue
            for frame in frames:
                self._tally.check_format(frame.sample_rate, frame.layout.nb_channels)
                self._tally.count(frame.samples, frame.sample_rate, size_of(frame))
                self._damaged_last = False
                if frame.pts is not None:
                    self._last, self._since = frame, 0.0
                self._since += frame.samples / frame.sample_rate
                yield frame

    @property
    def _reached(self) -> float:
        """Seconds at which the last frame ends; counted here, for fractions cost much and every frame has some."""
        if self._last is None or not self._last.time_base:
            return self._tally.seconds
        return float(self._last.pts * self._last.time_base) + self._since

    def _report_nothing(self) -> None:
        if self._last_error:
            raise AudioFormatError(
                f"{self._label}: nothing in it could be decoded ({self._last_error}); export it again"
            )
        raise AudioContentError(f"{self._label}: it holds no samples")

    def _report_end(self, container: Any, stream: Any) -> None:
        seconds = self._tally.seconds
        stated = _stated_seconds(container, stream, self._source.size)
        of = f" of {stated:.1f} s" if seconds < stated - TOLERANCE else ""
        decoded = f"{seconds:.1f} s{of} could be decoded"
        early = self._damaged_last or self._reached < stated - TOLERANCE
        if early or self._ogg_cut(container, stream) or (self._cut and not self._endless_wav(container)):
            self.warnings.append(f"the file ends early: {decoded}")
        elif of or self._damaged:
            self.warnings.append(f"the file is damaged: {decoded}, and times after a gap are early")

    def _endless_wav(self, container: Any) -> bool:
        """Whether a WAV was written to a pipe: it then states the largest size there is, or none."""
        self._source.seek(4)
        return container.format.name == "wav" and self._source.read(4) in (b"\xff" * 4, bytes(4))

    def _ogg_cut(self, container: Any, stream: Any) -> bool:
        """Whether an Ogg file's last page lacks bytes or the end mark, or lies beyond what was decoded.

        A page's header (RFC 3533, 6) holds flags in byte 5, its end in samples in bytes 6 to 13, and from byte
        26 on the number and lengths of its segments.
        """
        if container.format.name != "ogg":
            return False
        self._source.seek(max(0, self._source.size - _OGG_PAGE))
        tail = self._source.read(_OGG_PAGE)
        page = tail[tail.rfind(b"OggS") :]
        if len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]) or not page[5] & 4:
            return True
        end = int.from_bytes(page[6:14], "little", signed=True) * float(stream.time_base)
        return self._reached < end - TOLERANCE


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    """An FFmpeg container over `source` from its start; the one place where FFmpeg's errors become ours."""
    source.seek(0)
    options = {
        "format_whitelist": FORMATS,
        "protocol_whitelist": "none",
        "codec_whitelist": _audio_decoders(),
    }
    try:
        # Metadata may be in any encoding, and nobody reads it here.
        with av.open(source, options=options, metadata_errors="ignore") as container:
            yield container
    except (av.FFmpegError, ValueError, TypeError, MemoryError, OverflowError) as error:
        guess = "it is damaged, cut short, or not wav, flac, mp3, m4a, ogg, webm, aac, aiff or caf"
        raise AudioFormatError(f"{source.label}: not readable as audio ({_reason(error)}); {guess}") from error


@functools.cache
def _audio_decoders() -> str:
    names = (name for name in sorted(av.codecs_available) if _is_audio_decoder(name))
    return ",".join(names)


def _is_audio_decoder(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except ValueError:  # an encoder only
        return False


def _audio_stream(container: Any, label: str) -> Any:
    stream = container.streams.best("audio")
    if stream is None:
        raise AudioFormatError(f"{label}: there is no audio in it")
    if stream.codec_context is None:
        raise AudioFormatError(f"{label}: its audio has a codec that cannot be decoded; convert it to flac or wav")
    stream.codec_context.thread_count = 1
    return stream


def _stated_seconds(container: Any, stream: Any, size: int) -> float:
    """The duration that the file states, or 0 where FFmpeg guesses it from the bit rate."""
    if container.format.name == "aac":
        return 0.0
    if stream.duration is not None:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:
        seconds = container.duration / av.time_base
    else:
        return 0.0
    guessed = container.format.name == "mp3" and seconds * (stream.codec_context.bit_rate or 0) / 8 <= size
    return 0.0 if guessed else seconds


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
