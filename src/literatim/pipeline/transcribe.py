"""Recordings to segments: each walks through its own windows, several are decoded in one batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, islice

from literatim.audio import mel, sound
from literatim.audio.chunks import Timeline
from literatim.decode.beam import Beam
from literatim.decode.noise import Noise
from literatim.decode.rows import Decoded, Request, Row
from literatim.options import TranscribeOptions
from literatim.pipeline import loops, prompts
from literatim.pipeline.engine import Engine
from literatim.pipeline.language import several
from literatim.pipeline.pieces import Window
from literatim.pipeline.reading import Voice
from literatim.pipeline.safeguards import compression_ratio, is_silent, needs_fallback
from literatim.pipeline.windows import Walk
from literatim.pipeline.words import add_words, trimmed
from literatim.types import Segment, Speculation, Word


@dataclass
class Track:
    """One channel of one recording on its way, or a chunk of it; `key` is the caller's number of the recording.

    A chunk has its `number` among those of the channel, and a `timeline` by which its times become the recording's.
    """

    key: int
    channel: int  # place among the channels kept
    samples: mel.Samples  # (S,) float32 at 16 kHz
    peak: float
    walk: Walk
    voice: Voice
    segments: list[Segment] = field(default_factory=list)
    number: int = 0
    timeline: Timeline | None = None
    speculation: Speculation | None = None
    window_language: tuple[str, float] | None = None  # of the window under way, where each has its own
    remarks: tuple[str, ...] = ()  # what a reader of the result should know

    @property
    def spoken(self) -> str | None:
        """Code of the language of the window under way."""
        return self.language if self.window_language is None else self.window_language[0]

    @property
    def language(self) -> str | None:
        """Code of the language, None until it is known."""
        return self.voice.language

    @property
    def duration(self) -> float:
        """Seconds of its samples."""
        return len(self.samples) / mel.SAMPLE_RATE

    def seconds(self, time: float, *, closing: bool = False) -> float:
        """Seconds of the recording for seconds of its samples; `closing`: of something that ends there."""
        return time if self.timeline is None else self.timeline.seconds(time, closing=closing)

    @cached_property
    def digest(self) -> bytes:
        """What the samples are told from others by."""
        return sound.digest(self.samples)

    @property
    def done(self) -> float:
        """Seconds of its samples that are decoded."""
        return self.walk.seek / mel.FRAMES_PER_SECOND

    def count(self, result: Decoded) -> None:
        """Add what a draft did for a window, in an attempt that is kept or not."""
        if result.speculation is not None:
            self.speculation = result.speculation if self.speculation is None else self.speculation + result.speculation


def begin(
    engine: Engine, key: int, channel: int, samples: mel.Samples, options: TranscribeOptions, voice: Voice
) -> Track:
    """A track at its first frame."""
    frames, config = len(samples) // mel.HOP_LENGTH, engine.config
    walk = prompts.walk(engine.tokenizer, frames, config.window_frames, options, config.target_positions)
    peak = sound.peak(samples, config.n_mels)
    return Track(key, channel, samples, peak, walk, voice, remarks=remarks(engine, options))


def remarks(engine: Engine, options: TranscribeOptions) -> tuple[str, ...]:
    """What a reader should know of a result under these options."""
    if not options.word_timestamps:
        return ()
    rough = "the words of a translation are not in the order of the speech: take their times for rough ones"
    return tuple(remark for remark in (engine.heads_remark, rough * (options.task == "translate")) if remark)


def run(engine: Engine, tracks: Iterable[Track], options: TranscribeOptions) -> Iterator[Progress]:
    """Decode tracks, up to `options.rows` at a time.

    Each row of the batch is a window of some track; when it has ended, the track's next window takes its place, else
    one of another track. What a row says does not depend on the others.
    """
    with engine.taken() as own:
        yield from _run(own, iter(tracks), options)


def _run(engine: Engine, waiting: Iterator[Track], options: TranscribeOptions) -> Iterator[Progress]:
    active = list(islice(waiting, options.rows))
    if not active:
        return
    work = _Work(engine, options, len(active))
    work.begin(active)
    while work.rows:
        for slot, attempt, said in work.ended():
            track = attempt.track
            segments = _take(engine, slot, attempt, said, options)
            tokens = () if is_silent(said.result, options) else said.result.tokens
            if any(segment.repeats for segment in segments):
                tokens = tuple(chain.from_iterable(segment.tokens for segment in segments))
            yield Progress(track, segments, track.walk.window is None, said, tokens)
            following = track if track.walk.window is not None else next(waiting, None)
            if following is not None:
                work.begin([following], slot)
        work.go_on()


@dataclass(frozen=True)
class Attempt:
    """A window that is decoded for the `number`th time, each time at another temperature."""

    track: Track
    window: Window
    number: int = 0


@dataclass(frozen=True)
class Said:
    """What came of an attempt, with the compression ratio of its text."""

    result: Decoded
    ratio: float


@dataclass(frozen=True)
class Progress:
    """One window more: what it added, whether the track is finished, and all that was said, told or not.

    Of a loop that was cut `tokens` are those that are left.
    """

    track: Track
    segments: tuple[Segment, ...]
    finished: bool
    said: Said
    tokens: tuple[int, ...]  # none where it was taken for silence


class _Work:
    """Windows in the slots of a batch."""

    def __init__(self, engine: Engine, options: TranscribeOptions, size: int) -> None:
        self._engine, self._options = engine, options
        engine.reserve(size * max(options.beam_size, options.best_of))
        self._batch = engine.batch(engine.rules(options), drafted=options.beam_size == 1)

    @property
    def rows(self) -> int:
        """Windows under way."""
        return len(self._batch.rows)

    def begin(self, tracks: list[Track], start: int = 0) -> None:
        """The next window of each of the tracks, in slots from `start` on."""
        engine, windows = self._engine, [track.walk.window for track in tracks]
        features = []
        for track, window in zip(tracks, windows, strict=True):
            assert window is not None
            features.append(engine.features(track.samples, window.seek, window.frames, track.peak))
        engine.listen(features, start)
        self._find_languages(tracks, start)
        attempts = [Attempt(track, window) for track, window in zip(tracks, windows, strict=True) if window is not None]
        requests = [self._request(self._prompt(item.track), item) for item in attempts]
        with engine.at_work():
            self._batch.admit(requests, start, engine.width([request.prompt for request in requests]))

    def ended(self) -> Iterator[tuple[int, Attempt, Said]]:
        """What has come to its end, with its slot, in which the next window may `begin` at once.

        A text that does not pass the thresholds is not among it: its window is decoded again, at the next temperature.
        """
        slot = 0
        while slot < len(self._batch.rows):
            row = self._batch.rows[slot]
            if row.answered:
                found = self._judge(slot, row)
                if found is not None:
                    yield slot, row.request.owner, found
                slot = 0  # others are there now, which may have ended with their first token
            else:
                slot += 1

    def _judge(self, slot: int, row: Row) -> Said | None:
        """What a finished row said; None where the next attempt has taken its place."""
        attempt: Attempt = row.request.owner
        with self._engine.at_work():
            result = self._batch.result(row)
            ratio = compression_ratio(self._engine.tokenizer.decode(result.tokens).strip())
            attempt.track.count(result)
            left = len(self._options.temperatures) - attempt.number - 1
            if not left or not needs_fallback(result, ratio, self._options):
                return Said(result, ratio)
            following = replace(attempt, number=attempt.number + 1)
            self._batch.again(slot, self._request(row.request.prompt, following))
        return None

    def go_on(self) -> None:
        """Give the slots that stayed free to the last rows, and all rows their next tokens."""
        with self._engine.at_work():
            self._batch.close()
            if self._batch.rows:
                self._batch.round()

    def _find_languages(self, tracks: list[Track], start: int) -> None:
        options = self._options
        if all(self._knows_language(track) for track in tracks):
            return
        found = self._engine.languages(len(tracks), start, several(options.languages))
        for track, (language, probability) in zip(tracks, found, strict=True):
            if options.multilingual and not self._knows_language(track):
                track.window_language = (language, probability)
            if track.language is None:
                track.voice.language, track.voice.probability = language, probability

    def _knows_language(self, track: Track) -> bool:
        """Whether that of the next window; the windows of a chunk are in one language."""
        if not self._options.multilingual:
            return track.language is not None
        return self._options.strategy == "chunked" and track.window_language is not None

    def _prompt(self, track: Track) -> list[int]:
        engine = self._engine
        context = engine.config.target_positions
        return prompts.prompt(engine.tokenizer, track.walk, track.spoken, self._options, context)

    def _request(self, prompt: Sequence[int], attempt: Attempt) -> Request:
        """Sampled, or the likeliest tokens, as the attempt's temperature says."""
        options, track = self._options, attempt.track
        temperature = options.temperatures[attempt.number]
        request = self._engine.request(prompt, options.max_new_tokens, None, attempt)
        request = replace(request, length_penalty=options.length_penalty)
        if temperature:
            key = options.seed, track.digest, attempt.window.seek, temperature
            noise, *others = (Noise(*key, sample) for sample in range(options.best_of))
            return replace(request, noise=noise, others=tuple(others))
        if options.beam_size == 1:
            return request
        eot = self._engine.tokenizer.eot
        return replace(request, beam=Beam(options.beam_size, options.patience, eot, request.most))


