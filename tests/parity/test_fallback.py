"""Temperature fallback: segments, temperatures and figures are openai/whisper's own, under the same noise."""

from __future__ import annotations

from typing import Any

import pytest

from openai_cases import OPENAI_SHAPES, RATE, SPOKEN, OpenaiPairs, both_ways, check, sound, transcribe

SAMPLES = sound(62.03, 3)
NARROW_IS_FAST = [pytest.param(name, marks=[] if name == "narrow" else [pytest.mark.slow]) for name in OPENAI_SHAPES]


def between(values: list[float]) -> float:
    """Between two of the values, in their midst."""
    ordered = sorted(set(values))
    at = len(ordered) // 2
    assert at
    return (ordered[at - 1] + ordered[at]) / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", OPENAI_SHAPES)
def test_a_temperature_alone(name: str, openai_pairs: OpenaiPairs) -> None:
    ours, theirs = both_ways(openai_pairs[name], SAMPLES, temperature=0.7, seed=5)
    check(ours, theirs, len(SAMPLES) / RATE)
    assert {segment.temperature for segment in ours} == {0.7}


@pytest.mark.parametrize("figure", ["avg_logprob", "compression_ratio"])
@pytest.mark.parametrize("name", NARROW_IS_FAST)
def test_a_threshold_that_some_windows_pass(name: str, figure: str, openai_pairs: OpenaiPairs) -> None:
    """Set in the midst of what was measured without it."""
    pair, temperatures = openai_pairs[name], (0.0, 0.3, 0.5, 0.2)
    plain = transcribe(pair[0], SAMPLES, condition_on_previous_text=False, suppress_tokens=SPOKEN)
    threshold = between([getattr(segment, figure) for segment in plain])
    thresholds = {"avg_logprob": "logprob_threshold", "compression_ratio": "compression_ratio_threshold"}
    options: dict[str, Any] = {thresholds[figure]: threshold, "condition_on_previous_text": False}
    ours, theirs = both_ways(pair, SAMPLES, temperature=temperatures, **options)
    check(ours, theirs, len(SAMPLES) / RATE)
    assert len({segment.temperature for segment in ours}) >= 2


@pytest.mark.slow
def test_text_of_a_high_temperature_is_no_condition(openai_pairs: OpenaiPairs) -> None:
    """Every window takes the last temperature: up to 0.5 the next is told of it, above it is not."""
    pair = openai_pairs["narrow"]
    texts = []
    for last in (0.5, 0.51):
        options: dict[str, Any] = {"logprob_threshold": 0.0, "temperature": (0.0, last)}
        ours, theirs = both_ways(pair, SAMPLES, **options)
        check(ours, theirs, len(SAMPLES) / RATE)
        assert {segment.temperature for segment in ours} == {last}
        apart = transcribe(pair[0], SAMPLES, **options, suppress_tokens=SPOKEN, condition_on_previous_text=False)
        texts.append([segment.tokens for segment in ours] == [segment.tokens for segment in apart])
    assert texts == [False, True]


def test_silent_windows_are_not_tried_again(openai_pairs: OpenaiPairs) -> None:
    """No text is sure of itself: windows that are likely silent are passed, the others tried again."""
    pair, plain = openai_pairs["narrow"], {"condition_on_previous_text": False, "suppress_tokens": SPOKEN}
    every = transcribe(pair[0], SAMPLES, **plain)
    quiet = between([segment.no_speech_prob for segment in every])
    options: dict[str, Any] = {"no_speech_threshold": quiet, "logprob_threshold": 0.0, "temperature": (0.0, 0.4)}
    ours, theirs = both_ways(pair, SAMPLES, **plain, **options)
    check(ours, theirs, len(SAMPLES) / RATE)
    assert {segment.temperature for segment in ours} == {0.4}
    assert {segment.no_speech_prob < quiet for segment in ours} == {True}


@pytest.mark.slow
def test_windows_that_are_sure_of_themselves_are_not_silent(openai_pairs: OpenaiPairs) -> None:
    """All are likely silent, and sure: those that repeat themselves are tried again."""
    options: dict[str, Any] = {"no_speech_threshold": 0.0, "logprob_threshold": -20.0, "temperature": (0.0, 0.4)}
    ours, theirs = both_ways(openai_pairs["narrow"], SAMPLES, compression_ratio_threshold=1.38, **options)
    check(ours, theirs, len(SAMPLES) / RATE)
    assert {segment.temperature for segment in ours} == {0.0, 0.4}
