"""The course of a training run: its phases by the clock, its command line, and work in several processes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from literatim.train import course
from literatim.train.compose import Batch
from literatim.train.corpus import in_processes
from literatim.train.course import Course
from literatim.train.learner import Learner


def _run(folder: Path) -> Course[nn.Linear]:
    given = argparse.Namespace(out=folder, minutes=10.0, rate=1e-3, warmup=1)
    return Course(Learner(nn.Linear(2, 2), nn.Linear(2, 1), 1e-3), given, 0.5, ("loss",))


def _worked(run: Course[nn.Linear]) -> None:
    """A step that took a minute."""
    loss = run.learner.model(torch.ones(2)).sum() + run.learner.head(torch.ones(2)).sum()
    run.learn(loss, loss)
    run.before += 1.0


def _again_and_again(draw: Callable[[], Batch], ahead: int) -> Iterator[Batch]:
    while True:
        yield draw()


def _drawn(value: float) -> Callable[[], Batch]:
    return lambda: {"value": torch.tensor(value)}


def test_phases_follow_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes its share of the run and no more; what is left of the last one is cut off with the run."""
    monkeypatch.setattr(course, "endless", _again_and_again)
    torch.manual_seed(0)
    run, seen = _run(tmp_path), list[tuple[int, float]]()
    for number, batch in run.through([(0.2, _drawn(5)), (0.3, _drawn(6)), (1.0, _drawn(7))]):
        _worked(run)
        seen.append((number, batch["value"].item()))
    assert seen == [(0, 5)] * 2 + [(1, 6)] * 3 + [(2, 7)] * 5
    assert round(_run(tmp_path).minutes()) == 10  # saved at the end


def test_a_run_that_goes_on_begins_in_its_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "endless", _again_and_again)
    run = _run(tmp_path)
    run.before = 9.0
    for number, _ in run.through([(0.5, _drawn(0)), (0.5, _drawn(1))]):
        assert number == 1
        _worked(run)


def test_the_command_line_hands_on_what_a_run_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, out = list[argparse.Namespace](), tmp_path / "new" / "run"
    monkeypatch.setattr(sys, "argv", ["fit", "corpus", str(out), "--minutes", "3", "--seed", "7"])
    course.command(given.append, "What it does.", minutes=50, warmup=150)
    (asked,) = given
    assert (asked.corpus, asked.out, asked.minutes, asked.warmup) == (Path("corpus"), out, 3.0, 150)
    assert out.is_dir()
    assert torch.initial_seed() == 7


def _note(folder: Path, name: str) -> None:
    (folder / name).write_text("done")


def test_jobs_are_done_in_other_processes_and_errors_come_back(tmp_path: Path) -> None:
    in_processes(_note, [(tmp_path, "a"), (tmp_path, "b")], 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    with pytest.raises(ValueError, match="invalid literal"):
        in_processes(partial(int), [("no number",)], 1)
