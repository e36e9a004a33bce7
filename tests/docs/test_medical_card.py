"""The bundled MedASR's card says what was measured, and that is what was asked of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from literatim import demo
from literatim.train.medical import sets
from literatim.train.medical.card import card

FOLDER = demo.model_path("demo-medical")
MOST = {"templates": 0.08, "new-templates": 0.20}  # word error rates, in voices held out


def _sets() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "evaluation.json").read_text("utf-8"))["sets"]
    return found


def test_card_is_made_of_the_numbers() -> None:
    assert (FOLDER / "README.md").read_text("utf-8") == card(FOLDER)


def test_every_frozen_set_was_measured_whole() -> None:
    assert tuple(_sets()) == sets.KINDS
    assert all(numbers["windows"] == sets.WINDOWS for numbers in _sets().values())


@pytest.mark.parametrize("kind", MOST)
def test_it_hears_as_well_as_was_asked(kind: str) -> None:
    assert _sets()[kind]["wer"] <= MOST[kind]


def test_its_language_model_helps_on_each_set() -> None:
    assert all(numbers["wer_with_language_model"] < numbers["wer"] for numbers in _sets().values())


def test_it_is_small_and_says_what_it_is_not_for() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 10e6
    assert "Not for\nclinical use" in (FOLDER / "README.md").read_text("utf-8")
