"""The bundled network for voices: its card says what was measured, and that is what was asked of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from literatim import demo
from literatim.bench.turns_known import bundled
from literatim.provenance.model_hash import model_hash
from literatim.train.speaker import sets
from literatim.train.speaker.card import card

FOLDER = demo.model_path("demo-speaker")
MOST = 0.08  # equal error rate, in voices held out
MOST_DER = 0.15


def _evaluation() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "evaluation.json").read_text("utf-8"))
    return found


def test_card_is_made_of_the_numbers() -> None:
    assert (FOLDER / "README.md").read_text("utf-8") == card(FOLDER)


def test_every_frozen_set_was_measured_whole() -> None:
    found = _evaluation()["sets"]
    assert tuple(found) == tuple(sets.SOURCES)
    for kind, numbers in found.items():
        assert numbers["trials"] == len(sets.trials_path(kind).read_text("utf-8").splitlines())
        rows = (sets.FOLDER / f"speaker-{sets.SOURCES[kind]}.jsonl").read_text("utf-8").splitlines()
        assert numbers["utterances"] == len(rows)


@pytest.mark.parametrize("kind", sets.SOURCES)
def test_it_tells_voices_apart_as_well_as_was_asked(kind: str) -> None:
    assert _evaluation()["sets"][kind]["eer"] <= MOST


def test_who_speaks_in_the_bundled_recordings_was_measured_with_these_weights() -> None:
    found = json.loads((FOLDER / "recordings.json").read_text("utf-8"))
    assert [file["id"] for file in found["files"]] == [known.name for known in bundled()]
    assert found["sha256"] == model_hash(FOLDER)["sha256"]
    assert all(file["found"] == file["speakers"] for file in found["files"])
    assert all(file["collar_0"]["der"] <= MOST_DER for file in found["files"])


def test_its_threshold_is_the_one_it_was_measured_with() -> None:
    assert json.loads((FOLDER / "config.json").read_text("utf-8"))["threshold"] == _evaluation()["threshold"]


def test_it_is_small_and_says_what_it_is_not_for() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 10e6
    assert "**Not\nfor people's voices**" in (FOLDER / "README.md").read_text("utf-8")
