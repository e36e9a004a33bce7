"""Recordings to segments: each walks through its own windows, several are decoded in one batch."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from torch import Tensor

from literatim.audio import mel
from literatim.decode.greedy import Decoded
from literatim.decode.rules import Rules
from literatim.options import TranscribeOptions
from literatim.pipeline.engine import Engine
from literatim.pipeline.steps import FullStep
from literatim.pipeline.windows import Walk, Window
from literatim.types import Segment


@dataclass
class Track:
    """One channel of one recording on its way; `key` is the caller's number of the recording."""

    key: int
    channel: int  # place among the channels kept
    samples: Tensor  # (S,) float32 at 16 kHz
    peak: float
    walk: Walk
    language: str | None
    language_probability: float = 1.0
    segments: list[Segment] = field(default_factory=list)

    @property
    def done(self) -> float:
        """Seconds of the recording that are decoded."""
        return self.walk.seek / mel.FRAMES_PER_SECOND


@dataclass(frozen=True)
class Progress:
    """One window more: what it added, and whether the track is finished."""

    track: Track
    segments: tuple[Segment, ...]
    finished: bool


def begin(engine: Engine, key: int, channel: int, samples: Tensor, options: TranscribeOptions) -> Track:
    """A track at its first frame."""
    tokenizer = engine.tokenizer
    prompt = tokenizer.encode(" " + options.initial_prompt.strip()) if options.initial_prompt else []
    frames = len(samples) // mel.HOP_LENGTH
    walk = Walk(frames, engine.config.window_frames, prompt, options.condition_on_previous_text)
    language = options.language if tokenizer.is_multilingual else "en"
    return Track(key, channel, samples, mel.maximum(samples, engine.config.n_mels), walk, language)


def run(engine: Engine, tracks: Iterable[Track], options: TranscribeOptions) -> Iterator[Progress]:
    """Decode tracks, up to `options.batch_size` at a time; a finished one makes room for the next."""
    rules = engine.rules(options)
    waiting = iter(tracks)
    active: list[Track] = []
    while True:
        while len(active) < options.batch_size and (track := next(waiting, None)) is not None:
            active.append(track)
        if not active:
            return
        yield from _windows(engine, active, rules, options)
        active = [track for track in active if track.walk.window is not None]


def _windows(engine: Engine, tracks: list[Track], rules: Rules, options: TranscribeOptions) -> Iterator[Progress]:
    """One window of each track."""
    windows = [track.walk.window for track in tracks]
    features = []
    for track, window in zip(tracks, windows, strict=True):
        assert window is not None
        features.append(engine.features(track.samples, window.seek, window.frames, track.peak))
    step = engine.listen(features)
    _find_languages(engine, step, tracks)
    prompts = [_prompt(engine, track, options) for track in tracks]
    results = engine.decode(step, prompts, rules, options.max_new_tokens)
    for track, window, result in zip(tracks, windows, results, strict=True):
        assert window is not None
        segments = _take(engine, track, window, result, options)
        yield Progress(track, segments, track.walk.window is None)


def _find_languages(engine: Engine, step: FullStep, tracks: list[Track]) -> None:
    if all(track.language is not None for track in tracks):
        return
    found = engine.languages(step)
    for track, (language, probability) in zip(tracks, found, strict=True):
        if track.language is None:
            track.language, track.language_probability = language, probability


def _prompt(engine: Engine, track: Track, options: TranscribeOptions) -> list[int]:
    """What was said before, and the start of transcript."""
    tokenizer = engine.tokenizer
    start = tokenizer.prompt(track.language, options.task, not options.without_timestamps)
    previous = track.walk.prompt(engine.config.target_positions // 2 - 1)
    if not previous or tokenizer.startofprev is None:
        return list(start)
    return [tokenizer.startofprev, *previous, *start]


def _take(
    engine: Engine, track: Track, window: Window, result: Decoded, options: TranscribeOptions
) -> tuple[Segment, ...]:
    if is_silent(result, options):
        track.walk.skip()
        return ()
    tokenizer = engine.tokenizer
    ratio = compression_ratio(tokenizer.decode(result.tokens).strip())
    pieces = track.walk.accept(result.tokens, tokenizer.timestamp_begin, tokenizer.decode, tokenizer.timestamp_end)
    duration = len(track.samples) / mel.SAMPLE_RATE
    segments = tuple(
        Segment(
            id=len(track.segments) + offset,
            seek=window.seek,
            start=round(min(piece.start, duration), 3),
            end=round(min(piece.end, duration), 3),
            text=piece.text,
            tokens=piece.tokens,
            temperature=0.0,
            avg_logprob=result.avg_logprob,
            compression_ratio=ratio,
            no_speech_prob=result.no_speech_prob,
        )
        for offset, piece in enumerate(pieces)
    )
    track.segments += segments
    return segments


def is_silent(result: Decoded, options: TranscribeOptions) -> bool:
    """openai/whisper's test: likely no speech, and the text is not sure of itself either."""
    if options.no_speech_threshold is None or result.no_speech_prob <= options.no_speech_threshold:
        return False
    return options.logprob_threshold is None or result.avg_logprob <= options.logprob_threshold


def compression_ratio(text: str) -> float:
    """Bytes of the text by bytes of its zlib compression; above 2.4 it repeats itself."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))
