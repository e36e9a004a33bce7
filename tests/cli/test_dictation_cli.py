"""`literatim transcribe` with a MedASR folder: the files, the refusals, and what a machine reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from audio_builders import wav
from literatim.cli.transcribe import transcribe
from literatim.errors import OptionError
from literatim.options import OUTPUT_FORMATS
from medasr_builders import random_lasr_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and two recordings."""
    root = tmp_path_factory.mktemp("cli")
    random_lasr_folder(root / "model", 3)
    for name, seconds in (("one", 3), ("two", 25)):
        random = np.random.default_rng(seconds)
        tones = [np.sin(random.uniform(0.05, 2.5) * np.arange(1600)) for _ in range(10 * seconds)]
        (root / f"{name}.wav").write_bytes(wav((8000 * np.concatenate(tones)).astype("<i2").tobytes()))
    return root


def literatim(place: Path, *arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(transcribe, [*arguments, "--model", str(place / "model"), "--device", "cpu"])


def test_all_formats_of_two_recordings(place: Path) -> None:
    """Every writer writes, words have times, and the text is that of one recording alone."""
    one, two, out = (str(place / name) for name in ("one.wav", "two.wav", "out"))
    done = literatim(place, one, two, "-o", out, "-f", "all", "--word_timestamps", "True")
    assert done.exit_code == 0, done.output
    assert all(
        (place / "out" / f"{name}.{format}").stat().st_size for name in ("one", "two") for format in OUTPUT_FORMATS
    )
    written = json.loads((place / "out" / "two.json").read_text())
    assert written["language"] == "en"
    assert all(0 < word["probability"] <= 1 for segment in written["segments"] for word in segment["words"])
    assert json.loads(literatim(place, two, "--json").stdout)["text"] == written["text"]


def test_refused_before_anything_is_read(place: Path) -> None:
    """In words, although the recording is not there either; the command ends with 2 for such errors."""
    for flags, why in (
        (("--best_of", "5"), "leave best_of out"),
        (("--beta", "2"), "give language_model as well"),
        (("--strategy", "sequential"), "leave strategy sequential out"),
        (("--assistant", "demo-draft"), "nothing to propose"),
        (("--live",), "whole recording"),
    ):
        done = literatim(place, "-", *flags)
        assert isinstance(done.exception, OptionError)
        assert why in str(done.exception)
        assert done.stdout == ""