def _take(engine: Engine, slot: int, attempt: Attempt, said: Said, options: TranscribeOptions) -> tuple[Segment, ...]:
    track, window, result = attempt.track, attempt.window, said.result
    if is_silent(result, options):
        track.walk.skip()
        return ()
    tokenizer = engine.tokenizer
    stamps, align = (tokenizer.timestamp_begin, tokenizer.timestamp_end), None
    if options.word_timestamps:
        align = partial(add_words, engine, slot, window, language=track.spoken, options=options)
    cut = partial(loops.cut, is_text=tokenizer.is_text) if options.cut_loops else None
    pieces = track.walk.accept(result.tokens, stamps[0], tokenizer.decode, stamps[1], align, result.temperature, cut)
    if options.word_timestamps:
        first = window.seek * mel.HOP_LENGTH
        pieces = trimmed(pieces, window, track.samples[first : first + window.frames * mel.HOP_LENGTH])
    duration = track.duration
    segments = tuple(
        Segment(
            id=len(track.segments) + offset,
            seek=window.seek,
            start=round(min(piece.start, duration), 3),
            end=round(min(piece.end, duration), 3),
            text=piece.text,
            tokens=piece.tokens,
            temperature=result.temperature,
            avg_logprob=result.avg_logprob,
            compression_ratio=said.ratio,
            no_speech_prob=result.no_speech_prob,
            language=None if track.window_language is None else track.window_language[0],
            language_probability=None if track.window_language is None else track.window_language[1],
            words=None if piece.words is None else tuple(_within(word, duration) for word in piece.words),
            repeats=piece.repeats,
        )
        for offset, piece in enumerate(pieces)
    )
    track.segments += segments
    return segments


def _within(word: Word, duration: float) -> Word:
    """The word, none of it after the recording's end."""
    return replace(word, start=round(min(word.start, duration), 3), end=round(min(word.end, duration), 3))
