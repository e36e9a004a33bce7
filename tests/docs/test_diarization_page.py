"""docs/diarization.md beside the program: its commands are understood, its numbers are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from literatim import demo, voices
from literatim.audio.decode import SAMPLE_RATE
from literatim.cli.main import cli
from literatim.pipeline import cluster, diarize, speakers, turns
from literatim.speaker_options import DiarizeOptions

PAGE = (Path(__file__).parents[2] / "docs" / "diarization.md").read_text("utf-8")
TEXT = " ".join(PAGE.split())
COMMANDS = [shlex.split(line, comments=True)[1:] for line in re.findall(r"^\$ (literatim .*)$", PAGE, re.MULTILINE)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_commands_are_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command: click.Command | None = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        command, words = command.get_command(context, words[0]), words[1:]
    assert command is not None
    for option in command.params:
        if isinstance(option.type, click.Path):
            monkeypatch.setattr(option.type, "exists", False)
    assert command.make_context("it", words).params["audio"]


def test_what_is_shown_is_what_is_printed() -> None:
    """Of the bundled meeting; its text is the README's, which a test of its own holds against the program."""
    shown = re.findall(r"^\[.*\] SPEAKER_\d\d(?:: .*)?$", PAGE, re.MULTILINE)
    assert len(shown) == 4
    assert "\n".join(shown[:2]) in (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    done = CliRunner().invoke(cli, ["diarize", str(demo.recordings()[0]), "--model", "demo-speaker"])
    for line, printed in zip(shown[2:], done.stdout.splitlines(), strict=False):
        told, found = ([float(number) for number in re.findall(r"[\d.]+", one)] for one in (line, printed))
        assert told == pytest.approx(found, abs=0.06)  # another CPU rounds another way: a step of 50 ms


def test_every_flag_that_is_named_is_there() -> None:
    there: set[str] = set()
    for path in (("transcribe",), ("diarize",), ("bench", "der"), ("speakers", "enroll")):
        command: click.Command | None = cli
        for name in path:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), name)
        assert command is not None
        there |= {spelling for option in command.params for spelling in option.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z_]+", PAGE)) <= there


@pytest.mark.parametrize(
    "told",
    [
        f"windows of {diarize.WINDOW / SAMPLE_RATE:g} s, each {diarize.HOP / SAMPLE_RATE:g} s after the one before",
        f"Windows below {diarize.SURE / SAMPLE_RATE:g} s join",
        f"Above {cluster.LIMIT:,} windows",
        f"fewer than {('zero', 'one', 'two', 'three', 'four')[cluster.FULL]} windows",
        f"Each {1000 * turns.STEP / SAMPLE_RATE:g} ms of speech",
        f"Pauses up to {turns.JOINED / SAMPLE_RATE:g} s",
        f"shorter than {turns.SHORTEST / SAMPLE_RATE:g} s right beside",
        f"else {voices.SIMILARITY:g}. **{voices.SIMILARITY:g} is a start",
        f"(default: {DiarizeOptions().least} and {DiarizeOptions().most})",
        f"two words or more of {speakers.OWN:g} s together",
    ],
)
def test_the_numbers_are_those_of_the_code(told: str) -> None:
    assert told in TEXT


def test_half_a_minute_is_half_a_minute() -> None:
    assert "Half a minute of speech is held at a time" in TEXT
    assert diarize.LONGEST == 30 * SAMPLE_RATE
    assert "a pause of a second" in TEXT
    assert speakers.PAUSE == 1.0
