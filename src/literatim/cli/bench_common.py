"""What the subcommands of `literatim bench` share: flags, and where a report goes."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim.errors import LiteratimError

if TYPE_CHECKING:
    from literatim.bench.table import Table


class Names(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Names separated by commas, each one of a few."""

    name = "names"

    def __init__(self, known: tuple[str, ...], empty: str | None = None) -> None:
        self._known, self._empty = known, empty

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Each name once, in the order given."""
        if value == self._empty:
            return ()
        names = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
        for name in names:
            if name not in self._known:
                self.fail(f"{name!r} is unknown; choose some of {', '.join(self._known)}", param, ctx)
        return names


class Sizes(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Positive whole numbers separated by commas."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Each number once, in the order given."""
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isdecimal() and int(part) for part in parts):
            self.fail(f"{value!r} is not a list of positive numbers such as 1,8", param, ctx)
        return tuple(dict.fromkeys(int(part) for part in parts))


class Shape(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """One of a few shapes; `micro`, which exists for tests of the commands, is not shown."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known, self.name = known, "|".join(known)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if it is one."""
        if value not in {*self._known, "micro"}:
            self.fail(f"{value!r} is unknown; choose one of {', '.join(self._known)}", param, ctx)
        return str(value)


OUT = click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the report (JSON) there.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on standard output.")


def deliver(found: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """The report into a file, and on standard output as JSON."""
    from literatim.bench.table import save

    if out is not None:
        save(found, out)
        click.echo(f"wrote {out}", err=True)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))


def drawing(found: dict[str, Any], out: Path, module: str) -> Path | None:
    """The report drawn beside it by `draw` of a module; None, and a word about it, where matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        click.echo("no drawing was made: it needs matplotlib (pip install 'literatim[bench]')", err=True)
        return None
    svg = out.with_suffix(".svg")
    importlib.import_module(module).draw(found, svg)
    click.echo(f"wrote {svg}", err=True)
    return svg


def show(table: Table) -> None:
    """With rich on a terminal where it is installed, else plain: rich would wrap to 80 columns in a file."""
    if importlib.util.find_spec("rich") is None or not sys.stderr.isatty():
        click.echo(table.plain(), err=True)
        return
    from rich.console import Console
    from rich.table import Table as RichTable

    drawn = RichTable(title=table.title, title_justify="left")
    for at, name in enumerate(table.columns):
        drawn.add_column(name, justify="left" if at < table.texts else "right")
    for row in table.rows:
        drawn.add_row(*row)
    console = Console(file=sys.stderr, markup=False, highlight=False)
    console.print(drawn)
    for note in table.notes:
        console.print(note)


def skipped(file: Path, error: LiteratimError) -> None:
    """Say that a recording is left out."""
    click.echo(f"Skipping {file}: {error}", err=True)
