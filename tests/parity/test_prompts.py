"""What windows are told, and which parts of a recording are heard: as openai/whisper's own loop has it."""

from __future__ import annotations

from typing import Any

import pytest

from literatim.errors import OptionError
from openai_cases import RATE, SPOKEN, OpenaiPairs, both_ways, check, sound, transcribe
from reference.openai_whisper import openai_transcribe

SAMPLES = sound(62.03, 3)
WORDS = "  Zoë, Rotterdam and words that came before"
OFF: dict[str, Any] = {"logprob_threshold": None, "compression_ratio_threshold": None, "suppress_tokens": SPOKEN}


def test_a_prompt_that_is_carried_along(openai_pairs: OpenaiPairs) -> None:
    options: dict[str, Any] = {"initial_prompt": WORDS, "carry_initial_prompt": True}
    ours, theirs = both_ways(openai_pairs["narrow"], SAMPLES, **options)
    check(ours, theirs, len(SAMPLES) / RATE)
    once = transcribe(openai_pairs["narrow"][0], SAMPLES, initial_prompt=WORDS, **OFF)
    assert [segment.tokens for segment in ours] != [segment.tokens for segment in once]


def test_hotwords_are_a_prompt_that_is_carried_along(openai_pairs: OpenaiPairs) -> None:
    ours = transcribe(openai_pairs["narrow"][0], SAMPLES, hotwords=WORDS, **OFF)
    told: dict[str, Any] = {"initial_prompt": WORDS, "carry_initial_prompt": True, "no_speech_threshold": None}
    theirs = openai_transcribe(openai_pairs["narrow"][1], SAMPLES, language="en", **told, **OFF)
    check(ours, theirs, len(SAMPLES) / RATE)


@pytest.mark.parametrize("without_timestamps", [False, True])
def test_a_prefix_of_the_first_window(without_timestamps: bool, openai_pairs: OpenaiPairs) -> None:
    """In openai/whisper each window has it, so that they part after the first."""
    options: dict[str, Any] = {"prefix": "It began so", "without_timestamps": without_timestamps}
    samples = SAMPLES[: 4 * RATE].clone()
    ours, theirs = both_ways(openai_pairs["narrow"], samples, **options)
    check(ours, theirs, len(samples) / RATE)
    plain = transcribe(openai_pairs["narrow"][0], samples, without_timestamps=without_timestamps, **OFF)
    assert ours[0].tokens != plain[0].tokens


@pytest.mark.parametrize("clips", ["3", "2.5,9.01", "0,4,40,44.5,50", "20,30,5,12", "50,100"])
def test_parts_of_a_recording(clips: str, openai_pairs: OpenaiPairs) -> None:
    """openai/whisper does not come to an end where a part lies behind the recording: that one ends with it here."""
    points = tuple(float(point) for point in clips.split(","))
    ours = transcribe(openai_pairs["narrow"][0], SAMPLES, clip_timestamps=points, **OFF)
    given = ",".join(str(min(point, len(SAMPLES) // 160 / 100)) for point in points)
    told: dict[str, Any] = {"clip_timestamps": given, "no_speech_threshold": None}
    theirs = openai_transcribe(openai_pairs["narrow"][1], SAMPLES, language="en", **told, **OFF)
    check(ours, theirs, len(SAMPLES) / RATE)
    assert ours
    assert min(segment.seek for segment in ours) >= 100 * min(points)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_timestamps": (3.0, 2.0)}, "must end after it starts"),
        ({"clip_timestamps": (0.0, 1.0, 5.0, 5.0)}, "must end after it starts"),
        ({"clip_timestamps": (-1.0,)}, "clip_timestamps"),
        ({"clip_timestamps": ()}, "clip_timestamps is empty"),
        ({"clip_timestamps": (3.0, 4.0, 1.0, 2.0), "strategy": "batched"}, "must follow one another"),
        ({"clip_timestamps": (3.0, 4.0, 1.0, 2.0), "vad_filter": True}, "must follow one another"),
        ({"clip_timestamps": (3.0,), "strategy": "chunked"}, "give strategy sequential or batched"),
        ({"patience": 2.0}, "beam_size"),
        ({"carry_initial_prompt": True}, "needs an initial_prompt"),
        ({"beam_size": 0}, "beam_size"),
        ({"best_of": 0}, "best_of"),
        ({"length_penalty": 1.5}, "length_penalty"),
        ({"temperature": (0.0, 11.0)}, "temperature"),
        ({"hallucination_silence_threshold": 2.0}, "give word_timestamps True"),
        ({"temperature": ()}, "temperature is empty"),
        ({"temperature": "warm"}, "temperature must be a number"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str, openai_pairs: OpenaiPairs) -> None:
    with pytest.raises(OptionError, match=message):
        transcribe(openai_pairs["narrow"][0], SAMPLES, **options)
