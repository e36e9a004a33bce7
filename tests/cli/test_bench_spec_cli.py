"""`literatim bench spec` as a user calls it: tables on standard error, JSON on standard output, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from literatim.bench import spec_rows
from literatim.cli.main import main


@pytest.fixture
def literatim(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Call the command; returns (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["literatim", "bench", "spec", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        out, err = capfd.readouterr()
        return int(exit.value.code or 0), out, err

    return call


MICRO = ("--shape", "micro", "--tokens", "12", "--iterations", "1", "--warmup", "1", "--threads", "1")


def test_spec_as_a_process(tmp_path: Path) -> None:
    target = tmp_path / "out" / "spec.json"
    command = [sys.executable, "-m", "literatim.cli.main", "bench", "spec", *MICRO, "--batch", "1,2"]
    command += ["--peer", "transformers", "--json", "--out", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert json.loads(target.read_text(encoding="utf-8")) == found
    assert (found["kind"], found["weights"]) == ("spec", "random")
    measured = [row for row in found["rows"] if row["status"] == "measured"]
    assert [row["what"] for row in measured if row["name"] == "transformers"] == [
        "plain", "assisted, 4 proposals", "assisted, 8 proposals",
    ]  # fmt: skip
    assert all(row["same_tokens"] == 1.0 for row in measured)
    assert "planted acceptance" in done.stderr
    assert target.with_suffix(".svg").is_file()


def test_another_token_is_exit_code_1(literatim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec_rows, "_same", lambda row, _: 0.5 if row.way.drafted else 1.0)
    code, _, err = literatim(*MICRO, "--batch", "2")
    assert code == 1
    assert "batch 2, float32: 50.0% of the windows differ with a draft" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--shape", "huge"), "tiny, base, small, large-v2"),
        (("--shape", "micro", "--acceptance", "2"), "--acceptance 2"),
        (("--shape", "micro", "--acceptance", "x"), "--acceptance"),
        (("--shape", "micro", "--batch", "0"), "positive numbers"),
        (("--shape", "micro", "--dtype", "int8"), "int8"),
        (("--shape", "micro", "--num_assistant_tokens", "17"), "num_assistant_tokens"),
        (("--shape", "micro", "--device", "toaster"), "toaster"),
        (("demo", "--shape", "micro"), "a shape has a draft of its own"),
        (("/no/such/folder", "--assistant", "demo-draft"), "/no/such/folder"),
        (("demo", "--assistant", "/no/such/draft"), "/no/such/draft"),
        (("demo", "--peers", "nobody"), "faster-whisper, openvino, transformers"),
    ],
)
def test_spec_could_not_run(literatim: Any, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = literatim(*arguments)
    assert (code, out) == (2, "")
    assert said in err
