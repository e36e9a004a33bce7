"""The commands in docs/verify.md, and the files that it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from literatim.cli.main import cli
from literatim.verify.grades import GRADES

PAGE = Path(__file__).parents[2] / "docs" / "verify.md"
TEXT = PAGE.read_text("utf-8")
COMMANDS = re.findall(r"^\$ literatim (verify [^#\n]*)", TEXT, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_understood(line: str) -> None:
    words = shlex.split(line)
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    context = command.make_context(words[0], words[1:])
    assert context.params["model"] in {"small", "demo"}


def test_the_options_it_names_are_there() -> None:
    command = cli.get_command(click.Context(cli), "verify")
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    named = set(re.findall(r"`(--[a-z_\-]+)", TEXT))
    assert len(COMMANDS) == 7
    assert named >= {"--expect", "--golden", "--rule", "--strict-device", "--precision"}
    assert named <= known


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    for link in links:
        assert (PAGE.parent / link).is_file(), link
    assert set(GRADES) <= set(re.findall(r"`([a-z0-9-]+)`", TEXT))
