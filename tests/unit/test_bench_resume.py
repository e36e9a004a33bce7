"""Results that an interrupted `bench wer` left: which of them count, and what a broken file costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from literatim.bench import wer
from literatim.bench.manifest import Case
from literatim.bench.resume import Part, part_of
from literatim.bench.wer_run import Result
from literatim.cli import bench_wer

CASES = [Case(Path(f"{name}.wav"), name, f"the words of {name}") for name in "abc"]
MADE_WITH = {"model": "1f", "language": None}


def _result(case: Case) -> Result:
    return Result(case, "en", 2.0, "the words", wer.score(case.text, "the words", "en", {"none": str.strip}), 0.5, 0.25)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """What a run of all three recordings left after the second."""
    part = Part.open(part_of(tmp_path / "wer.json"), MADE_WITH, CASES)
    for case in CASES[:2]:
        part.keep(_result(case))
    assert part.path == tmp_path / "wer.json.part"
    return part.path


def test_what_was_done_is_not_done_again(left: Path) -> None:
    assert Part.open(left, MADE_WITH, CASES).results == {case.id: _result(case) for case in CASES[:2]}
    assert list(Part.open(left, MADE_WITH, CASES[1:]).results) == ["b"]  # only what is asked for


def test_opening_twice_loses_nothing(left: Path) -> None:
    before = left.read_bytes()
    Part.open(left, MADE_WITH, CASES)
    assert left.read_bytes() == before
    assert [file.name for file in left.parent.iterdir()] == [left.name]


@pytest.mark.parametrize(
    "other", [replace(CASES[0], text="other words"), replace(CASES[0], audio=Path("elsewhere/other.wav"))]
)
def test_a_recording_that_has_changed_is_measured_again(left: Path, other: Case) -> None:
    assert list(Part.open(left, MADE_WITH, [other, *CASES[1:]]).results) == ["b"]


@pytest.mark.parametrize("damage", ["cut", "number", "keys", "scores", "duration"])
def test_a_line_that_is_no_result_costs_that_result(left: Path, damage: str) -> None:
    head, first, second = left.read_text("utf-8").splitlines()
    lines = {
        "cut": second[: len(second) // 2],
        "number": "7",
        "keys": '{"id": "b", "expected": "the words of b", "file": "b.wav"}',
        "scores": json.dumps({**json.loads(second), "scores": {"none": 1}}),
        "duration": json.dumps({**json.loads(second), "duration": "long"}),
    }
    left.write_text(f"{head}\n{first}\n{lines[damage]}")
    assert list(Part.open(left, MADE_WITH, CASES).results) == ["a"]
    # what comes next stands on a line of its own
    part = Part.open(left, MADE_WITH, CASES)
    part.keep(_result(CASES[2]))
    assert list(Part.open(left, MADE_WITH, CASES).results) == ["a", "c"]


@pytest.mark.parametrize("content", ["", "{}", "no JSON", '{"kind": "something else"}\n{"id": "a"}'])
def test_a_file_of_another_kind_is_not_used(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.part"
    file.write_text(content)
    part = Part.open(file, MADE_WITH, CASES)
    assert part.results == {}
    assert "kind" in part.differs


def test_results_of_another_run_are_not_used(left: Path) -> None:
    part = Part.open(left, {**MADE_WITH, "model": "2e"}, CASES)
    assert (part.results, part.differs) == ({}, {"model": ("1f", "2e")})
    assert Part.open(left, MADE_WITH, CASES).results == {}  # they are gone: the file is the new run's


SETTINGS = {"normalizer": "all", "language": None, "batch_size": 1, "spellings": 0, "limit": None, "recordings": 3}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("device", {"device": torch.device("cuda", 0)}),
        ("dtype", {"dtype": torch.bfloat16}),
        ("precision", {"precision": "highest"}),
        ("model", {"config": '{"d_model": 8}'}),
        ("normalizer", {"normalizer": "none"}),
        ("language", {"language": "nl"}),
        ("batch_size", {"batch_size": 2}),
        ("spellings", {"spellings": 9}),
        (None, {"limit": 2}),
        (None, {"recordings": 2}),
    ],
)
def test_what_results_depend_on(tmp_path: Path, name: str | None, change: dict[str, Any]) -> None:
    def opened(**changed: Any) -> Part:
        (tmp_path / "config.json").write_text(changed.get("config", "{}"))
        known = {"device": torch.device("cpu"), "dtype": torch.float32, "precision": "default"}
        recognizer: Any = SimpleNamespace(**{key: changed.get(key, value) for key, value in known.items()})
        settings = {key: changed.get(key, value) for key, value in SETTINGS.items()}
        part = bench_wer._part(tmp_path / "out" / "wer.json", CASES, recognizer, tmp_path, settings)
        assert part is not None
        return part

    opened().keep(_result(CASES[0]))
    part = opened(**change)
    assert list(part.differs) == ([] if name is None else [name])
    assert list(part.results) == (["a"] if name is None else [])
