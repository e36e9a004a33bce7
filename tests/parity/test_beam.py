"""Beam search and the best of several samples: openai/whisper's own, window by window."""

from __future__ import annotations

from typing import Any

import pytest

from openai_cases import ENDS_SOON, OPENAI_SHAPES, RATE, SPOKEN, OpenaiPairs, both_ways, check, sound, transcribe

SAMPLES = sound(62.03, 3)
WAYS: dict[str, dict[str, Any]] = {
    "two": {"beam_size": 2},
    "five": {"beam_size": 5},
    "patient": {"beam_size": 4, "patience": 2.0},
    "impatient": {"beam_size": 4, "patience": 0.3},
    "four": {"beam_size": 4},
    "short ones": {"beam_size": 4, "length_penalty": 0.1},
    "without times": {"beam_size": 3, "without_timestamps": True, "condition_on_previous_text": False},
    "best of four": {"best_of": 4, "temperature": 0.8},
    "best of three, by another penalty": {"best_of": 3, "temperature": 0.5, "length_penalty": 1.0},
    "beams, then samples": {"beam_size": 3, "best_of": 3, "temperature": (0.0, 0.4, 0.8), "logprob_threshold": -1.5},
}
FAST = ("patient", "beams, then samples")


@pytest.mark.parametrize(
    ("way", "name"),
    [
        pytest.param(way, name, marks=[] if way in FAST and name == ENDS_SOON else [pytest.mark.slow])
        for way in WAYS
        for name in (*OPENAI_SHAPES, ENDS_SOON)
    ],
)
def test_texts_are_openai_whispers(way: str, name: str, openai_pairs: OpenaiPairs) -> None:
    ours, theirs = both_ways(openai_pairs[name], SAMPLES, **WAYS[way])
    check(ours, theirs, len(SAMPLES) / RATE)
    assert len({segment.seek for segment in ours}) >= 2


@pytest.mark.slow
def test_the_ways_give_other_texts(openai_pairs: OpenaiPairs) -> None:
    """None of the options is passed over."""
    pair = openai_pairs[ENDS_SOON]
    plain: dict[str, Any] = {"suppress_tokens": SPOKEN, "logprob_threshold": None, "compression_ratio_threshold": None}
    found = {way: transcribe(pair[0], SAMPLES, **{**plain, **options}) for way, options in WAYS.items()}
    found |= {"greedy": transcribe(pair[0], SAMPLES, **plain)}
    texts = {way: tuple(segment.tokens for segment in segments) for way, segments in found.items()}
    assert [(a, b) for a in texts for b in texts if a < b and texts[a] == texts[b]] == []
