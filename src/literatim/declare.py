"""How an option is declared, and how a dataclass of options is made from keyword arguments and checked."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any, TypeVar

from literatim.errors import OptionError

_PLAIN: dict[str, tuple[type, str]] = {"bool": (bool, "True or False"), "str": (str, "text")}

Options = TypeVar("Options")


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    flag: bool = False,
) -> Any:
    """A dataclass field that carries what the command line and the checks need; a `flag` is given without a value."""
    metadata = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum, "flag": flag}
    return field(default=default, metadata=metadata)


def as_in(kind: type, name: str) -> Any:
    """A dataclass field declared as that of another dataclass of options."""
    there = next(item for item in fields(kind) if item.name == name)
    return field(default=there.default, metadata=there.metadata)


def build(kind: type[Options], values: dict[str, Any]) -> Options:
    """Make and check the options dataclass `kind` from keyword arguments; unknown names are an OptionError.

    None stands for the default, as in openai/whisper's calls, where it is no value of the option's own.
    """
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise OptionError(f"unknown option {', '.join(unknown)}; the options are {', '.join(known)}")
    values = {name: value for name, value in values.items() if value is not None or "None" in str(known[name].type)}
    for name, value in values.items():
        if "tuple" in str(known[name].type) and isinstance(value, (list, tuple)):
            if not value:
                raise OptionError(f"{name} is empty; give one value at least")
            values = {**values, name: tuple(value)}
            for one in value:
                _check(name, one, known[name].metadata)
        else:
            _check(name, value, known[name].metadata)
        wanted = _PLAIN.get(str(known[name].type))
        if wanted is not None and not isinstance(value, wanted[0]):
            raise OptionError(f"{name} must be {wanted[1]}, not {value!r}")
    return kind(**values)


def _check(name: str, value: Any, rule: Any) -> None:
    choices, low, high = rule.get("choices"), rule.get("minimum"), rule.get("maximum")
    if choices is not None and value is not None and value not in choices:
        raise OptionError(f"{name} is {value!r}; choose one of {', '.join(choices)}")
    if value is None or (low is None and high is None):
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise OptionError(f"{name} must be a number, not {value!r}")
    if not (low is None or value >= low) or not (high is None or value <= high):
        raise OptionError(f"{name} is {value}; it must lie between {low} and {high}")
