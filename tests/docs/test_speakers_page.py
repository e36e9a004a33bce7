"""The commands and the example of known voices in docs/speakers.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

import literatim
from audio_builders import wav
from literatim.cli.main import cli
from speaker_builders import random_speaker_folder

PAGE = Path(__file__).parents[2] / "docs" / "speakers.md"
TEXT = PAGE.read_text("utf-8")
COMMANDS = re.findall(r"^\$ literatim ([^#>\n]*)", TEXT, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_understood(line: str) -> None:
    command: click.Command = cli
    words, name = shlex.split(line), ""
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, line
        command = found
    command.make_context(name, words)


def test_the_example_of_known_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "SpeakerBook" in block)
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("anna1", "anna2", "call")):
        noise = np.random.default_rng(seed).standard_normal(32_000)
        Path(f"{name}.wav").write_bytes(wav((3000 * noise).astype("<i2").tobytes()))
    model = literatim.load_speaker(random_speaker_folder(tmp_path / "model", 1), device="cpu")
    names = {"literatim": literatim, "model": model}
    exec(code, names)
    assert names["match"].nearest == "Anna"


def test_what_it_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)", TEXT):
        assert link.startswith("https://") or (PAGE.parent / link).exists(), link
