"""`literatim bench words` and `bench mixed`: what is counted, with a recognizer whose words are made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from literatim.api import load
from literatim.bench import mixed, words, words_cost
from literatim.bench.live import Spoken
from literatim.bench.long import sound
from literatim.bench.long.figures import score
from literatim.decode import align
from literatim.types import Word


class Told:
    """Says the same of every recording, and keeps what it was asked."""

    name, device, dtype = "told", "cpu", "torch.float32"

    def __init__(self, *said: tuple[str, float, float]) -> None:
        self._words = tuple(Word(word, start, end, 1.0) for word, start, end in said)
        self.asked: list[dict[str, Any]] = []

    def transcribe(self, _samples: Any, **options: Any) -> Any:
        self.asked.append(options)
        text = "".join(word.word for word in self._words)
        return SimpleNamespace(text=text, language="en", segments=[SimpleNamespace(words=self._words)])


def known(kind: str) -> words.Known:
    spoken = [Spoken("One", 0.0, 0.5), Spoken("two", 0.5, 1.0), Spoken("three.", 1.2, 2.0)]
    return words.Known("name", kind, np.zeros(32_000, np.float32), spoken, "nl")


def test_words_heard_right_are_measured_against_the_true_times() -> None:
    told: Any = Told((" one,", 0.1, 0.5), (" to", 0.5, 1.0), (" three", 1.1, 2.4))
    found = words.run(told, [known("clips"), known("clips with noise")], lambda _: None)
    assert told.asked == [{"language": "nl", "word_timestamps": True}] * 2
    for kind in ("clips", "clean", "clips with noise", "noisy"):
        entry = found["sets"][kind]
        assert (entry["words"], entry["words_heard_right"]) == (3, 2)  # "to" was heard wrong
        assert entry["start"]["p50"] == pytest.approx(0.1)
        assert entry["end"]["p50"] == pytest.approx(0.2)  # of 0 and 0.4
        assert (entry["start"]["near"], entry["end"]["near"], entry["both"]["near"]) == (1, 0.5, 0.75)
    assert found["sets"]["recordings"] == {"words": 0, "words_heard_right": 0}
    assert [row[0] for row in words.table(found).rows] == ["clips", "clips with noise", "clean", "noisy"]


def test_the_bundled_times_are_within_the_recordings_and_in_order() -> None:
    found = list(words.known())
    assert len(found) == 76
    assert {recording.kind for recording in found} == set(words.SETS)
    for recording in found:
        ends = [word.end for word in recording.words]
        assert all(word.start < word.end for word in recording.words), recording.name
        assert all(word.start >= end - 1e-6 for word, end in zip(recording.words[1:], ends, strict=False))
        assert ends[-1] <= len(recording.samples) / 16_000 + 0.1, recording.name


def test_mixed_asks_with_the_language_once_and_anew() -> None:
    told: Any = Told((" Good", 0, 1), (" morning", 1, 2))
    found = mixed.run(told, 0.5, 0, lambda _: None)
    asked = [(options["strategy"], options["multilingual"]) for options in told.asked]
    assert asked == [("sequential", False), ("sequential", True), ("batched", False), ("batched", True)]
    said = sound.mixed(("en", "nl"), 30, 0).text
    assert {row["wer"] for row in found["rows"]} == {score(said, "Good morning")["wer"]}
    assert len(mixed.table(found).rows) == 4


def test_what_times_of_words_cost_is_told_by_stage() -> None:
    told: list[str] = []
    recognizer = load("demo", device="cpu")
    whole = (align.attended, align.starts)
    recordings = [recording for recording in words.known() if recording.kind == "recordings"][:1]
    found = words_cost.run(recognizer, recordings, 2, told.append)
    assert [len(values) for values in found["rounds"].values()] == [2, 2, 2]  # the first one is not counted
    assert len(told) == 3
    for name in ("whole", "pass", "path"):
        assert found[name] == pytest.approx(sum(found["rounds"][name]) / 2)
    assert found["pass"] > 0
    assert found["path"] > 0
    assert (align.attended, align.starts) == whole
    assert not {"listen", "follow", "batch"} & vars(recognizer._engine).keys()
    assert words_cost.table(found).rows[0][0] == "2"


def test_without_words_no_pass_is_made() -> None:
    recognizer = load("demo", device="cpu")
    recording = next(recording for recording in words.known() if recording.kind == "recordings")
    _, stages = words_cost._taken(recognizer, [recording], timed=False)
    assert stages.keys() == {"encoder", "decoder"}
