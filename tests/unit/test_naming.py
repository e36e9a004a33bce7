"""Speakers in transcripts: what is asked for, what is read twice, and which network hears the voices."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import literatim
from literatim import demo, hub, naming
from literatim.api import Recognizer
from literatim.audio.decode import decode
from literatim.errors import AudioError, AudioFormatError, AudioLimitError, OptionError
from literatim.types import Diarization, Turn

MEETING = demo.recording_path("meeting")
HALVES = ("SPEAKER_00", "SPEAKER_01")


class FakeVoices:
    """Half of any recording is one speaker's, the other half another's; what it is asked is kept."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def diarize(self, audio: Any, *, sampling_rate: int | None = None, **options: Any) -> Diarization:
        self.asked.append(options)
        seconds = decode(audio, sampling_rate=sampling_rate).duration
        turns = (Turn(0.0, seconds / 2, HALVES[0]), Turn(seconds / 2, seconds, HALVES[1]))
        return Diarization(turns, HALVES, seconds, ("a word of the voices",))


@pytest.fixture
def voices(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeVoices]:
    """Networks that were loaded, by name."""
    loaded: dict[str, FakeVoices] = {}

    def load(name: str, **how: Any) -> FakeVoices:
        assert how["device"] == "cpu"
        assert name not in loaded
        loaded[name] = FakeVoices()
        return loaded[name]

    monkeypatch.setattr(naming, "load_speaker", load)
    return loaded


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return literatim.load("demo", device="cpu")


@pytest.fixture
def fresh(model: Recognizer) -> Recognizer:
    """With no network for voices loaded yet."""
    model.__dict__.pop("_names", None)
    return model


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """The first two sentences of the meeting."""
    return decode(MEETING).samples[0][: 8 * 16_000].copy()


def test_a_transcript_has_the_speakers_of_its_words(
    fresh: Recognizer, voices: dict[str, FakeVoices], sound: np.ndarray
) -> None:
    plain = fresh.transcribe(sound, language="en", word_timestamps=True)
    told = fresh.transcribe(sound, language="en", diarize=True, num_speakers=2, max_seconds=100.0)
    assert list(voices) == ["demo-speaker"]  # beside a bundled model
    assert voices["demo-speaker"].asked[0]["num_speakers"] == 2
    assert voices["demo-speaker"].asked[0]["max_seconds"] == 100.0
    assert told.text == plain.text
    assert told.speakers == HALVES
    assert "a word of the voices" in told.warnings
    words = [word for segment in told.segments for word in segment.words or ()]
    assert [word.word for word in words] == [word.word for one in plain.segments for word in one.words or ()]
    assert {word.speaker for word in words} == set(HALVES)
    fresh.transcribe(sound, language="en", diarize=True, speaker_model="mine")
    assert list(voices) == ["demo-speaker", "mine"]


def test_what_can_be_read_once_is_heard_twice(
    fresh: Recognizer, voices: dict[str, FakeVoices], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clip = next(file for file in sorted((Path(demo.__file__).parent / "clips").glob("en*.flac")))
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF nothing")
    given = [str(clip), clip.open("rb"), str(broken), io.BytesIO(b"xx" + clip.read_bytes()), io.BytesIO()]
    given[3].seek(2)  # read from where it stands
    given[4].close()
    found = {outcome.index: outcome for outcome in fresh.transcribe_many(given, language="en", diarize=True)}
    given[1].close()
    assert isinstance(found[2].error, AudioFormatError)
    assert isinstance(found[4].error, AudioError)
    texts = {found[index].transcript.text for index in (0, 1, 3)}  # type: ignore[union-attr]
    assert len(texts) == 1
    assert all(found[index].transcript.speakers for index in (0, 1, 3))  # type: ignore[union-attr]


def test_what_is_read_once_has_the_usual_limit(fresh: Recognizer, voices: dict[str, FakeVoices]) -> None:
    sound = io.BytesIO(MEETING.read_bytes())
    sound.seekable = lambda: False  # type: ignore[method-assign]
    with pytest.raises(AudioLimitError, match="raise max_bytes"):
        fresh.transcribe(sound, diarize=True, max_bytes=1000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_speakers": 2}, "give diarize True as well"),
        ({"speaker_model": "mine"}, "give diarize True as well"),
        ({"diarize": True, "channels": "split"}, "each channel is a speaker"),
        ({"diarize": True, "num_speakers": 2, "max_speakers": 3}, "leave max_speakers out"),
        ({"diarize": "yes"}, "must be True or False"),
    ],
)
def test_options_that_do_not_go_together(
    fresh: Recognizer, voices: dict[str, FakeVoices], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        fresh.transcribe(MEETING, **options)
    with pytest.raises(OptionError, match=message):
        list(fresh.transcribe_many([MEETING], **options))
    assert not voices


def test_a_stream_has_no_speakers(fresh: Recognizer) -> None:
    with pytest.raises(OptionError, match="use transcribe"):
        next(fresh.stream(MEETING, diarize=True))
    with pytest.raises(OptionError, match="voices are not told apart"):
        fresh.live(diarize=True)
    with pytest.raises(OptionError, match="give diarize True"):
        next(fresh.stream(MEETING, num_speakers=2))


def test_which_network_hears_the_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITERATIM_SPEAKER_MODEL", raising=False)
    assert hub.speaker_model_beside("demo") == "demo-speaker"
    assert hub.speaker_model_beside("openai/whisper-small") == "resnet34-lm"
    monkeypatch.setenv("LITERATIM_SPEAKER_MODEL", "mine")
    assert hub.speaker_model_beside("demo") == hub.speaker_model_beside("small") == "mine"
