"""Whatever draft, numbers of proposals, batch and neighbours: a row is the plain loop's, alone, to the last bit."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from literatim import device as devices
from literatim.api import Recognizer
from literatim.decode.pace import AdaptivePace, Pace
from literatim.types import Transcript
from reference.languages import tell_apart
from speculation_cases import CPU, DRAFTS, FAMILIES, OTHERS, Case, Cycle, Model, Models, smallest

pytestmark = pytest.mark.skipif(
    not all(devices.packs_linear(CPU, dtype) for dtype in (torch.float32, torch.bfloat16)),
    reason="this CPU's torch has no oneDNN",
)
RATE = 16_000
EACH, SLOW = 5, 1000  # cases of a kind, and cases in the slow test, by each of KERNELS
KERNELS = ["", "none"]  # the compiled ones, and torch's operators
KINDS = [
    ("two layers", "float32", "near"),
    ("two layers", "bfloat16", "middling"),
    ("more bands", "float32", "one layer"),
    ("more bands", "bfloat16", "own ears"),
    ("odd heads", "float32", "few ids"),
    ("one head", "bfloat16", "same"),
    ("ends early", "float32", "middling"),
    ("ends early", "bfloat16", "few ids"),
    ("three languages", "float32", "own ears"),
    ("own output", "float32", "same"),
    ("long text", "bfloat16", "near"),
    ("screened", "float32", "near"),
]


@pytest.fixture(scope="module", params=KERNELS, ids=["kernels", "torch"])
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITERATIM_KERNELS", request.param)
        yield Models(tmp_path_factory.mktemp("speculation"))


def check(case: Case, models: Models) -> None:
    """Fails with the smallest case like this one."""
    if models.differences(case):
        least = smallest(case, lambda other: bool(models.differences(other)))
        pytest.fail(f"{least}: {'; '.join(models.differences(least))}")


def test_the_kinds_are_of_every_sort() -> None:
    families, dtypes, drafts = (set(parts) for parts in zip(*KINDS, strict=True))
    assert families == set(FAMILIES)
    assert dtypes == {"float32", "bfloat16"}
    assert drafts >= {*DRAFTS, *OTHERS} - {"far"}


@pytest.mark.parametrize("kind", KINDS, ids=", ".join)
def test_batches_are_their_rows_alone(kind: tuple[str, str, str], models: Models) -> None:
    for seed in range(EACH):
        check(Case.random(1000 * KINDS.index(kind) + seed, kind), models)


def test_the_cases_are_alive(models: Models) -> None:
    """Drafts are right and wrong, rows short and long, ends and limits inside of proposals."""
    for kind in KINDS[:2]:
        for seed in range(EACH):
            check(Case.random(1000 * KINDS.index(kind) + seed, kind), models)
    model = models.of(Case.random(0, KINDS[0]))
    texts = [result.tokens for result in model.alone.values()]
    assert len({len(text) for text in texts}) > 5
    assert len(set(texts)) > 0.5 * len(texts)
    seen = models.seen
    assert 0.1 * seen["proposed"] < seen["accepted"] < 0.9 * seen["proposed"]


@pytest.mark.slow
def test_many_batches_are_their_rows_alone(models: Models) -> None:
    for seed in range(SLOW):
        check(Case.random(seed), models)


# whole recordings: windows join the batch as others end


def recording(number: int) -> np.ndarray:
    """Between a third of a second and three: noise and a tone, at its own loudness."""
    dice = np.random.default_rng(number)
    samples = int(RATE * (0.3 + 0.5 * number))
    tone = np.sin(2 * np.pi * 131 * (number + 1) * np.arange(samples) / RATE)
    return (dice.uniform(0.05, 0.4) * (tone + 0.5 * dice.standard_normal(samples))).astype(np.float32)


RECORDINGS = [recording(number) for number in range(6)]
WAYS: list[dict[str, Any]] = [
    {},
    {"language": "nl", "without_timestamps": True, "temperature": 0.7},
    {"task": "translate", "without_timestamps": True, "initial_prompt": "said before"},
    {"language": "en", "word_timestamps": True},
    {"temperature": (0.0, 0.3, 0.9), "logprob_threshold": -0.8, "compression_ratio_threshold": 1.8},
    {"temperature": (0.0, 0.3, 0.9), "logprob_threshold": -0.8, "compression_ratio_threshold": 1.8, "best_of": 3},
    {"temperature": (0.0, 0.3), "logprob_threshold": -0.8, "beam_size": 3, "best_of": 2},
    {"no_repeat_ngram_size": 2, "repetition_penalty": 1.3, "hotwords": "words", "clip_timestamps": (0.2, 0.5, 0.6)},
]


def transcripts(model: Model, audios: list[np.ndarray], pace: Pace, **options: Any) -> list[Transcript]:
    """In their order, without the figures of speculation."""
    model.engine.pace = pace
    options = {"no_speech_threshold": None, "temperature": 0.0, "strategy": "sequential", **options}
    found = Recognizer(model.engine, "x").transcribe_many(audios, **options)
    ordered = sorted(found, key=lambda outcome: outcome.index)
    assert all(outcome.transcript is not None for outcome in ordered)
    return [replace(outcome.transcript, speculation=None) for outcome in ordered]  # type: ignore[type-var]


@pytest.mark.parametrize("way", range(len(WAYS)))
@pytest.mark.parametrize("kernels", KERNELS, ids=["kernels", "torch"])
@pytest.mark.parametrize(
    ("family", "dtype", "draft"),
    [("two layers", "float32", "near"), ("more bands", "bfloat16", "own ears"), ("screened", "float32", "few ids")],
)
def test_recordings_that_join_late(
    family: str, dtype: str, draft: str, way: int, kernels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows leave and others take their slots; every figure of every transcript is as of one recording alone."""
    monkeypatch.setenv("LITERATIM_KERNELS", kernels)
    model = Model(family, dtype, tmp_path)
    tell_apart(model.folder, RECORDINGS[2], RECORDINGS[3])
    options = WAYS[way]
    alone = [transcripts(model, [audio], Pace(), batch_size=1, **options)[0] for audio in RECORDINGS]
    assert len({found.text for found in alone}) > 1
    if "logprob_threshold" in options:
        heats = {segment.temperature for found in alone for segment in found.segments}
        assert len(heats) > 1, "no fallback"
    model.engine.assistant = model.assistant(draft)
    for batch_size, pace in ((2, Cycle((3, 0, 5, 1, 0, 16))), (4, AdaptivePace())):
        assert transcripts(model, RECORDINGS, pace, batch_size=batch_size, **options) == alone


