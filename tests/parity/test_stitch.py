"""Chunks that overlap are put together as transformers' speech pipeline does it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import _find_longest_common_sequence

from literatim.decode.stitch import Chunk, Seam, join
from whisper_builders import random_whisper_folder

STEP = 0.02
SECONDS, STRIDE = 2.0, 0.4


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = random_whisper_folder(tmp_path_factory.mktemp("stitch") / "model", 1)
    return WhisperTokenizer.from_pretrained(folder)


small = st.lists(st.integers(40, 44), min_size=0, max_size=9)


@settings(max_examples=300, deadline=None)
@given(st.lists(small, min_size=1, max_size=4))
def test_sequences_are_joined_where_they_are_most_alike(parts: list[list[int]]) -> None:
    expected = _find_longest_common_sequence(parts)
    assert join(parts) == list(expected[0] if isinstance(expected, tuple) else expected)


@st.composite
def said(draw: st.DrawFn) -> list[list[int]]:
    """For each chunk, text tokens and, below zero, timestamps, in any order; these fall where a window more begins."""
    chunks = []
    for _ in range(draw(st.integers(1, 4))):
        tokens: list[int] = []
        at = 0
        for _ in range(draw(st.integers(0, 8))):
            if draw(st.booleans()):
                tokens += draw(st.lists(st.integers(40, 50), min_size=1, max_size=4))
            else:
                at = draw(st.integers(at if draw(st.integers(0, 3)) else 0, 100))
                tokens += [-1 - at] * draw(st.integers(1, 2))
        chunks.append(tokens)
    return chunks


@settings(max_examples=300, deadline=None)
@given(said(), st.sampled_from([0.2, STRIDE, 0.0]), st.floats(0.3, 2.0))
def test_chunks_are_stitched(theirs: Any, chunks: list[list[int]], stride: float, last: float) -> None:
    begin = theirs.convert_tokens_to_ids("<|notimestamps|>") + 1
    lengths = [SECONDS] * (len(chunks) - 1) + [max(last, stride + 0.1)]
    ours, outputs = [], []
    for number, (tokens, seconds) in enumerate(zip(chunks, lengths, strict=True)):
        ids = [token if token >= 0 else begin - 1 - token for token in tokens]
        left, right = stride if number else 0.0, stride if number < len(chunks) - 1 else 0.0
        ours.append(Chunk(ids, seconds, left, right))
        outputs.append({"tokens": torch.tensor([ids], dtype=torch.long), "stride": (seconds, left, right)})
    text, found = theirs._decode_asr(outputs, return_timestamps=True, return_language=None, time_precision=STEP)
    seam = Seam(begin, begin + 101, STEP)
    stretches = [*(item for chunk in ours for item in seam.add(chunk)), *seam.finish()]
    expected = [(*chunk["timestamp"], chunk["text"]) for chunk in found["chunks"]]
    assert [(item.start, item.end, theirs.decode(list(item.tokens))) for item in stretches] == expected
    assert "".join(theirs.decode(list(item.tokens)) for item in stretches) == text
