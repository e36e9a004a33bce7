"""`literatim models`: which names there are, and where their folders lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from literatim import hub
from literatim.declare import build
from literatim.options import HubOptions

BUNDLED_NOTE = "small demonstration model, synthetic speech only"


@click.group()
def models() -> None:
    """List, download and find models."""


def _hub_options(command: Callable[..., None]) -> Callable[..., None]:
    """A flag for each field of HubOptions, spelled with - or with _."""
    for item in reversed(fields(HubOptions)):
        choices = item.metadata["choices"]
        command = click.option(
            *dict.fromkeys((f"--{item.name}", f"--{item.name.replace('_', '-')}")),
            default=item.default,
            is_flag=isinstance(item.default, bool),
            type=click.Choice(choices) if choices else None,
            help=item.metadata["help"],
        )(command)
    return command


@models.command(name="list")
@_hub_options
@click.option("--json", "as_json", is_flag=True, help="Print for a machine to read.")
def list_models(as_json: bool, **values: Any) -> None:
    """List the names that models have, and which are on this machine."""
    options = build(HubOptions, values)
    rows = [_row(name, options) for name in (*hub.BUNDLED, *hub.SHORT_NAMES)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo(f"{'NAME':<18}{'MODEL':<38}ON THIS MACHINE")
    for row in rows:
        click.echo(f"{row['name']:<18}{row['model'] or 'bundled':<38}{_state(row)}")
    click.echo(
        f"Without --model: {hub.default_model()}, for voices {hub.default_speaker_model()}. Any other model: its id "
        "(owner/name), or a folder."
    )


@models.command()
@click.argument("name")
@_hub_options
def download(name: str, **values: Any) -> None:
    """Download model NAME, or bring it up to date, and print its folder."""
    click.echo(hub.resolve(name, build(HubOptions, values), refresh=True))


@models.command()
@click.argument("name")
@_hub_options
def path(name: str, **values: Any) -> None:
    """Print the folder of model NAME, downloading it first if need be."""
    click.echo(hub.resolve(name, build(HubOptions, values)))


def _row(name: str, options: HubOptions) -> dict[str, Any]:
    bundled = name in hub.BUNDLED
    folder = hub.cached(name, options)
    return {
        "name": name,
        "model": None if bundled else hub.repository(name),
        "bundled": bundled,
        "note": BUNDLED_NOTE if bundled else hub.TERMS.get(hub.repository(name)),
        "path": None if folder is None else str(folder),
        "bytes": None if folder is None else _bytes(folder),
    }


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _state(row: dict[str, Any]) -> str:
    size = "no" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f} MB"
    return f"{size} ({row['note']})" if row["note"] else size
