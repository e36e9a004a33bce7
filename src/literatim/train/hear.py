"""What a model says of recordings, window by window: what a draft of it is to foretell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from literatim.options import TranscribeOptions
from literatim.pipeline.engine import Engine
from literatim.pipeline.pieces import Window
from literatim.pipeline.reading import Voice
from literatim.pipeline.safeguards import is_silent
from literatim.pipeline.transcribe import Track, begin


@dataclass(frozen=True)
class Heard:
    """One window: the encoder's states (S, D), the tokens given, and those said, with the end where it came.

    `recording` is its number among those heard, `seek` the window's first mel frame; `most` tokens could be said.
    """

    recording: int
    seek: int
    states: Tensor
    prompt: tuple[int, ...]
    said: tuple[int, ...]
    most: int


def hear(
    engine: Engine, recordings: Iterable[Tensor], options: TranscribeOptions, encoder: nn.Module | None = None
) -> Iterator[Heard]:
    """Decode every window of recordings (S,), `options.rows` at a time, as transcribing them does.

    The states are those of `encoder`, by default the model's, as it is called for each window.
    """
    rules = engine.rules(options)
    waiting = _tracks(engine, recordings, options)
    active: list[Track] = []
    while active := [*active, *islice(waiting, options.rows - len(active))]:
        windows = [_window(track) for track in active]
        with _overheard(engine.model.encoder if encoder is None else encoder) as calls:
            engine.listen(
                [
                    engine.features(track.samples, window.seek, window.frames, track.peak)
                    for track, window in zip(active, windows, strict=True)
                ]
            )
        states = torch.cat(calls)  # (B, S, D)
        _find_languages(engine, active)
        prompts = [_prompt(engine, track, options) for track in active]
        results = engine.decode(prompts, rules, options.max_new_tokens)
        for track, window, state, prompt, result in zip(active, windows, states, prompts, results, strict=False):
            tokens, context = result.tokens, engine.config.target_positions
            most = min(options.max_new_tokens or context // 2, context - len(prompt) + 1)
            said = tokens if len(tokens) == most else (*tokens, engine.tokenizer.eot)
            yield Heard(track.key, window.seek, state, tuple(prompt), said, most)
            if is_silent(result, options):
                track.walk.skip()
            else:
                stamps = engine.tokenizer.timestamp_begin, engine.tokenizer.timestamp_end
                track.walk.accept(tokens, stamps[0], engine.tokenizer.decode, stamps[1])
        active = [track for track in active if track.walk.window is not None]


def _tracks(engine: Engine, recordings: Iterable[Tensor], options: TranscribeOptions) -> Iterator[Track]:
    language = options.language if engine.tokenizer.is_multilingual else "en"
    for number, samples in enumerate(recordings):
        yield begin(engine, number, 0, samples, options, Voice(language))


def _window(track: Track) -> Window:
    window = track.walk.window
    assert window is not None
    return window


@contextmanager
def _overheard(encoder: nn.Module) -> Iterator[list[Tensor]]:
    """What the encoder returns meanwhile."""
    calls: list[Tensor] = []
    handle = encoder.register_forward_hook(lambda _module, _inputs, states: calls.append(states))
    try:
        yield calls
    finally:
        handle.remove()


def _find_languages(engine: Engine, tracks: list[Track]) -> None:
    if all(track.language is not None for track in tracks):
        return
    for track, (language, _) in zip(tracks, engine.languages(len(tracks)), strict=True):
        track.voice.language = track.language or language


def _prompt(engine: Engine, track: Track, options: TranscribeOptions) -> list[int]:
    tokenizer = engine.tokenizer
    start = tokenizer.prompt(track.language, options.task, not options.without_timestamps)
    previous = track.walk.prompt(engine.config.target_positions // 2 - 1)
    return [tokenizer.startofprev, *previous, *start] if previous and tokenizer.startofprev is not None else [*start]
