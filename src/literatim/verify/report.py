"""A report as JSON and back, and the files that a run leaves.

The JSON is strict: what is infinite or not a number is null, and is read back as infinite where a number has to be (the
ratio of a result that is not finite, or not exact where it has to be). `schema` is the version of its form.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from literatim.errors import OptionError
from literatim.verify.page import page
from literatim.verify.types import SCHEMA, Report

KIND = "verify"
JSON_FILE, PAGE_FILE = "report.json", "report.html"
T = TypeVar("T")


def to_dict(report: Report) -> dict[str, Any]:
    """The report as JSON has it: dictionaries, lists, strings, numbers, true, false and null."""
    found: dict[str, Any] = _plain(report)
    return {"kind": KIND, "schema": found.pop("schema"), "exit_code": report.verdict.exit_code, **found}


def from_dict(found: Mapping[str, Any], name: str = "the report") -> Report:
    """The report of `to_dict`. OptionError, which says `name`, where it is none or of another version."""
    if found.get("kind") != KIND:
        raise OptionError(f"{name} is no report of `literatim verify --out`")
    if found.get("schema") != SCHEMA:
        raise OptionError(
            f"{name} has the form {found.get('schema')!r} and this version of literatim reads {SCHEMA}; make it again"
        )
    try:
        return _read(Report, found)
    except (KeyError, TypeError, ValueError) as error:
        raise OptionError(f"{name} is damaged ({type(error).__name__}: {error}); make it again") from error


def load(path: Path) -> Report:
    """The report in a file, or in a folder that `--out` named. Raises OptionError."""
    file = path / JSON_FILE if path.is_dir() else path
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"the report {file} cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise OptionError(f"the report {file} is not JSON ({error})") from error
    return from_dict(found if isinstance(found, dict) else {}, str(file))


def save(report: Report, folder: Path, remarks: tuple[str, ...] = ()) -> None:
    """Write report.json and report.html into `folder`, which is made; OptionError where that cannot be.

    `remarks` are sentences for the page alone, as a comparison with a baseline.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(to_dict(report), indent=1, allow_nan=False)
        (folder / JSON_FILE).write_text(f"{text}\n", encoding="utf-8")
        (folder / PAGE_FILE).write_text(page(report, remarks), encoding="utf-8")
    except OSError as error:
        raise OptionError(f"the report cannot be written to {folder} ({error.strerror or error})") from error


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: type[T], found: Mapping[str, Any]) -> T:
    """A dataclass from its dictionary; fields of a later version are passed over, missing ones take their default."""
    hints = _hints(kind)  # type: ignore[arg-type]
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    wanted = {name for name, item in fields.items() if name in found or not _has_default(item)}
    return kind(**{name: _value(hints[name], found[name]) for name in wanted})


def _has_default(item: Any) -> bool:
    return item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING


def _value(hint: Any, found: Any) -> Any:
    """JSON's value as the type that the field has."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        return None if found is None else _value(next(item for item in inner if item is not type(None)), found)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _read(hint, found)
    if origin is tuple:
        kinds = [inner[0]] * len(found) if inner[-1] is Ellipsis else inner
        return tuple(_value(kind, item) for kind, item in zip(kinds, found, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return {inner[0](name): _value(inner[1], item) for name, item in found.items()}
    if hint is float:
        return math.inf if found is None else float(found)
    return found if hint is Any else hint(found)
