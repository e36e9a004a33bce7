"""`literatim verify` as a user calls it: on the CPU against transformers, and where it cannot run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from literatim.cli.main import main
from literatim.demo import recording_path, recordings
from literatim.verify.golden import Golden

COMMAND = [sys.executable, "-m", "literatim.cli.main", "verify"]


def _run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_the_cpu_passes_beside_transformers(tmp_path: Path) -> None:
    done = _run("demo", "--device", "cpu", "--batch", "2", "--steps", "2", "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"]["status"] == "pass"
    assert [item["against"] for item in report["end_to_end"]] == ["fp64", "transformers"]
    for whole in report["end_to_end"]:
        for logits in (whole["logits"], whole["floor"]["logits"]):
            assert (logits["raw"]["not_finite"], logits["greedy"]) == (0, 1.0)
    independent = report["end_to_end"][1]
    assert independent["logits"]["raw"]["max_abs"] < 1e-3
    assert [token["first_difference"] for token in independent["tokens"]] == [None, None]
    assert [token["truth"] is not None for token in independent["tokens"]] == [True, True]
    options = ("--against", "self", "--steps", "2", "--assistant", "demo-draft", "--baseline", str(tmp_path))
    again = _run("demo", "--device", "cpu", *options)
    assert again.returncode == 0, again.stderr
    assert "baseline" in again.stdout
    assert "against the device without demo-draft" in again.stdout
    assert "demo on cpu, float32: pass\n" in again.stdout
    other = _run("demo", "--device", "cpu", "--dtype", "bfloat16", "--baseline", str(tmp_path))
    assert (other.returncode, other.stdout) == (2, "")
    assert "another dtype (float32) than this run (bfloat16)" in other.stderr


@pytest.mark.slow
def test_a_reference_for_another_machine(tmp_path: Path) -> None:
    """In float16 too, in which a CPU does not compute."""
    place = tmp_path / "golden"
    options = ("--dtype", "float16", "--device", "cpu", "--batch", "2", "--max-new-tokens", "4")
    done = _run("demo", *options, "--save-golden", str(place))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    golden = Golden.load(place)
    assert golden.about["dtype"] == "float16"
    assert all(said.text for said in golden.said)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_recordings_of_ones_own(dtype: str) -> None:
    """Another length than a window, and another rate than the model's."""
    audio = str(recording_path(recordings()[0].name))
    options = ("--batch", "2", "--steps", "1", "--max-new-tokens", "4", "--against", "self", "--json")
    done = _run("demo", "--device", "cpu", "--dtype", dtype, "--audio", audio, *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [token["clip"] for token in report["end_to_end"][0]["tokens"]] == [Path(audio).name] * 2
    assert str(Path(audio).parent) not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--device", "cpu", "--dtype", "float16"], "--dtype float32 or bfloat16"),
        (["demo", "--device", "cpu", "--golden", "nowhere"], "--save-golden"),
        (["demo", "--device", "cpu", "--audio", "nowhere.wav"], "nowhere.wav"),
        (["demo", "--device", "npu"], "no npu device found"),
        (["demo", "--device", "cpu", "--expect", "fp8"], "fp8"),
        (["nothing-of-this-name", "--device", "cpu", "--local-files-only", "True"], "nothing-of-this-name"),
        (["demo", "--device", "cpu", "--assistant", "nothing/here"], "nothing/here"),
        (["demo", "--device", "cpu", "--baseline", str(Path(__file__))], "not JSON"),
    ],
)
def test_what_cannot_be_run_says_what_to_do(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["literatim", "verify", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert said in shown.err
    assert not shown.out


def test_without_transformers_nothing_is_computed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(*_: object) -> None:
        raise AssertionError("the reference was made first")

    monkeypatch.setattr("literatim.verify.reference.make", made)
    monkeypatch.setattr("literatim.verify.independent.find_spec", lambda _: None)
    asked = ["literatim", "verify", "demo", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", asked)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "pip install 'literatim[verify]', or leave it out with --against self" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*asked, "--against", "self"])
    with pytest.raises(AssertionError, match="the reference was made first"):
        main()
