"""Command-line flags made from the options dataclasses, so that each option is written once."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import click

from literatim.errors import OptionError

Command = TypeVar("Command", bound=Callable[..., Any])


def flags(*kinds: type) -> Callable[[Command], Command]:
    """Decorate a command with one flag per field; `--max_new_tokens` and `--max-new-tokens` are the same."""

    def decorate(command: Command) -> Command:
        for kind in reversed(kinds):
            hints = typing.get_type_hints(kind)
            for item in reversed(fields(kind)):
                command = _flag(item.name, hints[item.name], item.default, item.metadata)(command)
        return command

    return decorate


def chosen(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Those of a command's values that are fields of `kind`."""
    return {item.name: values[item.name] for item in fields(kind)}


def _flag(name: str, hint: Any, default: Any, metadata: Any) -> Callable[[Command], Command]:
    spellings = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
    if metadata["flag"]:
        return click.option(*spellings, name, is_flag=True, default=default, help=metadata["help"])
    shown = {"show_default": default is not None, "default": default, "help": metadata["help"]}
    return click.option(*spellings, name, type=_type(hint, metadata["choices"]), **shown)


def _type(hint: Any, choices: tuple[str, ...] | None) -> Any:
    """openai/whisper writes booleans and absent numbers as values (`--verbose False`), and so do these."""
    if choices is not None:
        return click.Choice(choices)
    kinds = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
    if any(typing.get_origin(kind) is tuple for kind in kinds):
        return _Numbers()
    if kinds and kinds[0] in {int, float}:
        return NumberOrNone(kinds[0])
    return {bool: click.BOOL, int: click.INT, float: click.FLOAT, str: click.STRING}[kinds[0] if kinds else hint]


class NumberOrNone(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number, or `None` to switch the option off."""

    name = "number or None"

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        if value is None or value == "None":
            return None
        try:
            return self._kind(value)
        except ValueError:
            self.fail(f"{value!r} is no number and not None", param, ctx)


class _Numbers(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number, or several with commas."""

    name = "number,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is no number, nor several with commas between them", param, ctx)
        return numbers if len(numbers) > 1 else numbers[0]


def stepped(temperature: float | tuple[float, ...], increment: float | None) -> float | tuple[float, ...]:
    """openai/whisper's command line: a single temperature is followed by others, up to 1, in steps of `increment`.

    Without an increment only the first is tried.
    """
    if increment is None:
        return temperature[0] if isinstance(temperature, tuple) else temperature
    if increment <= 0:
        raise OptionError("temperature_increment_on_fallback must be above 0, or None for no fallback")
    if isinstance(temperature, tuple):
        return temperature
    steps = int((1 - temperature) / increment + 1e-6)
    return tuple(round(temperature + step * increment, 6) for step in range(max(steps, 0) + 1))
