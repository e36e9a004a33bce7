"""Names of known speakers in turns and transcripts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import literatim
from literatim import demo
from literatim.errors import OptionError, SpeakerBookError
from literatim.pipeline.known import with_names
from literatim.types import Diarization, Turn
from speaker_builders import random_speaker_folder

CLIP = Path(demo.__file__).parent / "clips" / "en-new-templates-0.flac"


def _found(*turns: tuple[float, float, str]) -> Diarization:
    speakers = tuple(dict.fromkeys(speaker for *_, speaker in turns))
    voices = tuple(tuple(np.eye(4)[at].tolist()) for at in range(len(speakers)))
    return Diarization(tuple(Turn(*turn) for turn in turns), speakers, 9.0, ("a warning",), voices)


def test_who_is_known_has_a_name_and_others_keep_their_label() -> None:
    found = with_names(_found((0, 1, "SPEAKER_00"), (2, 3, "SPEAKER_01")), {"SPEAKER_01": "Anna"})
    assert [turn.speaker for turn in found.turns] == ["SPEAKER_00", "Anna"]
    assert found.speakers == ("SPEAKER_00", "Anna")
    assert (found.duration, found.warnings) == (9.0, ("a warning",))
    assert with_names(_found((0, 1, "SPEAKER_00")), {}) == _found((0, 1, "SPEAKER_00"))


def test_two_labels_of_one_name_are_one_speaker() -> None:
    first, second, other = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"
    before = _found((0, 1, first), (1, 2, second), (2, 3, other), (3.5, 4, first), (5, 6, second))
    found = with_names(before, {"SPEAKER_00": "Anna", "SPEAKER_01": "Anna"})
    assert [(turn.start, turn.end, turn.speaker) for turn in found.turns] == [
        (0, 2, "Anna"),
        (2, 3, "SPEAKER_02"),
        (3.5, 4, "Anna"),
        (5, 6, "Anna"),  # a pause parts them, as it parted one speaker's
    ]
    assert found.speakers == ("Anna", "SPEAKER_02")
    assert found.seconds("Anna") == pytest.approx(3.5)
    assert found.voices[0] == pytest.approx([0.5**0.5, 0.5**0.5, 0, 0])


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> literatim.SpeakerModel:
    return literatim.load_speaker(random_speaker_folder(tmp_path_factory.mktemp("model"), 7), device="cpu")


def test_turns_and_words_have_the_names_of_the_book(voices: literatim.SpeakerModel, tmp_path: Path) -> None:
    plain = voices.diarize(CLIP, num_speakers=1)
    book = literatim.SpeakerBook(tmp_path / "book.db", voices)
    book.enroll("Anna", [np.array(plain.voices[0])])
    named = voices.diarize(CLIP, num_speakers=1, speaker_book=str(book.path), speaker_threshold=0.99)
    assert named.speakers == ("Anna",)
    assert [(turn.start, turn.end) for turn in named.turns] == [(turn.start, turn.end) for turn in plain.turns]
    told = {"diarize": True, "speaker_model": str(voices.folder), "num_speakers": 1, "speaker_book": str(book.path)}
    transcript = literatim.load("demo", device="cpu", assistant="none").transcribe(CLIP, **told)
    assert transcript.speakers == ("Anna",)
    assert {word.speaker for segment in transcript.segments for word in segment.words or ()} == {"Anna"}
    book.enroll("Anna", [-4 * np.array(plain.voices[0])])
    assert voices.diarize(CLIP, num_speakers=1, speaker_book=str(book.path)).speakers == ("SPEAKER_00",)


def test_a_book_that_is_no_good_is_told_before_anything_is_heard(
    voices: literatim.SpeakerModel, tmp_path: Path
) -> None:
    with pytest.raises(SpeakerBookError, match="no book of voices here"):
        voices.diarize("no such recording.wav", speaker_book=str(tmp_path / "none.db"))
    other = literatim.load_speaker(random_speaker_folder(tmp_path / "other", 8), device="cpu")
    literatim.SpeakerBook(tmp_path / "book.db", other).enroll("Anna", [np.ones(other.dimension)])
    with pytest.raises(SpeakerBookError, match="holds voices of the model"):
        voices.diarize("no such recording.wav", speaker_book=str(tmp_path / "book.db"))
    asked = {"diarize": True, "speaker_model": str(voices.folder), "speaker_book": str(tmp_path / "book.db")}
    with pytest.raises(SpeakerBookError, match="holds voices of the model"):
        literatim.load("demo", device="cpu", assistant="none").transcribe("no such recording.wav", **asked)
    with pytest.raises(OptionError, match="give speaker_book as well"):
        voices.diarize(CLIP, speaker_threshold=0.5)
