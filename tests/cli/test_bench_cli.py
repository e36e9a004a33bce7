"""`literatim bench` as a user calls it: tables on standard error, JSON on standard output, exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio_builders import wav
from literatim import demo
from literatim.bench import speed
from literatim.bench.windows import babble
from literatim.cli.main import main
from whisper_builders import random_whisper_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("bench") / "model", seed=5)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recordings") / "talk.wav"
    file.write_bytes(wav((babble(1, 1.5, seed=2)[0] * 32767).astype("<i2").tobytes()))
    return file


@pytest.fixture
def literatim(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Call the command; returns (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["literatim", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        out, err = capfd.readouterr()
        return int(exit.value.code or 0), out, err

    return call


def test_wer_of_a_recording(literatim: Any, model: Path, recording: Path, tmp_path: Path) -> None:
    heard = tmp_path / "heard.txt"
    heard.write_text("one two three")
    code, out, err = literatim(
        "bench", "wer", recording, "--model", model, "--reference", heard, "--language", "en", "--json",
        "--out", tmp_path / "out" / "wer.json",
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0, err
    assert "talk.wav" in err
    assert found["weights"] == "given"
    assert found["environment"]["packages"]["jiwer"]
    (entry,) = found["files"]
    assert entry["duration"] == pytest.approx(1.5, abs=0.01)
    assert entry["scores"]["none"]["words"] == 3
    assert found["total"]["recordings"] == 1
    assert json.loads((tmp_path / "out" / "wer.json").read_text(encoding="utf-8")) == found
    # the text is the reference: nothing is wrong then
    heard.write_text(entry["text"], encoding="utf-8")
    code, out, _ = literatim(
        "bench", "wer", recording, "--model", model, "--reference", heard, "--language", "en", "--json",
        "--normalizer", "none",
    )  # fmt: skip
    scores = json.loads(out)["files"][0]["scores"]
    assert set(scores) == {"none"}
    assert (code, scores["none"]["wer"], scores["none"]["cer"]) == (0, 0.0, 0.0)


def test_wer_goes_on_where_a_file_cannot_be_used(literatim: Any, model: Path, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "talk.wav").write_bytes(recording.read_bytes())
    (tmp_path / "talk.txt").write_text("one two")
    (tmp_path / "alone.wav").write_bytes(recording.read_bytes())
    (tmp_path / "noise.wav").write_bytes(b"not audio")
    (tmp_path / "noise.txt").write_text("three")
    files = [tmp_path / f"{name}.wav" for name in ("alone", "noise", "talk")]
    code, out, err = literatim("bench", "wer", *files, "--model", model, "--json")
    assert code == 1
    assert "Skipping" in err
    assert "alone.txt" in err
    assert [entry["file"] for entry in json.loads(out)["files"]] == ["talk.wav"]


def test_wer_of_the_bundled_recordings(
    literatim: Any, model: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.wav").write_bytes(recording.read_bytes())
    (folder / "b.json").write_text(json.dumps({"text": "een twee", "language": "nl"}))
    monkeypatch.setattr(demo, "recordings", lambda: [folder / "a.wav", folder / "b.wav"])
    monkeypatch.setattr(demo, "model_path", lambda name: model)
    code, out, _ = literatim("bench", "wer", "--json")
    found = json.loads(out)
    assert (code, found["model"], found["weights"]) == (0, "demo", "bundled")
    assert [entry["file"] for entry in found["files"]] == ["b.wav"]
    assert set(found["files"][0]["scores"]) == {"none", "basic"}  # Dutch: no English rules


def test_wer_could_not_run(literatim: Any, model: Path, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert literatim("bench", "wer", recording, "--model", model, "--reference", "a", "--reference", "b")[0] == 2
    assert literatim("bench", "wer", "--reference", "a")[0] == 2
    assert literatim("bench", "wer", recording, "--model", "/no/such/folder")[0] == 2
    monkeypatch.setitem(sys.modules, "jiwer", None)
    code, _, err = literatim("bench", "wer", recording, "--model", model)
    assert code == 2
    assert "pip install 'literatim[eval]'" in err


def test_speed(literatim: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "REST_SECONDS", 0.0)
    monkeypatch.setitem(sys.modules, "openvino_genai", None)
    target = tmp_path / "speed.json"
    code, out, err = literatim(
        "bench", "speed", "--shape", "micro", "--batch", "1", "--dtype", "float32", "--peers", "transformers,openvino",
        "--tokens", "5", "--repeats", "1", "--threads", "1", "--json", "--out", target,
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0, err
    assert found["weights"] == "random"
    assert found["environment"]["cpu"]
    assert [row["status"] for row in found["rows"]] == ["measured", "measured", "absent"]
    assert found["rows"][1]["same_tokens"] == 1.0
    assert "openvino float32, batch 1: absent" in err
    assert json.loads(target.read_text(encoding="utf-8")) == found
    assert target.with_suffix(".svg").is_file() or "needs matplotlib" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--shape", "huge"),
        ("--batch", "0"),
        ("--batch", "1,x"),
        ("--dtype", "float12"),
        ("--dtype", "none"),
        ("--peers", "nobody"),
        ("--tokens", "0"),
        ("--device", "toaster"),
        ("--shape", "micro", "--tokens", "1000", "--peers", "none"),
    ],
)
def test_speed_could_not_run(literatim: Any, arguments: tuple[str, ...]) -> None:
    code, out, err = literatim("bench", "speed", *arguments)
    assert (code, out) == (2, "")
    assert err


def test_different_tokens_are_a_failed_check(literatim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"name": "transformers", "package": "transformers", "version": "5", "dtype": "float32", "batch": 1}
    row |= {"status": "measured", "encoder_ms": 1.0, "token_ms": 1.0, "window_ms": 1.0, "same_tokens": 0.5}
    found = {
        "shape": "tiny",
        "weights": "random",
        "environment": {"cpu": "a CPU"},
        "settings": {"tokens": 2, "window_seconds": 30.0, "threads": 1},
        "rows": [row],
    }
    monkeypatch.setattr(speed, "run", lambda *_: found)
    code, _, err = literatim("bench", "speed")
    assert code == 1
    assert "50.0% of the tokens differ" in err


def test_plain_and_rich_tables_are_shown(
    literatim: Any, model: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich")
    heard = tmp_path / "heard.txt"
    heard.write_text("one")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    _, out, err = literatim("bench", "wer", recording, "--model", model, "--reference", heard, "--language", "nl")
    assert out == ""
    assert "┃" in err


def test_sound_is_audible() -> None:
    assert np.abs(babble(1, 1.0, seed=0)).mean() > 0.005
