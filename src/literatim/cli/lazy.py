"""Groups whose subcommands are imported when they are called, so that `--help` stays fast."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click


class Lazy(click.Group):
    """`commands_by_module` maps a subcommand to its module, which has it under the same name, and its short help."""

    def __init__(self, *args: Any, commands_by_module: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = commands_by_module

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """In the order of the dictionary."""
        return list(self._modules)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that has it."""
        if cmd_name not in self._modules:
            return None
        return getattr(import_module(self._modules[cmd_name][0]), cmd_name)  # type: ignore[no-any-return]

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the short help, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._modules.items()])
