"""Two reports of one kind beside each other: read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from literatim.errors import OptionError

KINDS = ("speed", "wer")


def read_report(path: Path) -> dict[str, Any]:
    """A report of `bench speed` or `bench wer`. Raises OptionError for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"the report {path} cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise OptionError(f"the report {path} is not JSON ({error})") from error
    kind = found.get("kind") if isinstance(found, dict) else None
    rows = {"speed": "rows", "wer": "files"}.get(str(kind), "")
    if kind not in KINDS or not isinstance(found.get(rows), list):
        raise OptionError(f"{path} is no report of `literatim bench speed --out` or `bench wer --out`")
    return dict(found)


def same_kind(a: dict[str, Any], b: dict[str, Any]) -> str:
    """The kind of both; OptionError where they are of two."""
    if a["kind"] != b["kind"]:
        raise OptionError(f"a {a['kind']} report and a {b['kind']} report cannot be compared")
    return str(a["kind"])
