"""docs/benchmarks/spec-notes.md beside the files it quotes and the command it describes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from literatim.bench import tails
from literatim.cli import bench_spec

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"
PAGE = (FOLDER / "spec-notes.md").read_text("utf-8")


def test_the_commands_are_understood() -> None:
    lines = re.findall(r"^literatim bench spec (.*)$", PAGE, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        bench_spec.spec.make_context("spec", shlex.split(line, comments=True))


def test_what_is_said_of_recycling() -> None:
    found = json.loads((FOLDER / "spec-tails.json").read_text("utf-8"))["behind_a_wrong_one"]
    told = re.search(r"right in its place (\d+) % of the time, where\s+a new one is (\d+) %", PAGE)
    assert told is not None
    assert list(told.groups()) == [f"{100 * found['rejected']:.0f}", f"{100 * found['new']:.0f}"]


def test_the_replayed_rounds_are_those_of_the_file() -> None:
    best = json.loads((FOLDER / "spec-tails.json").read_text("utf-8"))["best"]
    _header, _, *lines = re.findall(r"^\|(.*)\|$", PAGE, re.MULTILINE)
    assert len(lines) == len(tails.SOURCES)
    for name, line in zip(tails.SOURCES, lines, strict=True):
        row = best[name]
        wanted = [
            str(row["proposals"]), f"{row['tokens_a_round']:.2f}", f"{row['accepted']:.0%}".replace("%", " %"),
            f"{row['draft_steps_a_token']:.2f}", f"{row['speed_up']:.2f}",
        ]  # fmt: skip
        assert [cell.strip() for cell in line.split("|")][1:] == wanted
    assert max(best[name]["speed_up"] for name in tails.SOURCES) < 1.05 * best["draft"]["speed_up"]
