"""`literatim bench speed` as a user calls it: tables on standard error, JSON on standard output, exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from literatim.bench import speed
from literatim.bench.plan import Plan
from literatim.bench.worker import Inside
from literatim.cli import bench_speed
from literatim.cli.main import main


@pytest.fixture
def literatim(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Call the command; returns (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["literatim", "bench", "speed", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            main()
        out, err = capfd.readouterr()
        return int(exit.value.code or 0), out, err

    return call


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that were to be run; nothing is measured."""
    seen: list[Plan] = []

    def note(plan: Plan, *_: Any) -> dict[str, Any]:
        seen.append(plan)
        return _report()

    monkeypatch.setattr(speed, "run", note)
    return seen


def _report(**row: Any) -> dict[str, Any]:
    reason = {"status": "absent", "reason": "not installed"}
    measured = {
        "name": "transformers", "package": "transformers", "version": "5", "setting": "default", "what": "greedy",
        "dtype": "float32", "batch": 1, **reason, **row,
    }  # fmt: skip
    return {
        "model": "tiny",
        "weights": "random",
        "environment": {"cpu": "a CPU", "date": "2026-01-02"},
        "settings": {"tokens": 2, "window_seconds": 30.0, "threads": 1, "batches": [1]},
        "rows": [measured],
        "published": [],
        "published_note": None,
    }


def test_speed_in_real_processes(literatim: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "REST_SECONDS", 0.0)
    broken = tmp_path / "peers" / "openvino" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.write_text("no program", encoding="utf-8")
    monkeypatch.setenv("LITERATIM_BENCH_PEERS", str(tmp_path / "peers"))
    target = tmp_path / "out" / "speed.json"
    code, out, err = literatim(
        "--shape", "micro", "--batch", "1", "--dtype", "float32", "--peer", "transformers,openvino",
        "--tokens", "5", "--iterations", "1", "--threads", "1", "--json", "--out", target,
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0, err
    assert found["weights"] == "random"
    assert [row["status"] for row in found["rows"]] == ["measured", "measured", "failed"]
    assert found["rows"][1]["same_tokens"] == 1.0
    ours, theirs = (row["start"] for row in found["rows"][:2])
    assert 0 < ours["load_ms"] < ours["cold_ms"]
    assert 0 < theirs["load_ms"] < theirs["cold_ms"]
    assert "openvino float32 (best: precision hint of the dtype, greedy), batch 1: failed: its process cannot" in err
    assert json.loads(target.read_text(encoding="utf-8")) == found
    page = target.with_suffix(".html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert target.with_suffix(".svg").is_file()
    assert "<svg" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--shape", "huge"), "tiny, base, small, demo"),
        (("--batch", "0"), "positive numbers"),
        (("--batch", "1,x"), "positive numbers"),
        (("--dtype", "float12"), "float12"),
        (("--dtype", "none"), "none"),
        (("--peers", "nobody"), "faster-whisper, openvino, transformers"),
        (("--tokens", "0"), "--tokens"),
        (("--warmup", "0"), "--warmup"),
        (("--precision", "low"), "--precision"),
        (("--preset", "medium-rare"), "whisper-tiny"),
        (("--device", "toaster"), "toaster"),
        (("--audio", "/no/such/file.wav"), "/no/such/file.wav"),
        (("/no/such/folder", "--peer", "none"), "/no/such/folder"),
        (("demo", "--shape", "tiny"), "give one of them"),
        (("--shape", "micro", "--assistant", "demo-draft"), "random weights have no draft"),
        (("--shape", "micro", "--reference", __file__), "--audio"),
        (("--shape", "micro", "--tokens", "1000", "--peers", "none"), "room for 60"),
    ],
)
def test_speed_could_not_run(literatim: Any, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = literatim(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_different_tokens_are_a_failed_check(literatim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "run", lambda *_: _report(same_tokens=0.5))
    code, _, err = literatim()
    assert code == 1
    assert "50.0% of the tokens differ" in err


def test_what_is_not_given_is_the_default(literatim: Any, planned: list[Plan]) -> None:
    assert literatim()[0] == 0
    assert literatim("small", "--peers", "none", "--repeats", "7", "--warmup", "3", "--precision", "highest")[0] == 0
    plain, given = planned
    assert (plain.model, plain.shape, plain.batches, plain.tokens, plain.iterations) == (None, None, (1, 8), 100, 5)
    assert plain.peers == ("faster-whisper", "openvino", "transformers")
    assert (given.model, given.peers, given.iterations, given.warmup) == ("small", (), 7, 3)
    assert given.precision == "highest"


def test_a_preset_is_a_plan_that_flags_change(literatim: Any, planned: list[Plan]) -> None:
    assert literatim("--preset", "whisper-tiny")[0] == 0
    assert literatim("--preset", "whisper-tiny", "--batch", "2", "--dtype", "float16")[0] == 0
    assert literatim("/my/tiny", "--preset", "whisper-tiny")[0] == 0
    whole, changed, mine = planned
    assert (whole.shape, whole.batches, whole.dtypes) == ("tiny", (1, 4), ("float32", "float16", "bfloat16"))
    assert (changed.batches, changed.dtypes, changed.peers) == ((2,), ("float16",), whole.peers)
    assert (mine.model, mine.shape, mine.preset) == ("/my/tiny", None, "whisper-tiny")


def test_published_figures_are_beside_ours(literatim: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = speed.run
    monkeypatch.setattr(speed, "REST_SECONDS", 0.0)
    monkeypatch.setattr(speed, "run", lambda plan, say: run(plan, say, Inside))
    code, out, err = literatim(
        "--preset", "whisper-tiny", "--shape", "micro", "--peers", "none", "--dtype", "float32", "--tokens", "3",
        "--iterations", "1", "--threads", "1", "--json",
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0, err
    assert found["preset"] == "whisper-tiny"
    assert found["published"][0]["latency_ms"] == 105.37
    assert found["published"][0]["device"] == "Ascend 910B4"
    assert "Published figures, from other machines" in err
    assert "105.4" in err


def test_presets_named_here_are_those_there_are() -> None:
    from literatim.bench.plan import DTYPES
    from literatim.bench.presets import PRESETS

    assert tuple(PRESETS) == bench_speed.PRESETS
    assert DTYPES == bench_speed.DTYPES
