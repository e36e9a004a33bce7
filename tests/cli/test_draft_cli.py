"""`literatim draft train` and `measure` as a user calls them: JSON on standard output, all else on standard error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from audio_builders import wav
from literatim.bench.windows import babble
from whisper_builders import random_whisper_folder


def _literatim(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    words = [sys.executable, "-W", "error", "-m", "literatim.cli.main", "draft", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("draft") / "model", 5, end_gain=2.5)


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of a second and a half."""
    folder = tmp_path_factory.mktemp("audio")
    for number in range(3):
        sound = (babble(1, 1.5, seed=number)[0] * 32767).astype("<i2").tobytes()
        (folder / f"{number}.wav").write_bytes(wav(sound))
    return folder


def test_train_then_measure(model: Path, audio: Path, tmp_path: Path) -> None:
    out = tmp_path / "draft"
    made = _literatim(
        "train", "--model", model, "--audio", audio, "--out", out, "--layers", 1, "--steps", 3, "--batch", 2
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout == ""
    assert "foretells" in made.stderr
    assert f"{out}.work" in made.stderr
    assert {file.name for file in out.iterdir()} == {"config.json", "model.safetensors", "training.json"}
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(b"RIFF")
    found = _literatim("measure", "--model", model, "--assistant", out, audio, damaged, "--json", "--device", "cpu")
    assert found.returncode == 1  # one recording could not be read
    assert f"Skipping {damaged}" in found.stderr
    assert "tokens a round" in found.stderr
    report = json.loads(found.stdout)
    assert [Path(clip["file"]).name for clip in report["clips"]] == ["0.wav", "1.wav", "2.wav"]
    assert report["all"]["tokens"] == sum(clip["tokens"] for clip in report["clips"])
    assert report["dtype"] == "float32"
    assert "0" in report["round_ms"]
    assert all(value > 0 for value in report["round_ms"].values())


def test_what_cannot_run_says_what_to_do(model: Path, audio: Path, tmp_path: Path) -> None:
    """Exit code 2 and one line."""
    wrong = _literatim("train", "--model", model, "--audio", audio, "--out", tmp_path / "d", "--layers-from", "a")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "give layers counted from 0" in wrong.stderr
    alone = _literatim("measure", "--model", model, "--assistant", tmp_path, audio)
    assert alone.returncode == 2
    assert "Traceback" not in wrong.stderr + alone.stderr
