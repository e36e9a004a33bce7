"""The bundled recordings: who speaks when and who said what, with the bundled networks, in voices they never heard."""

from __future__ import annotations

import json

import pytest

import literatim
from literatim import demo
from literatim.bench.der import errors
from literatim.bench.turns_known import Known, bundled
from literatim.voices import SpeakerModel

WORST = 0.15  # diarization error rate, overlap scored, no collar
KNOWN = list(bundled())

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def voices() -> SpeakerModel:
    return literatim.load_speaker("demo-speaker", device="cpu")


@pytest.mark.parametrize("known", KNOWN, ids=[known.name for known in KNOWN])
@pytest.mark.parametrize("clustering", ["agglomerative", "spectral"])
def test_who_speaks_when(voices: SpeakerModel, known: Known, clustering: str) -> None:
    """As many as there are, without being told; edges within a quarter of a second but for overlap."""
    found = voices.diarize(known.audio, clustering=clustering)
    assert len(found.speakers) == len({turn.speaker for turn in known.turns})
    rate = errors(known.turns, found.turns, 0.0, [(0.0, found.duration)]).rate
    assert rate is not None
    assert rate <= WORST
    inside = errors(known.turns, found.turns, 0.25, [(0.0, found.duration)], skip_overlap=True)
    assert inside.rate is not None
    assert inside.rate < 0.01


@pytest.mark.parametrize("name", ["meeting", "vergadering", "exhibition"])
def test_who_said_what(name: str) -> None:
    """Each word that is heard where one person alone speaks is that person's."""
    file = next(known.audio for known in KNOWN if known.name == name)
    told = literatim.load("demo", device="cpu").transcribe(file, diarize=True)
    segments = json.loads(file.with_suffix(".json").read_text("utf-8"))["segments"]
    pairs = []
    for word in (word for segment in told.segments for word in segment.words or ()):
        middle = (word.start + word.end) / 2
        there = {one["speaker"] for one in segments if one["start"] <= middle <= one["end"]}
        pairs += [(word.speaker, there.pop())] if len(there) == 1 else []
    assert len(pairs) > 60
    mapping: dict[str | None, str] = {}
    for one, other in pairs:
        mapping.setdefault(one, other)
    assert len(set(mapping.values())) == len(mapping) == len({one["speaker"] for one in segments})
    assert sum(mapping[one] == other for one, other in pairs) / len(pairs) > 0.97


def test_a_bundled_recording_has_its_turns() -> None:
    files = [*demo.recordings(), *demo.recordings("discussions")]
    assert {known.name for known in KNOWN} == {file.stem for file in files}
    assert all(known.turns for known in KNOWN)
