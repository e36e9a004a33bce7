"""`literatim bench wer` and `compare` as a user calls them: tables on standard error, JSON on standard output."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from audio_builders import wav
from literatim import api, demo, hub
from literatim.bench.windows import babble
from literatim.cli.main import main
from literatim.device import choose
from whisper_builders import random_whisper_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("bench") / "model", seed=5)


@pytest.fixture(scope="module")
def sound() -> bytes:
    return wav((babble(1, 1.5, seed=2)[0] * 32767).astype("<i2").tobytes())


@pytest.fixture
def recording(tmp_path: Path, sound: bytes) -> Path:
    file = tmp_path / "talk.wav"
    file.write_bytes(sound)
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
    assert len(found["environment"]["model"]["sha256"]) == 64
    (entry,) = found["files"]
    assert entry["duration"] == pytest.approx(1.5, abs=0.01)
    assert entry["scores"]["none"]["words"] == 3
    assert found["total"]["recordings"] == 1
    assert json.loads((tmp_path / "out" / "wer.json").read_text(encoding="utf-8")) == found
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["wer.json"]
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
    literatim: Any, model: Path, sound: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.wav").write_bytes(sound)
    (folder / "b.json").write_text(json.dumps({"text": "een twee", "language": "nl"}))
    monkeypatch.setattr(demo, "recordings", lambda _kind: [folder / "a.wav", folder / "b.wav"])
    monkeypatch.setattr(demo, "model_path", lambda name: model)
    code, out, _ = literatim("bench", "wer", "--json")
    found = json.loads(out)
    assert (code, found["model"], found["weights"]) == (0, "demo", "bundled")
    assert [entry["file"] for entry in found["files"]] == ["b.wav"]
    assert set(found["files"][0]["scores"]) == {"none", "basic"}  # Dutch: no English rules


def test_wer_of_the_bundled_dictation(literatim: Any) -> None:
    """What a model of dictation is measured on where nothing is named."""
    code, out, _ = literatim("bench", "wer", "--model", "demo-medical", "--normalizer", "medasr", "--json")
    (entry,) = json.loads(out)["files"]
    assert (code, entry["file"]) == (0, "chest-ct.flac")
    assert entry["scores"]["medasr"]["wer"] < 0.05


def _manifest(folder: Path, sound: bytes, *extra: str) -> Path:
    """Three recordings, the last in Dutch, and further lines."""
    lines = []
    for number, language in enumerate(("en", "en", "nl")):
        (folder / f"{number}.wav").write_bytes(sound)
        item = {"audio": f"{number}.wav", "text": "one two", "id": f"clip-{number}", "language": language}
        lines.append(json.dumps(item))
    file = folder / "list.jsonl"
    file.write_text("\n".join([*lines, *extra]) + "\n")
    return file


def test_wer_of_a_manifest(literatim: Any, model: Path, sound: bytes, tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, sound, '{"audio": "none.wav", "text": "x"}', "{")
    code, out, err = literatim(
        "bench", "wer", manifest, "--model", model, "--json", "--normalizer", "basic", "--batch_size", 2,
        "--language", "reference", "--worst", 1,
    )  # fmt: skip
    found = json.loads(out)
    assert code == 1
    assert "list.jsonl, line 4: there is no recording" in err
    assert "list.jsonl, line 5: not JSON" in err
    assert "the 1 worst of 3 recordings" in err
    assert [entry["id"] for entry in found["files"]] == ["clip-0", "clip-1", "clip-2"]
    assert [entry["language"] for entry in found["files"]] == ["en", "en", "nl"]
    assert {entry["rtfx"] for entry in found["files"]} == {None}
    assert found["total"]["rtfx"] > 0
    assert len(found["total"]["scores"]["basic"]["wer_interval"]) == 2
    code, out, err = literatim("bench", "wer", manifest, "--model", model, "--json", "--limit", 1, "--language", "en")
    assert [entry["id"] for entry in json.loads(out)["files"]] == ["clip-0"]


def test_wer_of_a_corpus(literatim: Any, model: Path, sound: bytes, tmp_path: Path) -> None:
    chapter = tmp_path / "LibriSpeech" / "test-clean" / "61" / "70968"
    chapter.mkdir(parents=True)
    (chapter / "61-70968-0000.flac").write_bytes(sound)
    (chapter / "61-70968.trans.txt").write_text("61-70968-0000 HE BEGAN\n")
    code, out, err = literatim("bench", "wer", tmp_path, "--model", model, "--json", "--layout", "librispeech")
    assert code == 0, err
    (entry,) = json.loads(out)["files"]
    assert (entry["id"], entry["speaker"], entry["expected"]) == ("61-70968-0000", "61", "HE BEGAN")
    assert literatim("bench", "wer", tmp_path, "--model", model, "--layout", "aishell")[0] == 2
    assert literatim("bench", "wer", tmp_path, "--model", model, "--split", "train")[0] == 2


def test_an_interrupted_run_goes_on(
    literatim: Any, model: Path, sound: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, out_file = _manifest(tmp_path, sound), tmp_path / "wer.json"
    command = ("bench", "wer", manifest, "--model", model, "--language", "en", "--out", out_file, "--normalizer")
    transcribe, asked = api.Recognizer.transcribe, []

    def interrupted(self: api.Recognizer, audio: Any, **options: Any) -> Any:
        if getattr(audio, "name", "") == "2.wav" and len(asked) == 2:
            raise KeyboardInterrupt
        if isinstance(audio, Path):
            asked.append(audio.name)
        return transcribe(self, audio, **options)

    monkeypatch.setattr(api.Recognizer, "transcribe", interrupted)
    code, _, err = literatim(*command, "none")
    assert code == 130
    assert "2 results are kept" in err
    assert not out_file.exists()
    asked.append("")  # not interrupted again
    code, _, err = literatim(*command, "none")
    assert code == 0, err
    assert "2 recordings are done" in err
    assert asked == ["0.wav", "1.wav", "", "2.wav"]
    whole = json.loads(out_file.read_text(encoding="utf-8"))
    assert [entry["id"] for entry in whole["files"]] == ["clip-0", "clip-1", "clip-2"]
    assert whole["total"]["seconds"] == pytest.approx(sum(entry["seconds"] for entry in whole["files"]))
    assert not out_file.with_name("wer.json.part").exists()
    # what was left by a run with other options is not used
    asked.clear()
    assert literatim(*command, "none")[0] == 130
    asked.append("")
    code, _, err = literatim(*command, "basic")
    assert (code, asked) == (0, ["0.wav", "1.wav", "", "0.wav", "1.wav", "2.wav"])
    assert "starting anew" in err
    assert "normalizer was 'none' and is 'basic'" in err


def test_wer_could_not_run(literatim: Any, model: Path, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert literatim("bench", "wer", recording, "--model", model, "--reference", "a", "--reference", "b")[0] == 2
    assert literatim("bench", "wer", "--reference", "a")[0] == 2
    assert literatim("bench", "wer", recording, "--model", "/no/such/folder")[0] == 2
    assert literatim("bench", "wer", recording, "--model", model, "--layout", "librispeech")[0] == 2
    assert literatim("bench", "wer", recording.parent / "none.jsonl", "--model", model)[0] == 2
    assert literatim("bench", "wer", recording.parent, "--model", model)[0] == 2
    assert literatim("bench", "wer", recording, "--model", model, "--batch_size", "0")[0] == 2
    monkeypatch.setitem(sys.modules, "jiwer", None)
    code, _, err = literatim("bench", "wer", recording, "--model", model)
    assert code == 2
    assert "pip install 'literatim[eval]'" in err


def test_wer_is_measured_on_one_device(literatim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object) -> Path:
        raise AssertionError("nothing is looked for before the device is known")

    monkeypatch.setattr(hub, "resolve", resolve)
    monkeypatch.setattr(choose, "available", lambda kind: {"cpu": 1, "cuda": 2}.get(kind, 0))
    code, _, err = literatim("bench", "wer", "--device", "cuda", "--device_index", "0,1")
    assert code == 2
    assert "--device_index 0,1: rates are measured on one device" in err
    code, _, err = literatim("bench", "wer", "--device", "cuda", "--device_index", "2")
    assert code == 2
    assert "device cuda:2 is not there" in err


def test_plain_and_rich_tables_are_shown(
    literatim: Any, model: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = tmp_path / "heard.txt"
    heard.write_text("one")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    _, out, err = literatim("bench", "wer", recording, "--model", model, "--reference", heard, "--language", "nl")
    assert out == ""
    assert "┃" in err
    assert "measuring" in err


def _report(path: Path, turns: list[float]) -> Path:
    row = {"name": "literatim", "setting": "default", "dtype": "float32", "batch": 1, "tokens": 9}
    rows = [{**row, "status": "measured", "samples_ms": {"total": [1000 * turn for turn in turns]}}]
    path.write_text(json.dumps({"schema": 2, "kind": "speed", "environment": {}, "settings": {}, "rows": rows}))
    return path


def test_compare_speed(literatim: Any, tmp_path: Path) -> None:
    fast, slow = _report(tmp_path / "a.json", [1.0] * 5), _report(tmp_path / "b.json", [2.0] * 5)
    code, out, err = literatim("bench", "compare", fast, slow, "--json", "--out", tmp_path / "both.json")
    found = json.loads(out)
    assert (code, found["rows"][0]["ratio"], found["rows"][0]["interval"]) == (0, 2.0, [2.0, 2.0])
    assert json.loads((tmp_path / "both.json").read_text()) == found
    assert "B/A" in err
    code, _, err = literatim("bench", "compare", fast, slow, "--fail-above", 1.1)
    assert code == 1
    assert "is above 1.1" in err
    assert literatim("bench", "compare", fast, slow, "--fail-above", 2)[0] == 0
    assert literatim("bench", "compare", fast, tmp_path / "none.json")[0] == 2
    assert literatim("bench", "compare", fast, slow, "--fail-above", 0)[0] == 2


def test_compare_wer(literatim: Any, model: Path, sound: bytes, tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, sound)
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, language in zip(files, ("en", "nl"), strict=True):
        literatim("bench", "wer", manifest, "--model", model, "--language", language, "--out", file)
    code, out, err = literatim("bench", "compare", *files, "--json")
    found = json.loads(out)
    assert code == 0, err
    assert found["recordings"] == 3
    assert found["differences"]["settings"]["language"] == ["en", "nl"]
    assert "B - A" in err
    report = json.loads(files[0].read_text(encoding="utf-8"))
    assert found["rates"][0]["a"] == pytest.approx(report["total"]["scores"]["none"]["wer"])
    for file, wrong in zip(files, (1, 2), strict=True):
        scores = {"words": 2, "substitutions": wrong, "deletions": 0, "insertions": 0, "characters": 7}
        for entry in report["files"]:
            entry["scores"] = {"none": {**scores, "character_errors": wrong}}
        file.write_text(json.dumps(report))
    code, _, err = literatim("bench", "compare", *files, "--fail-above", 1.5)
    assert code == 1
    assert "none: WER of 100.00 % is above 1.5 times 50.00 %" in err
    assert literatim("bench", "compare", *files, "--fail-above", 2)[0] == 0
    assert literatim("bench", "compare", *reversed(files), "--fail-above", 1)[0] == 0
    assert literatim("bench", "compare", files[0], _report(tmp_path / "speed.json", [1.0]))[0] == 2
