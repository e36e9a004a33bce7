"""docs/benchmarks/README.md beside the reports: their commands, their figures, and nothing that the program lacks."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from literatim.cli import bench_compare, bench_live, bench_spec, bench_speed, bench_wer

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"
PAGE = (FOLDER / "README.md").read_text("utf-8")
COMMANDS = {
    "speed": bench_speed.speed,
    "spec": bench_spec.spec,
    "wer": bench_wer.wer,
    "live": bench_live.live,
    "compare": bench_compare.compare,
}
REPORTS = [file.name for file in sorted(FOLDER.glob("speed-*.json"))]


def _lines() -> list[list[str]]:
    """The words after `literatim bench` of every command on the page."""
    text = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ")
    return [shlex.split(line, comments=True)[2:] for line in text.splitlines() if line.startswith("literatim bench ")]


@pytest.fixture(autouse=True)
def _files_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in (option for command in COMMANDS.values() for option in command.params):
        if isinstance(option.type, click.Path):
            monkeypatch.setattr(option.type, "exists", False)


def _parsed(words: list[str]) -> dict[str, Any]:
    """A command's values, as click reads them."""
    return COMMANDS[words[0]].make_context(words[0], words[1:]).params


def test_the_commands_are_understood() -> None:
    lines = _lines()
    assert {words[0] for words in lines} == set(COMMANDS)
    for words in lines:
        _parsed(words)


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_has_the_command_that_made_it(name: str) -> None:
    """Shape, batches, dtypes, peers and rounds of the command are those of the file."""
    (words,) = (words for words in _lines() if words[0] == "speed" and f"docs/benchmarks/{name}" in words)
    given, report = _parsed(words), json.loads((FOLDER / name).read_text("utf-8"))
    assert report["model"] == (given["shape"] or given["model"])
    assert report["settings"]["batches"] == list(given["batches"])
    assert report["settings"]["iterations"] == (given["iterations"] or 5)
    assert report["environment"]["dtypes"] == list(given["dtypes"] or ("float32", "bfloat16", "int8"))
    assert {row["name"] for row in report["rows"]} == {"literatim", *(given["peers"] or bench_speed.PEERS)}


def _ratio(report: dict[str, Any], kind: str) -> str:
    dtype, batch = kind.split(", batch ")
    for row in report["rows"]:
        if (row["name"], row["dtype"], row["batch"]) == ("transformers", dtype, int(batch)):
            return f"{row['ours_to_this']['total']:.2f}"
    return "not measured"


def _beside(report: dict[str, Any], kind: str) -> str:
    name, dtype = kind.split(", ")
    (row,) = (row for row in report["rows"] if (row["name"], row["dtype"]) == (name, dtype))
    assert row["ours_to_this"]["ours"] == "literatim bfloat16"
    return f"{row['ours_to_this']['total']:.2f}"


def _speed_up(report: dict[str, Any], batch: str) -> str:
    for row in report["rows"]:
        if row["name"] == "literatim" and row["drafted"] and row["batch"] == int(batch):
            return f"{row['speed_up']['total']:.2f}"
    return "not measured"


@pytest.mark.parametrize("name", [file.name for file in sorted(FOLDER.glob("spec-*.json")) if "tails" not in file.name])
def test_a_report_of_drafts_has_its_command_and_the_plain_tokens(name: str) -> None:
    (words,) = (words for words in _lines() if words[0] == "spec" and f"docs/benchmarks/{name}" in words)
    given, report = _parsed(words), json.loads((FOLDER / name).read_text("utf-8"))
    assert report["model"] == (given["shape"] or given["model"])
    assert report["settings"]["batches"] == list(given["batches"])
    assert {row["same_tokens"] for row in report["rows"] if row["name"] == "literatim"} == {1.0}


@pytest.mark.parametrize(
    ("title", "lines", "told"),
    [
        ("## Results of 2026-11-20", 4, _ratio),
        ("## Results of 2026-11-21", 6, _speed_up),
        ("## Plain decoding beside the peers", 3, _beside),
    ],
)
def test_the_figures_are_those_of_the_files(title: str, lines: int, told: Callable[[dict[str, Any], str], str]) -> None:
    """Of the first table below the title: a file a column, and what it says of the line's first cell."""
    section = PAGE[PAGE.index(title) + len(title) :]
    header, _, *rows = re.findall(r"^\|(.*)\|$", section[: section.index("\n## ")], re.MULTILINE)
    files = re.findall(r"\]\((.*?\.json)\)", header)
    assert len(rows) == lines
    for row in rows:
        kind, *shown = (cell.strip() for cell in row.split("|"))
        for file, cell in zip(files, shown, strict=True):
            assert cell == told(json.loads((FOLDER / file).read_text("utf-8")), kind)


def test_the_figures_of_live_are_those_of_the_file() -> None:
    section = PAGE[PAGE.index("## Live") :].split("\n## ")[0]
    found = json.loads((FOLDER / "live-demo.json").read_text("utf-8"))["results"]
    rows = [re.findall(r"[\d.]+", line) for line in re.findall(r"^\|( [\d.]+ s .*)\|$", section, re.MULTILINE)]
    assert len(rows) == len(found) == 3
    for row, entry in zip(rows, found, strict=True):
        times = [entry[form][f"p{level}"] for form in ("shown", "agreed", "final") for level in (50, 95)]
        rates = [100 * entry[name] for name in ("wer_live", "wer_offline", "work_share")]
        assert row == [f"{entry['live_step']:g}", *(f"{value:.2f}" for value in (*times, *rates))]
