"""What the README says is run: its Python, its transcript, its commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from difflib import SequenceMatcher
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh.md")


def _blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("name", READMES)
def test_python_runs(name: str) -> None:
    (code,) = _blocks(name, "python")
    done = _run(sys.executable, "-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 3


def test_make_run_prints_what_the_readme_shows() -> None:
    recipe = re.search(r"^run:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    command = next(line for line in recipe[1].splitlines() if "transcribe" in line)
    arguments = shlex.split(command[command.index("transcribe") :])
    done = _run(sys.executable, "-m", "literatim.cli.main", *arguments)
    assert done.returncode == 0, done.stderr
    for name in READMES:
        (shown,) = _blocks(name, "text")
        # another CPU rounds another way, and may hear a word in a hundred differently
        assert SequenceMatcher(None, shown.strip(), done.stdout.strip(), autojunk=False).ratio() > 0.97


@pytest.mark.parametrize("name", READMES)
def test_commands_exist(name: str) -> None:
    """Every `literatim ...` line uses a command and flags that the program knows."""
    from literatim.cli.main import cli

    lines = [line[2:] for block in _blocks(name, "console") for line in block.splitlines() if line.startswith("$ lit")]
    assert lines
    for line in lines:
        words = shlex.split(line)[1:]
        command: click.Command | None = cli
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None
        known = {flag for option in command.params for flag in option.opts}
        assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("name", READMES)
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / name).read_text("utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
