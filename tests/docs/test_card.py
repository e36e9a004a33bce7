"""The demo's card says what was measured, and what can be measured again here."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from literatim import demo
from literatim.train.card import card

FOLDER = demo.model_path("demo")


def test_card_is_made_of_the_numbers() -> None:
    assert (FOLDER / "README.md").read_text("utf-8") == card(FOLDER)


def test_every_frozen_set_was_measured_whole() -> None:
    sets = json.loads((FOLDER / "evaluation.json").read_text("utf-8"))["sets"]
    assert {name: numbers["windows"] for name, numbers in sets.items()} == {
        f"{language}-{kind}": 300
        for language in ("en", "nl")
        for kind in ("templates", "new-templates", "random-words", "noise-15db")
    }


@pytest.mark.slow
def test_bench_wer_finds_the_rates_of_the_card() -> None:
    """Another CPU may round another way and hear a word differently: two words in a hundred are let pass."""
    command = [sys.executable, "-m", "literatim.cli.main", "bench", "wer", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    found, written = (
        json.loads(done.stdout)["files"],
        json.loads((FOLDER / "recordings.json").read_text("utf-8"))["files"],
    )
    assert [item["file"] for item in found] == [item["file"] for item in written]
    for now, then in zip(found, written, strict=True):
        for normaliser, counts in then["scores"].items():
            assert now["scores"][normaliser]["wer"] == pytest.approx(counts["wer"], abs=0.02)