FALLS: dict[str, Any] = {"strategy": "batched", "vad_filter": False, "temperature": (0.0, 0.3, 0.9)}
FALLS |= {"compression_ratio_threshold": 1.8}
PIECES: list[dict[str, Any]] = [
    FALLS,
    {**FALLS, "prefix": "it", "clip_timestamps": (0.1, 0.9, 1.2), "best_of": 2},
    {**FALLS, "language": "nl", "word_timestamps": True, "initial_prompt": "said before"},
    {**FALLS, "without_timestamps": True, "compression_ratio_threshold": 1.2},
]
MODELS = [("two layers", "float32", "near"), ("more bands", "bfloat16", "own ears"), ("screened", "float32", "few ids")]


def that_half_fail(model: Model, options: dict[str, Any]) -> float:
    """A threshold of the log-probability between the pieces of this model: some fall back, and some do not."""
    plain = {
        **options,
        "temperature": 0.0,
        "logprob_threshold": None,
        "compression_ratio_threshold": None,
        "best_of": 1,
    }
    found = transcripts(model, RECORDINGS, Pace(), batch_size=1, **plain)
    return statistics.median(segment.avg_logprob for one in found for segment in one.segments)


@pytest.mark.parametrize(
    ("model", "way"),
    [
        pytest.param(MODELS[model], way, marks=[] if (model, way) in {(0, 0), (0, 1)} else [pytest.mark.slow])
        for model in range(len(MODELS))
        for way in range(len(PIECES))
    ],
)
def test_pieces_fall_back_alike_in_any_batch(model: tuple[str, str, str], way: int, tmp_path: Path) -> None:
    """Strategy batched with real fallbacks: at batch 1, 4 and 16, without a draft and with one."""
    family, dtype, draft = model
    made = Model(family, dtype, tmp_path)
    tell_apart(made.folder, RECORDINGS[2], RECORDINGS[3])
    options = {**PIECES[way], "logprob_threshold": that_half_fail(made, PIECES[way])}
    alone = transcripts(made, RECORDINGS, Pace(), batch_size=1, **options)
    heats = [segment.temperature for found in alone for segment in found.segments]
    assert len(set(heats)) > 1, "no fallback"
    assert len({found.text for found in alone}) > 1
    for batch_size in (4, 16):
        assert transcripts(made, RECORDINGS, Pace(), batch_size=batch_size, **options) == alone
    made.engine.assistant = made.assistant(draft)
    for batch_size, pace in ((1, Pace(4)), (4, AdaptivePace()), (16, Cycle((3, 0, 5, 1, 0, 16)))):
        assert transcripts(made, RECORDINGS, pace, batch_size=batch_size, **options) == alone
