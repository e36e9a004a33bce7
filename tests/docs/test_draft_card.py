"""The bundled draft's card says what was measured, and the draft foretells what it must."""

from __future__ import annotations

import json

import pytest
import torch

from literatim import demo, load
from literatim.audio.decode import decode
from literatim.decode.pace import Pace
from literatim.options import TranscribeOptions
from literatim.train.acceptance import judge, together
from literatim.train.draft_card import card

FOLDER = demo.model_path("demo-draft")
LEAST = 0.75  # of what `demo` says in each frozen set


def _sets() -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = json.loads((FOLDER / "evaluation.json").read_text("utf-8"))["sets"]
    return found


def test_card_is_made_of_the_numbers() -> None:
    assert (FOLDER / "README.md").read_text("utf-8") == card(FOLDER)


def test_every_frozen_set_was_measured() -> None:
    wanted = {f"{a}-{b}" for a in ("en", "nl") for b in ("templates", "new-templates", "random-words", "noise-15db")}
    assert set(_sets()) == wanted


@pytest.mark.parametrize("name", sorted(_sets()))
def test_it_foretells_three_quarters_of_each_set(name: str) -> None:
    for how in ("timed", "untimed"):
        assert _sets()[name][how]["foretold"] >= LEAST


@pytest.mark.slow
def test_it_foretells_the_bundled_recordings() -> None:
    """Measured here: voices and sentences that neither model was trained on."""
    engine = load("demo", assistant=FOLDER, device="cpu", dtype="float32")._engine
    engine.pace = Pace()
    samples = [torch.from_numpy(decode(demo.recording_path(name)).samples[0]) for name in ("meeting", "vergadering")]
    assert together(judge(engine, samples, TranscribeOptions())).foretold > 0.6
