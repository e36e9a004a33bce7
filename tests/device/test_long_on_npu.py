"""Long recordings on the fake npu: each strategy says what it says on the CPU, and soon meets no new shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from literatim.api import Recognizer, load
from literatim.audio.decode import decode
from literatim.audio.silero import load_silero
from literatim.audio.vad import Detector, Limits, Speech
from literatim.bench import kinds
from literatim.demo import recording_path
from literatim.options import VadOptions
from literatim.verify.fake_npu import OPS, TO_DEVICE, TO_HOST, Call
from reference.transcripts import same
from whisper_builders import random_whisper_folder

RATE = 16_000
STRATEGIES: dict[str, dict[str, Any]] = {
    "sequential": {"word_timestamps": True},
    "chunked": {"batch_size": 4},
    "batched": {"word_timestamps": True, "batch_size": 4},
}
OTHERS = ("sequential", "chunked")


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    return decode(recording_path("noisy")).samples[0]


@pytest.mark.parametrize("strategy", ["batched", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_fallbacks_words_and_cuts_are_the_cpus(strategy: str, noisy: np.ndarray) -> None:
    """At a threshold that some windows fail at every temperature."""
    options = {"strategy": strategy, "temperature": (0.0, 0.6), "logprob_threshold": -0.18, **STRATEGIES[strategy]}
    cpu, npu = (load("demo", device=device, dtype="float32", assistant="none") for device in ("cpu", "npu"))
    samples = noisy[: 12 * RATE]
    expected = cpu.transcribe(samples, **options)
    assert any(segment.temperature > 0 for segment in expected.segments)
    same(npu.transcribe(samples, **options), expected)


def met(recognizer: Recognizer, seconds: float, **options: Any) -> set[Call]:
    """The kinds of calls for so much sound that changes all the time, copies from and to the device left out."""
    random = np.random.default_rng(5)
    loudness = np.repeat(random.uniform(0, 0.5, int(seconds) * 4), RATE // 4)
    samples = (loudness * random.standard_normal(len(loudness))).astype(np.float32)
    OPS.clear()
    given = {"language": "en", "no_speech_threshold": None, "max_new_tokens": 12, **options}
    recognizer.transcribe(samples, **given)
    return {call for call in OPS if call.op not in (TO_DEVICE, TO_HOST)}


@pytest.mark.parametrize("strategy", ["batched", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_texts_of_all_lengths_bring_few_shapes(strategy: str, tmp_path: Path) -> None:
    """At any temperature, with words: what is scored is filled up to a power of two."""
    recognizer = load(random_whisper_folder(tmp_path, 30), device="npu", dtype="float32")
    vocabulary = recognizer._engine.config.vocab_size
    found = met(recognizer, 24, strategy=strategy, vad_filter=False, **STRATEGIES[strategy])
    rows = {call.results[0][0] for call in found if call.op == "aten.mm" and call.results[0][-1] == vocabulary}
    assert rows <= {1, 2, 4, 8, 16, 32, 64}
    assert len(rows) > 3
    assert len(found) < 700


def test_speech_is_found_where_the_cpu_finds_it(noisy: np.ndarray) -> None:
    """Spans to the sample, in pieces of any length; the probabilities within float32's rounding."""
    samples = torch.from_numpy(np.concatenate([noisy, noisy[: 3 * RATE + 77]]))
    spans, probabilities = [], []
    for device in ("cpu", "npu"):
        network, found = load_silero(device), []
        speech = Speech(network, Limits.of(VadOptions(), 8 * RATE))
        for piece in samples.split(50_001):
            found += speech.push(piece)
        spans.append([*found, *speech.finish()])
        detector = Detector(network)
        probabilities.append(torch.cat([detector.push(samples), detector.finish()]))
    assert len(spans[0]) > 3
    assert spans[0] == spans[1]
    torch.testing.assert_close(probabilities[1], probabilities[0], atol=1e-5, rtol=0)
    assert len({call for call in OPS if call.op == "aten.convolution"}) <= 10  # whole blocks, and the recording's end


def test_the_kinds_of_calls_are_counted() -> None:
    recognizer = load("demo", device="npu", dtype="float32", assistant="none")
    found = kinds.run(recognizer, 0.3, 2, ("batched",), lambda _: None)
    (result,) = found["results"]
    assert 100 < result["kinds"] < result["calls"]
    assert result["kinds_after_minutes"][-1][1] <= result["kinds"]
    assert "batched" in kinds.table(found).plain()


@pytest.mark.slow
def test_kinds_stop_growing() -> None:
    """What a long recording needs is there after a minute, but for the smaller batches in which the run ends."""
    recognizer = load("demo", device="npu", dtype="float32", assistant="none")
    found = kinds.run(recognizer, 8, 4, ("batched",), lambda _: None)
    after = found["results"][0]["kinds_after_minutes"]
    early, late = (max(kinds for minute, kinds in after if minute <= limit) for limit in (1, 7))
    assert early > 250
    assert late - early <= 5
