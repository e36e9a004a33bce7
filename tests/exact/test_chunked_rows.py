"""Strategy chunked: the same chunks as transformers' `chunk_iter`, and the same text in any batch, with any draft."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.pipelines.automatic_speech_recognition import chunk_iter

from literatim.api import Recognizer, load
from literatim.audio.decode import decode
from literatim.audio.strides import Strider, Strides
from literatim.demo import recording_path
from literatim.errors import OptionError
from literatim.options import TranscribeOptions
from literatim.pipeline import strategy
from literatim.types import Transcript

RATE = 16_000


class Extractor:
    """In place of transformers': the samples themselves."""

    sampling_rate = RATE

    def __call__(self, chunk: np.ndarray, **_: Any) -> dict[str, Any]:
        """The chunk."""
        return {"samples": chunk}


@settings(max_examples=60)
@given(st.integers(1, 400), st.integers(5, 90), st.integers(0, 30), st.integers(0, 30), st.integers(1, 50))
def test_chunks_are_those_of_transformers(total: int, chunk: int, left: int, right: int, piece: int) -> None:
    """However the samples come in; no more than a chunk of them, and what came last, is held."""
    left, right = left * chunk // 64, right * chunk // 64
    samples = np.arange(total, dtype=np.float32)
    theirs = [
        (item["samples"].tolist(), item["stride"][1:], item["is_last"])
        for item in chunk_iter(samples, Extractor(), chunk, left, right)
    ]
    strider, found = Strider(Strides(chunk, left, right)), []
    for first in range(0, total, piece):
        found += list(strider.push(torch.from_numpy(samples[first : first + piece])))
        assert len(strider._held) <= chunk
    found += list(strider.finish())
    assert [(item.samples.tolist(), (item.left, item.right), item.last) for item in found] == theirs
    assert all(item.start == item.samples[0] for item in found)


@pytest.mark.parametrize(
    ("chunk", "stride", "expected"),
    [
        (None, None, (480_000, 80_000, 80_000)),
        (15.0, None, (240_000, 40_000, 40_000)),
        (20.0, (4.0,), (320_000, 64_000, 64_000)),
        (20.0, (4.0, 2.0), (320_000, 64_000, 32_000)),
        (0.3, (0.0,), (4_800, 0, 0)),
    ],
)
def test_lengths_are_seconds(chunk: float | None, stride: tuple[float, ...] | None, expected: tuple[int, ...]) -> None:
    assert Strides.of(chunk, stride, 480_000) == Strides(*expected)


@pytest.mark.parametrize(
    ("chunk", "stride", "why"),
    [(30.1, None, "holds 30 s"), (10.0, (5.0,), "too long"), (9.0, (8.0, 2.0), "too long"), (9.0, (1, 1, 1), "or two")],
)
def test_lengths_that_cannot_be_are_refused(chunk: float, stride: tuple[float, ...] | None, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        Strides.of(chunk, stride, 480_000)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"condition_on_previous_text": True}, "leave condition_on_previous_text out"),
        ({"vad_filter": True}, "cuts by the clock"),
        ({"word_timestamps": True}, "words have no times"),
        ({"clip_timestamps": (1.0,)}, "clip_timestamps is of the whole recording"),
        ({"prefix": "So"}, "prefix is of the whole recording"),
        ({"chunk_length_s": float("nan")}, "must lie between"),
        ({"stride_length_s": (1, -1)}, "must lie between"),
        ({"stride_length_s": "1"}, "must be a number"),
        ({"strategy": "batched", "chunk_length_s": 10}, "not of batched"),
        ({"strategy": "sequential", "stride_length_s": 1}, "not of sequential"),
    ],
)
def test_what_chunks_cannot_be_given_is_refused(demo: Recognizer, options: dict[str, Any], why: str) -> None:
    with pytest.raises(OptionError, match=why):
        demo.transcribe("no such file", **{"strategy": "chunked", **options})


def test_a_length_of_chunks_chooses_the_strategy(demo: Recognizer) -> None:
    def came_to(several: bool, **options: Any) -> tuple[str, bool | None, bool | None]:
        found = strategy.resolved(TranscribeOptions(**options), several)
        return found.strategy, found.vad_filter, found.condition_on_previous_text

    assert came_to(False, chunk_length_s=30) == ("chunked", False, False)
    assert came_to(True, stride_length_s=2, batch_size=4) == ("chunked", False, False)
    assert strategy.settled({"chunk_length_s": 9.0}, True) == {"chunk_length_s": 9.0, "strategy": "chunked"}
    with pytest.raises(OptionError, match="a stream has windows that grow"):
        demo.live(chunk_length_s=10)


@pytest.fixture(scope="module")
def demo() -> Recognizer:
    return load("demo", device="cpu", assistant="none")


def recordings() -> list[np.ndarray]:
    """Of real words, of two languages, and of noise that takes every temperature."""
    meeting, talk = (decode(recording_path(name)).samples[0] for name in ("meeting", "vergadering"))
    noise = np.random.default_rng(3).normal(0, 0.1, 5 * RATE).astype(np.float32)
    return [meeting[: 13 * RATE], talk[: 7 * RATE], noise, meeting[13 * RATE : 18 * RATE]]


ASKED: dict[str, Any] = {"strategy": "chunked", "chunk_length_s": 6.0, "logprob_threshold": -0.18}


def together(recognizer: Recognizer, rows: int) -> list[Transcript]:
    """All of them in one batch, in their order."""
    found = {
        outcome.index: outcome.transcript
        for outcome in recognizer.transcribe_many(recordings(), batch_size=rows, **ASKED)
    }
    return [transcript for _, transcript in sorted(found.items()) if transcript is not None]


def said(transcripts: list[Transcript]) -> list[Transcript]:
    """Without what a draft did for them."""
    return [replace(transcript, speculation=None) for transcript in transcripts]


def test_neither_batch_nor_draft_changes_a_word(demo: Recognizer) -> None:
    """Fallback included: the threshold is one that some chunks pass and some do not."""
    apart = [demo.transcribe(samples, batch_size=1, **ASKED) for samples in recordings()]
    assert len(apart) == 4
    temperatures = {segment.temperature for transcript in apart for segment in transcript.segments}
    assert 0.0 in temperatures
    assert len(temperatures) > 1
    assert together(demo, 5) == apart
    drafted = load("demo", device="cpu", assistant="demo-draft")
    assert said(together(drafted, 16)) == apart


def test_segments_come_in_order_while_the_recording_is_read(demo: Recognizer) -> None:
    samples, heard, shares = recordings()[0], [], list[float]()
    whole = demo.transcribe(
        samples, on_segment=heard.append, progress_callback=shares.append, batch_size=2, chunk_length_s=4.0
    )
    assert tuple(heard) == whole.segments == tuple(demo.stream(samples, chunk_length_s=4.0))
    assert [segment.id for segment in whole.segments] == list(range(len(whole.segments))) != []
    assert all(one.end <= other.end and one.start <= one.end for one, other in pairwise(whole.segments))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) > 3
    assert whole.segments[-1].end <= whole.duration
