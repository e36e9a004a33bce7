"""Dictations against transformers' speech pipeline, whose windows and stitching MedASR's model card uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LasrFeatureExtractor, LasrForCTC, LasrTokenizer, pipeline

from literatim.api import MedasrRecognizer, load
from medasr_builders import random_lasr_folder

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # transformers'

RATE = 16_000


@dataclass(frozen=True)
class Pair:
    ours: MedasrRecognizer
    theirs: Any


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Ours and transformers' pipeline on one folder."""
    folder = random_lasr_folder(tmp_path_factory.mktemp("medasr"), 7)
    theirs = pipeline(
        "automatic-speech-recognition",
        model=LasrForCTC.from_pretrained(folder),
        tokenizer=LasrTokenizer.from_pretrained(folder),
        feature_extractor=LasrFeatureExtractor.from_pretrained(folder),
    )
    ours = load(folder, device="cpu")
    assert isinstance(ours, MedasrRecognizer)
    return Pair(ours, theirs)


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose colour changes every tenth of a second, so that the tokens do."""
    random = np.random.default_rng(seed)
    count = round(seconds * RATE)
    parts = []
    for _ in range(count // 1600 + 1):
        tones = np.sin(2 * np.pi * random.uniform(100, 7000, (3, 1)) * np.arange(1600) / RATE).sum(0)
        parts.append(0.1 * tones + random.uniform(0.001, 0.05) * random.standard_normal(1600))
    return np.concatenate(parts)[:count].astype(np.float32)


def plain(text: str) -> str:
    """Without what their pipeline leaves in a text of special tokens, and without double spaces."""
    return " ".join(text.replace("</s>", "").replace("<unk>", "").split())


@pytest.mark.parametrize("seconds", [3.0, 19.99, 20.0, 20.01, 43.8, 71.3])
def test_text(pair: Pair, seconds: float) -> None:
    """Of recordings that fit a window, that do not by a sample's breadth, and of several windows."""
    samples = sound(seconds)
    wanted = pair.theirs({"raw": samples, "sampling_rate": RATE}, chunk_length_s=20, stride_length_s=2)["text"]
    assert plain(pair.ours.transcribe(samples).text) == plain(wanted)
    assert len(wanted) > 20 * seconds / 3


@pytest.mark.parametrize(("chunk", "stride"), [(8.0, 1.0), (10.03, (2.0, 0.5)), (7.0, None)])
def test_other_windows(pair: Pair, chunk: float, stride: Any) -> None:
    """Seconds are rounded to whole steps as there; without a stride ours is two seconds, theirs a sixth."""
    samples = sound(33.3, 1)
    own = {} if stride is None else {"stride_length_s": stride}
    theirs = list(stride) if isinstance(stride, tuple) else stride or 2.0
    given = {"raw": samples, "sampling_rate": RATE}
    wanted = pair.theirs(given, chunk_length_s=chunk, stride_length_s=theirs)["text"]
    assert plain(pair.ours.transcribe(samples, chunk_length_s=chunk, **own).text) == plain(wanted)


def test_one_pass_and_windows_agree_where_they_fit(pair: Pair) -> None:
    """Windows of another length make no difference to a recording that fits both."""
    samples = sound(6.0, 2)
    texts = {pair.ours.transcribe(samples, chunk_length_s=length).text for length in (6.0, 20.0, 60.0)}
    assert len(texts) == 1


def test_times_are_those_of_the_steps(pair: Pair) -> None:
    """A word's times lie in its sound: silence before it shifts them by as much, to a step."""
    samples = sound(5.0, 3)
    engine = pair.ours._listener
    steps = engine.hear([torch.from_numpy(samples)])[0]
    found = pair.ours.transcribe(samples, word_timestamps=True)
    words = [word for segment in found.segments for word in segment.words or ()]
    said = [at for at, id in enumerate(steps.ids) if engine.tokenizer.spelled(int(id)).strip()]
    assert words[0].start == pytest.approx(said[0] * 0.04 + 0.0525, abs=1e-3)
    assert words[-1].end == pytest.approx(min(5.0, (said[-1] + 1) * 0.04 + 0.0525), abs=1e-3)


@pytest.mark.parametrize("length", [2320, 16_000, 100_001])
def test_logits_as_they_are_run(pair: Pair, length: int) -> None:
    """On a CPU with weights laid out for it and heads one by one: transformers' logits all the same."""
    samples = sound(length / RATE, 8)[:length]
    mel = pair.theirs.feature_extractor(samples, sampling_rate=RATE, return_tensors="pt")["input_features"]
    with torch.inference_mode():
        wanted, found = pair.theirs.model(mel).logits, pair.ours._listener.logits([torch.from_numpy(samples)])
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
