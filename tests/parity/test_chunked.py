"""Chunks by the clock: text and times are those of transformers' speech pipeline (`chunk_length_s`)."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer, pipeline

from literatim.api import Recognizer, load
from literatim.audio.decode import decode
from literatim.bench.windows import babble
from literatim.demo import model_path, recording_path
from literatim.types import Transcript
from openai_cases import RATE, TIME, sound
from reference.languages import tell_apart
from whisper_builders import random_whisper_folder

MOST = 24
PLAIN: dict[str, Any] = {"language": "en", "temperature": 0.0, "no_speech_threshold": None, "cut_loops": False}
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "distil": {"encoder_layers": 3, "decoder_layers": 1, "num_mel_bins": 128},
    "odd": {"d_model": 30, "encoder_attention_heads": 5, "decoder_attention_heads": 3, "max_source_positions": 150},
    "ends early": {"end_gain": 4.0},
}
WAYS: dict[str, dict[str, Any]] = {
    "usual": {},
    "uneven": {"stride_length_s": (0.5, 0.2)},
    "apart": {"stride_length_s": 0.0},
    "short": {"chunk_length_s": 1.13, "stride_length_s": 0.3},
}
REST = [("meeting", True), ("meeting", False), ("vergadering", True), ("vergadering", False), ("noisy", False)]


class Both:
    """A folder in our recognizer and in transformers' pipeline; windows are at most as long as `seconds`."""

    def __init__(self, folder: Path) -> None:
        self.ours: Recognizer = load(folder, device="cpu", assistant="none")
        self.seconds = self.ours._engine.config.window_frames / 100
        tokenizer = WhisperTokenizer.from_pretrained(folder)
        special = [text for text in tokenizer.get_added_vocab() if "." not in text]
        tokenizer.add_special_tokens({"pad_token": "<|endoftext|>", "extra_special_tokens": special})
        self.theirs = pipeline(
            "automatic-speech-recognition",
            model=WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval(),
            tokenizer=tokenizer,
            feature_extractor=WhisperFeatureExtractor.from_pretrained(folder),
            device="cpu",
        )

    def pipeline(self, samples: np.ndarray, stamps: bool, most: int, way: dict[str, Any]) -> dict[str, Any]:
        """What transformers makes of it, several chunks at a time."""
        asked = {"task": "transcribe", "max_new_tokens": most, "num_beams": 1}
        if way.get("language", "en"):
            asked["language"] = "en"
        given = {"chunk_length_s": self.seconds, **{name: way[name] for name in way if name.endswith("_s")}}
        found = self.theirs(samples.copy(), batch_size=3, return_timestamps=stamps, generate_kwargs=asked, **given)
        return found  # type: ignore[no-any-return]

    def transcribe(self, samples: np.ndarray, stamps: bool, most: int, way: dict[str, Any]) -> Transcript:
        """What we make of it."""
        options = {**PLAIN, "strategy": "chunked", "without_timestamps": not stamps, "max_new_tokens": most, **way}
        return self.ours.transcribe(samples, **options)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    root = tmp_path_factory.mktemp("chunked")
    folders = {
        name: random_whisper_folder(root / name, 60 + at, **shape) for at, (name, shape) in enumerate(SHAPES.items())
    }
    return {name: Both(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def demo() -> Both:
    return Both(model_path("demo"))


def check_times(ours: Transcript, theirs: list[dict[str, Any]], ends: set[float]) -> None:
    """Their segments, but those without text; none of ours is beyond the end of its chunk, or ends before it starts."""
    wanted = [(*item["timestamp"], item["text"]) for item in theirs if item["text"].strip()]
    assert [segment.text for segment in ours.segments] == [text for *_, text in wanted]
    before = 0.0
    for segment, (start, end, _) in zip(ours.segments, wanted, strict=True):
        if start is None:  # where it begins was said in an overlap, and not kept
            start = segment.start
            assert start >= before
        before = segment.end
        end = max(start, ours.duration if end is None else end)
        assert segment.start == pytest.approx(start, abs=TIME) or (segment.start < start and segment.start in ends)
        assert segment.end == pytest.approx(end, abs=TIME) or (segment.end < end and segment.end in ends)


def chunk_ends(both: Both, samples: np.ndarray, way: dict[str, Any]) -> set[float]:
    """By arithmetic: chunks follow each other at their length less both strides."""
    length = way.get("chunk_length_s", both.seconds)
    stride = way.get("stride_length_s", length / 6)
    left, right = stride if isinstance(stride, tuple) else (stride, stride)
    chunk, step = round(length * RATE), round(length * RATE) - round(left * RATE) - round(right * RATE)
    ends = [min(start + chunk, len(samples)) / RATE for start in range(0, len(samples), step)]
    return {round(end, 3) for end in ends}


FAST = [("plain", True, "usual"), ("odd", True, "uneven"), ("plain", True, "short"), ("distil", False, "uneven")]
CASES = [
    pytest.param(*case, marks=[] if case in FAST else pytest.mark.slow) for case in product(SHAPES, (False, True), WAYS)
]


@pytest.mark.parametrize(("name", "stamps", "way"), CASES)
def test_text_and_times_are_those_of_the_pipeline(name: str, stamps: bool, way: str, pairs: dict[str, Both]) -> None:
    both = pairs[name]
    samples = sound(4.65 * both.seconds, 7).numpy()
    ours, theirs = (ask(samples, stamps, MOST, WAYS[way]) for ask in (both.transcribe, both.pipeline))
    if stamps:
        check_times(ours, theirs["chunks"], chunk_ends(both, samples, WAYS[way]))
    assert "".join(ours.text.split()) == "".join(
        theirs["text"].split()
    )  # segments of white space alone are none of ours
    assert len(ours.text) > 20


def test_each_chunk_may_be_in_a_language_of_its_own(tmp_path: Path) -> None:
    """The pipeline detects it anew for each; we do with `multilingual`."""
    english, dutch = (babble(1, 2.0, seed)[0] * (1 + seed) for seed in range(2))
    both = Both(tell_apart(random_whisper_folder(tmp_path, 80), english, dutch))
    samples, way = np.concatenate([english, dutch, dutch]), {"language": None, "multilingual": True}
    way["stride_length_s"] = 0.2
    ours, theirs = (ask(samples, True, MOST, way) for ask in (both.transcribe, both.pipeline))
    check_times(ours, theirs["chunks"], chunk_ends(both, samples, way))
    assert {segment.language for segment in ours.segments} == {"en", "nl"}


@pytest.mark.parametrize(
    ("name", "stamps"), [("noisy", True), *(pytest.param(*case, marks=pytest.mark.slow) for case in REST)]
)
def test_words_of_a_recording_are_those_of_the_pipeline(name: str, stamps: bool, demo: Both) -> None:
    samples = decode(recording_path(name)).samples[0]
    ours, theirs = (ask(samples, stamps, 100, {}) for ask in (demo.transcribe, demo.pipeline))
    if stamps:
        check_times(ours, theirs["chunks"], chunk_ends(demo, samples, {}))
    assert ours.text == theirs["text"]
    assert len(ours.text.split()) > 40
