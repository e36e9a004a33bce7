"""Whole recordings of several windows: the segments of openai/whisper's own loop, and those of transformers.

openai/whisper decides; transformers differs from it, and so from us, as the comparisons below say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from literatim.api import load
from openai_cases import OPENAI_SHAPES, RATE, SPOKEN, TIME, OpenaiPairs, both_ways, check, sound, transcribe
from whisper_builders import random_whisper_folder

# transformers' long form, on windows of two seconds


SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "distil": {"encoder_layers": 3, "decoder_layers": 1, "num_mel_bins": 128},
    "odd": {"d_model": 30, "encoder_attention_heads": 5, "decoder_attention_heads": 3, "max_source_positions": 75},
    "ends early": {"end_gain": 4.0},
}
MOST = 24  # transformers wants room for them beside a full prompt


class Both:
    """A folder in our recognizer and in transformers."""

    def __init__(self, folder: Path) -> None:
        self.ours = load(folder, device="cpu")
        self.theirs = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        self.extractor = WhisperFeatureExtractor.from_pretrained(folder)
        self.timestamp_begin = self.ours._engine.tokenizer.timestamp_begin
        self.window_seconds = self.ours._engine.config.window_frames / 100

    def transformers_segments(self, samples: Tensor, conditioned: bool) -> list[dict[str, Any]]:
        inputs = self.extractor(
            samples.numpy(),
            sampling_rate=RATE,
            truncation=False,
            padding="longest",
            return_attention_mask=True,
            return_tensors="pt",
        )
        found = self.theirs.generate(
            **inputs,
            language="en",
            task="transcribe",
            return_timestamps=True,
            return_segments=True,
            condition_on_prev_tokens=conditioned,
            max_new_tokens=MOST,
        )
        return found["segments"][0]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    root = tmp_path_factory.mktemp("long")
    return {
        name: Both(random_whisper_folder(root / name, 40 + seed, **shape))
        for seed, (name, shape) in enumerate(SHAPES.items())
    }


@pytest.mark.parametrize("conditioned", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", SHAPES)
def test_segments_are_those_of_transformers(name: str, seed: int, conditioned: bool, both: dict[str, Both]) -> None:
    """Where a window ends with two timestamps, transformers leaves the second in its last segment.

    It also keeps segments without text or length, which openai/whisper leaves out, and conditions on them: then
    the two part from there on. And it lets times lie beyond the end. The limit of new tokens is low because
    transformers refuses half the context of them after a full prompt.
    """
    pair = both[name]
    samples = sound(3.5 * pair.window_seconds, seed)
    duration = len(samples) / RATE
    ours = transcribe(pair.ours, samples, condition_on_previous_text=conditioned, max_new_tokens=MOST)
    theirs: list[tuple[float, float, tuple[int, ...]]] = []
    comparable = None  # how many segments come before transformers conditions on one that we leave out
    for segment in pair.transformers_segments(samples, conditioned):
        tokens = tuple(segment["tokens"].tolist())
        if len(tokens) > 1 and min(tokens[-2:]) >= pair.timestamp_begin:
            tokens = tokens[:-1]
        heard = pair.ours._engine.tokenizer.decode(tokens).strip()
        if heard and segment["start"] < segment["end"]:
            theirs.append((float(segment["start"]), float(segment["end"]), tokens))
        elif conditioned and comparable is None:
            comparable = len(theirs)
    assert len({segment.seek for segment in ours}) >= 3
    ours, theirs = ours[:comparable], theirs[:comparable]
    assert len(ours) > 0
    assert [segment.tokens for segment in ours] == [tokens for *_, tokens in theirs]
    starts, ends = [s.start for s in ours], [s.end for s in ours]
    assert [min(start, duration) for start in starts] == pytest.approx([min(s, duration) for s, *_ in theirs], abs=TIME)
    assert [min(end, duration) for end in ends] == pytest.approx([min(e, duration) for _, e, _ in theirs], abs=TIME)


# openai/whisper's own loop: windows of 30 s and its own vocabulary, in a narrow network


@pytest.mark.parametrize("conditioned", [False, True])
@pytest.mark.parametrize("name", OPENAI_SHAPES)
def test_segments_are_those_of_openai_whisper(name: str, conditioned: bool, openai_pairs: OpenaiPairs) -> None:
    samples = sound(95.03 if name == "narrow" else 62.03, 3)
    ours, theirs = both_ways(openai_pairs[name], samples, condition_on_previous_text=conditioned)
    check(ours, theirs, len(samples) / RATE)
    assert len({segment.seek for segment in ours}) >= (3 if name == "narrow" else 2)


def test_an_initial_prompt_is_openai_whispers(openai_pairs: OpenaiPairs) -> None:
    samples = sound(61.0, 4)
    ours, theirs = both_ways(openai_pairs["narrow"], samples, initial_prompt="  Words that came before, Zoë.")
    check(ours, theirs, 61.0)
    assert ours[0].tokens != transcribe(openai_pairs["narrow"][0], samples, suppress_tokens=SPOKEN)[0].tokens


def test_text_without_timestamps_is_openai_whispers(openai_pairs: OpenaiPairs) -> None:
    samples = sound(61.0, 5)
    ours, theirs = both_ways(openai_pairs["narrow"], samples, without_timestamps=True, task="translate")
    check(ours, theirs, 61.0)


@pytest.mark.parametrize("with_logprob", [False, True])
def test_silent_windows_are_skipped_as_by_openai_whisper(with_logprob: bool, openai_pairs: OpenaiPairs) -> None:
    """Thresholds between what was measured, so that some windows are skipped and some are not."""
    pair, samples = openai_pairs["narrow"], sound(85.03, 3)
    plain: dict[str, Any] = {"condition_on_previous_text": False, "suppress_tokens": SPOKEN}
    every = transcribe(pair[0], samples, logprob_threshold=None, **plain)
    quiet = sorted({segment.no_speech_prob for segment in every})
    sure = sorted({segment.avg_logprob for segment in every})
    assert len(quiet) >= 3
    thresholds = {"no_speech_threshold": (quiet[0] + quiet[1]) / 2}
    if with_logprob:
        thresholds["logprob_threshold"] = (sure[-1] + sure[-2]) / 2
    ours, theirs = both_ways(pair, samples, **plain, **thresholds)
    check(ours, theirs, len(samples) / RATE)
    assert 0 < len({segment.seek for segment in ours}) < len({segment.seek for segment in every})
