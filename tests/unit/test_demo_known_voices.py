"""demo-speaker and a book of voices: voices that it never heard in training, found again in other recordings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import literatim
from literatim import demo

CLIPS = Path(demo.__file__).parent / "clips"
ENROLLED = 3  # clips of each voice


@pytest.fixture(scope="module")
def by_voice() -> dict[str, list[Path]]:
    """The bundled clips of each voice."""
    found: dict[str, list[Path]] = {}
    for line in (CLIPS / "clips.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        found.setdefault(case["speaker"], []).append(CLIPS / case["audio"])
    return found


@pytest.fixture(scope="module")
def model() -> literatim.SpeakerModel:
    return literatim.load_speaker("demo-speaker", device="cpu")


@pytest.fixture(scope="module")
def book(
    model: literatim.SpeakerModel, by_voice: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> literatim.SpeakerBook:
    made = literatim.SpeakerBook(tmp_path_factory.mktemp("book") / "voices.db", model)
    for name, clips in by_voice.items():
        made.enroll(name, [model.embed(clip) for clip in clips[:ENROLLED]])
    return made


def test_voices_are_found_again_in_other_clips(
    model: literatim.SpeakerModel, book: literatim.SpeakerBook, by_voice: dict[str, list[Path]]
) -> None:
    assert len(by_voice) == 3
    for name, clips in by_voice.items():
        matches = book.identify_many([model.embed(clip) for clip in clips[ENROLLED : ENROLLED + 5]], model.threshold)
        assert [match.name for match in matches] == [name] * 5


def test_who_is_not_in_the_book_is_nobody(
    model: literatim.SpeakerModel, by_voice: dict[str, list[Path]], tmp_path: Path
) -> None:
    """Each voice asked for in a book of the others."""
    for absent in by_voice:
        others = literatim.SpeakerBook(tmp_path / f"{absent}.db", model)
        for name in by_voice.keys() - {absent}:
            others.enroll(name, [model.embed(clip) for clip in by_voice[name][:ENROLLED]])
        matches = others.identify_many([model.embed(clip) for clip in by_voice[absent][:5]], model.threshold)
        assert [match.name for match in matches] == [None] * 5


def test_the_meeting_has_the_names_of_those_who_speak(
    model: literatim.SpeakerModel, book: literatim.SpeakerBook
) -> None:
    """Two of the three voices of the book; each known turn is mostly its own speaker's."""
    meeting = demo.recording_path("meeting")
    said = json.loads(meeting.with_suffix(".json").read_text("utf-8"))["segments"]
    found = model.diarize(meeting, speaker_book=str(book.path))
    assert set(found.speakers) == {"m5", "f4"}
    right = []
    for part in said:
        middle = (part["start"] + part["end"]) / 2
        speaker = next((turn.speaker for turn in found.turns if turn.start <= middle <= turn.end), None)
        right.append(part["voice"].endswith(f"+{speaker}"))
    assert sum(right) >= 0.9 * len(right)
