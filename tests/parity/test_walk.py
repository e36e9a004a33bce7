"""The way through a recording beside openai/whisper's own loop, which is given the same made-up windows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from literatim.pipeline.pieces import Piece
from literatim.pipeline.windows import Walk
from literatim.types import Word
from reference.openai_whisper import openai
from tokenizer_builders import openai_tokenizer

WINDOW, BEGIN = 3000, 50364
TEXTS = (" one", " two", " three", ".", " -", "?")
ASKED: dict[str, Any] = {"no_speech_threshold": None, "logprob_threshold": None, "compression_ratio_threshold": None}


@dataclass(frozen=True)
class Said:
    """What a model might say of the window at one place: tokens, whether it was cool, and words for each segment."""

    tokens: list[int]
    temperature: float
    seed: str

    def words(self, number: int, start: float, end: float, count: int) -> list[dict[str, Any]]:
        """Of the `number`th segment: in order, some of them unlikely, too short or too long, some after a pause."""
        chance = random.Random(f"{self.seed} {number}")
        at, found = start + chance.choice((0, 0, 0.3, 3)), []
        for _ in range(count and chance.randint(0, 5)):
            until = at + chance.choice((0.0, 0.02, 0.1, 0.2, 0.3, 0.4, 2.5))
            sure = chance.choice((0.1, 0.3, 0.5, 0.9))
            found.append(
                {"word": chance.choice(TEXTS), "start": round(at, 2), "end": round(until, 2), "probability": sure}
            )
            at = until + chance.choice((0, 0, 0, 1.2))
        return found


def said(seed: int, seek: int, frames: int, ids: list[int]) -> Said:
    """Timestamps never go back, and two are never the window's beginning: openai/whisper would stay there for ever."""
    chance = random.Random(f"{seed} {seek}")
    steps = sorted(chance.sample(range(frames // 2), 2 * min(frames // 4, chance.randint(0, 3))))
    tokens = []
    for first, last in zip(steps[::2], steps[1::2], strict=True):
        last = first if chance.random() < 0.1 and first else last
        tokens += [BEGIN + first, *chance.choices(ids, k=chance.randint(not first, 4)), BEGIN + last]
    if steps and chance.random() < 0.3:  # the last segment has no end
        tokens = tokens[:-1]
    if not steps:
        tokens = chance.choices(ids, k=chance.randint(0, 3))
    return Said(tokens, chance.choice((0.0, 0.0, 0.6)), f"{seed} {seek}")


@contextmanager
def made_up(answer: Callable[[int, int], Said], frames: int) -> Iterator[Any]:
    """openai/whisper's loop over a recording of so many frames, and the prompts it gave."""
    module, prompts, now = openai("transcribe"), [], {}
    before = module.log_mel_spectrogram, module.pad_or_trim, module.add_word_timestamps

    def pad_or_trim(mel: torch.Tensor, *_: Any) -> torch.Tensor:
        now.update(seek=mel.storage_offset(), frames=mel.shape[1])
        return mel

    def decode(_: Any, options: Any) -> Any:
        found = now["said"] = answer(now["seek"], now["frames"])
        prompts.append(list(options.prompt))
        return SimpleNamespace(
            tokens=found.tokens,
            temperature=found.temperature,
            avg_logprob=-0.1,
            compression_ratio=1.0,
            no_speech_prob=0.0,
        )

    def add_word_timestamps(*, segments: list[dict[str, Any]], **_: Any) -> None:
        for number, segment in enumerate(segments):
            count = sum(token < BEGIN for token in segment["tokens"])
            segment["words"] = now["said"].words(number, segment["start"], segment["end"], count)
            if segment["words"]:
                segment.update(start=segment["words"][0]["start"], end=segment["words"][-1]["end"])

    module.log_mel_spectrogram = lambda *_, **__: torch.zeros(1, frames + WINDOW)
    module.pad_or_trim, module.add_word_timestamps = pad_or_trim, add_word_timestamps
    sizes = SimpleNamespace(n_mels=1, n_audio_ctx=WINDOW // 2, n_text_ctx=448)
    model = SimpleNamespace(
        device=torch.device("cpu"), dims=sizes, is_multilingual=True, num_languages=99, decode=decode
    )
    try:
        yield lambda **options: (
            module.transcribe(model, torch.zeros(1), fp16=False, language="en", **ASKED, **options)["segments"],
            prompts,
        )
    finally:
        module.log_mel_spectrogram, module.pad_or_trim, module.add_word_timestamps = before


def walked(way: Walk, answer: Callable[[int, int], Said], worded: bool, text_of: Any) -> tuple[list[Any], list[Any]]:
    """What we make of the same."""
    found, prompts = [], []
    while (window := way.window) is not None:
        answered = answer(window.seek, window.frames)
        prompts.append(way.prompt(10_000))

        def align(pieces: Sequence[Piece], _: float, answered: Said = answered) -> list[Piece]:
            timed = []
            for number, piece in enumerate(pieces):
                count = sum(token < BEGIN for token in piece.tokens)
                words = tuple(Word(**word) for word in answered.words(number, piece.start, piece.end, count))
                times = {"start": words[0].start, "end": words[-1].end} if words else {}
                timed.append(replace(piece, words=words, **times))
            return timed

        pieces = way.accept(
            answered.tokens, BEGIN, text_of, align=align if worded else None, temperature=answered.temperature
        )
        found += [(window.seek, piece) for piece in pieces]
    return found, prompts


IDS = [token for text in TEXTS for token in openai_tokenizer(language="en", task="transcribe").encode(text)]


def both(
    seed: int, frames: int, conditioned: bool, worded: bool, silence: float | None
) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Segments and prompts: ours, then theirs."""
    tokenizer, asked = openai_tokenizer(language="en", task="transcribe"), 0

    def answer(seek: int, count: int) -> Said:
        nonlocal asked
        asked += 1
        assert asked < 5000, "one of the two does not come to its end"
        return said(seed, seek, count, IDS)

    with made_up(answer, frames) as openai_loop:
        theirs, their_prompts = openai_loop(
            condition_on_previous_text=conditioned, word_timestamps=worded, hallucination_silence_threshold=silence
        )
    way = Walk(frames, WINDOW, (), conditioned, silence=silence)
    ours, prompts = walked(way, answer, worded, lambda tokens: tokenizer.decode([t for t in tokens if t < BEGIN]))
    return ours, prompts, [segment for segment in theirs if segment["tokens"]], their_prompts


@pytest.mark.parametrize("threshold", ["no words", None, 0.0, 0.5, 2.0])
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), frames=st.integers(1, 20_000), conditioned=st.booleans())
def test_windows_and_segments_are_openai_whispers(
    threshold: float | str | None, seed: int, frames: int, conditioned: bool
) -> None:
    """To the last bit, and the prompts too; hallucinated words, where the threshold is one, among them."""
    worded, silence = threshold != "no words", threshold if isinstance(threshold, float) else None
    ours, prompts, theirs, their_prompts = both(seed, frames, conditioned, worded, silence)
    assert prompts == their_prompts
    assert [(seek, piece.tokens) for seek, piece in ours] == [(s["seek"], tuple(s["tokens"])) for s in theirs]
    assert [(piece.start, piece.end) for _, piece in ours] == [(s["start"], s["end"]) for s in theirs]
    if worded:
        words = [[(word.word, word.start, word.end) for word in piece.words or ()] for _, piece in ours]
        assert words == [[(w["word"], w["start"], w["end"]) for w in s["words"]] for s in theirs]


def test_the_threshold_changes_what_comes_out() -> None:
    """In most of these made-up recordings, and each time by another amount."""
    told = {
        threshold: [len(both(seed, 18_000, False, True, threshold)[0]) for seed in range(12)]
        for threshold in (None, 0.5, 2.0)
    }
    assert sum(few != all for few, all in zip(told[0.5], told[None], strict=True)) >= 8
    assert told[0.5] != told[2.0]
    assert min(map(sum, told.values())) > 40
