"""The self-test of `verify`, small: on the fake npu, over faults and right devices of a few kinds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from literatim.verify.planted import selftest, trial
from literatim.verify.planted.catalogue import Case
from literatim.verify.planted.selftest import Plan, self_test, sentences, summary, trials, write
from literatim.verify.planted.variations import Variation
from whisper_builders import random_whisper_folder

SMALL = Plan(dtypes=("float32", "bfloat16"), repeats=(1, 1), mixed=2, rows=2, tokens=3, share=0.04, seed=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("self test"), 8)


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    return self_test(str(folder), SMALL)


def test_what_is_above_the_noise_is_caught_and_right_devices_pass(report: dict[str, Any]) -> None:
    rows = report["runs"]
    faults, clean = ([row for row in rows if ("kind" in row) is planted] for planted in (True, False))
    assert {row["dtype"] for row in faults} == {row["dtype"] for row in clean} == {"float32", "bfloat16"}
    assert len(faults) >= 8
    assert len(clean) >= 4
    for row in faults:
        if row["hits"] and (row["ratio"] is None or row["ratio"] > 100):
            assert row["caught"], row
            assert row["located"], row
            assert row["suspects"][0].split()[0] in row["hit"]
    assert [row for row in clean if row["status"] == "fail"] == []


def test_a_device_that_no_fault_strikes_is_clean(folder: Path, tmp_path: Path) -> None:
    """The runner itself raises no alarm: the same run with a fault of magnitude 0."""
    plan = Plan(dtypes=("float32",), rows=2, tokens=3)
    selftest._reference(folder, "float32", plan, tmp_path / "float32")
    worker = selftest._Worker(folder, tmp_path)
    scaled = next(item for item in trials(folder, plan) if isinstance(item, Case))
    nothing = Case(scaled.kind, 0.0, 1, scaled.site, "float32", 0)
    found = worker.run(nothing)
    assert (found["hits"], found["caught"], found["located"]) == (0, False, False)
    much = worker.run(Case(scaled.kind, 0.5, 1, scaled.site, "float32", 0))
    assert (much["caught"], much["located"]) == (True, True)
    assert much["relative"] == pytest.approx(0.5, rel=1e-2)
    assert worker.run(trial.Clean(Variation(norm="two passes"), "float32"))["status"] != "fail"


def test_the_report_is_json_and_says_what_was_reached(report: dict[str, Any], tmp_path: Path) -> None:
    read = json.loads(write(report, tmp_path).read_text("utf-8"), parse_constant=pytest.fail)
    assert read["runs"] == report["runs"]
    assert read["plan"]["rows"] == 2
    assert read["faults"]["runs"] + read["clean"]["failed"]["n"] == len(read["runs"])
    caught, located, alarms = sentences(read)
    assert caught.startswith("caught: ")
    assert f"of {read['faults']['above_the_noise']['located']['n']}" in located
    assert "false alarms: 0.0 %" in alarms


def test_the_targets_decide() -> None:
    fault = {"kind": "a", "magnitude": 1.0, "period": 1, "dtype": "float32", "unit": "", "hits": 1, "ratio": 50.0}
    found = [{**fault, "caught": True, "located": True} for _ in range(100)]
    clean = [{"dtype": "float32", "status": "pass"} for _ in range(100)]
    assert summary([*found, *clean])["passed"]
    assert not summary([*found, *clean, *({"dtype": "float32", "status": "fail"} for _ in range(2))])["passed"]
    missed = [{**fault, "caught": False, "located": False} for _ in range(6)]
    assert not summary([*found[6:], *missed, *clean])["passed"]
    astray = [{**fault, "caught": True, "located": False} for _ in range(11)]
    assert not summary([*found[11:], *astray, *clean])["passed"]
    assert not summary(clean)["passed"]


def test_it_is_drawn(report: dict[str, Any], tmp_path: Path) -> None:
    from literatim.verify.planted.draw import draw

    for path in draw(report, tmp_path):
        text = path.read_text("utf-8")
        assert "<svg" in text
        assert "float32" in text
    again = tmp_path / "again"
    again.mkdir()
    assert [path.read_bytes() for path in draw(report, again)] == [
        path.read_bytes() for path in sorted(tmp_path.glob("*.svg"), reverse=True)
    ]


def test_every_trial_is_there_once(folder: Path) -> None:
    whole = trials(folder, Plan())
    clean = [item for item in whole if not isinstance(item, Case)]
    assert len(clean) >= 200
    assert len({(item.variation.name, item.dtype) for item in clean}) > 0.95 * len(clean)
    assert len({item.name for item in whole if isinstance(item, Case)}) > 440
    assert trials(folder, Plan()) == whole
