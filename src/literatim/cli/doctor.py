"""`literatim doctor`: what is here, what is missing, and what mends it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys

import click

from literatim import __version__
from literatim.device.backend import KINDS
from literatim.doctor.child import Look
from literatim.doctor.findings import as_dict, exit_code
from literatim.doctor.page import Paint, page, plain
from literatim.doctor.run import Plan, collect
from literatim.errors import OptionError

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "info": "blue"}


@click.command()
@click.option(
    "--device", default=None, help=f"Look at one device alone: {', '.join(KINDS)}, with an index as in cuda:1."
)
@click.option("--quick", is_flag=True, help="Leave out the matrix products and the run of the bundled model.")
@click.option("--network", is_flag=True, help="Ask the hub whether it answers; without this no network is used.")
@click.option("--timeout", default=180.0, show_default=True, help="Longest wait for one look, in seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print for a machine to read.")
@click.pass_context
def doctor(ctx: click.Context, device: str | None, quick: bool, network: bool, timeout: float, as_json: bool) -> None:
    """Say what is here, what is missing, and which command mends it.

    Exit code 0: all that is needed works. 1: something does not. Changes nothing and downloads nothing.
    """
    say = _progress if sys.stderr.isatty() else _silent
    found = collect(Plan(_checked(device), quick, network, Look(timeout), dict(os.environ), say))
    say("")
    if as_json:
        click.echo(json.dumps(as_dict(found, __version__), indent=2))
    else:
        title = f"literatim {__version__} on {platform.platform()}"
        width = shutil.get_terminal_size((100, 24)).columns
        click.echo(_encodable(page(found, title, width, _paint())), nl=False)
    ctx.exit(exit_code(found))


def _checked(device: str | None) -> str | None:
    """The name of one device; None for all of them. OptionError for a name that no device has."""
    if device in (None, "auto"):
        return None
    if re.fullmatch(rf"({'|'.join(KINDS)})(:\d+)?", device or "") is None:
        raise OptionError(f"device {device!r} is unknown; choose one of {', '.join(KINDS)}, with an index as in cuda:1")
    return device


def _progress(what: str) -> None:
    """One line on the terminal that the next one replaces; an empty one clears it."""
    click.echo(f"\r\x1b[K{f'looking at {what} ...' if what else ''}", nl=False, err=True)


def _silent(_what: str) -> None:
    pass


def _paint() -> Paint:
    """Colours on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return plain
    return lambda text, state: click.style(text, fg=_COLOURS.get(state), bold=state in {"title", "fail"})


def _encodable(text: str) -> str:
    """With `?` for what standard output cannot write: recordings have words, and folders names, in any script."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
