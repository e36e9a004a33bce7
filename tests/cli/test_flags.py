"""Flags that stand for more than one value."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from literatim.cli.flags import flags, stepped
from literatim.errors import OptionError
from literatim.options import TEMPERATURES, TranscribeOptions


@click.command()
@flags(TranscribeOptions)
def show(**values: object) -> None:
    click.echo(repr(values["temperature"]))


@pytest.mark.parametrize(
    ("given", "expected"),
    [([], TEMPERATURES), (["--temperature", "0.3"], 0.3), (["--temperature", "0, 0.5,1"], (0.0, 0.5, 1.0))],
)
def test_numbers_with_commas(given: list[str], expected: object) -> None:
    done = CliRunner().invoke(show, given)
    assert done.output.strip() == repr(expected)


def test_what_is_no_number_is_refused() -> None:
    done = CliRunner().invoke(show, ["--temperature", "0,warm"])
    assert done.exit_code == 2
    assert "'0,warm' is no number" in done.output


@pytest.mark.parametrize(
    ("temperature", "increment", "expected"),
    [
        (0.0, 0.2, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0.5, 0.25, (0.5, 0.75, 1.0)),
        (0.3, 0.5, (0.3, 0.8)),
        (2.0, 0.2, (2.0,)),
        (0.0, None, 0.0),
        (TEMPERATURES, 0.2, TEMPERATURES),
        ((0.0, 0.7), 0.1, (0.0, 0.7)),
        (TEMPERATURES, None, 0.0),
    ],
)
def test_openai_whispers_increment(temperature: float, increment: float | None, expected: object) -> None:
    """numpy.arange(temperature, 1 + 1e-6, increment); several temperatures are taken as they are."""
    assert stepped(temperature, increment) == expected


def test_an_increment_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(OptionError, match="above 0"):
        stepped(0.0, 0.0)
