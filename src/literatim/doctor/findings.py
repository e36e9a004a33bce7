"""What a look at one thing found: the unit that the page, the JSON and the exit code are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

OK, INFO, WARN, FAIL = "ok", "info", "warn", "fail"
WORKS, PROBLEM = 0, 1


@dataclass(frozen=True)
class Finding:
    """One line of the page. `state`: ok, info (told, neither good nor bad), warn (works, but) or fail (does not)."""

    section: str
    name: str
    state: str
    text: str
    mend: str | None = None  # the command that mends it, bare; or a sentence with its commands in backticks


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when all that is needed works, 1 when something does not; warnings alone are 0."""
    return PROBLEM if any(finding.state == FAIL for finding in findings) else WORKS


def as_dict(findings: Iterable[Finding], version: str) -> dict[str, Any]:
    """The findings for a machine to read, in the order of the page."""
    listed = list(findings)
    return {"literatim": version, "exit_code": exit_code(listed), "findings": [asdict(finding) for finding in listed]}


def split(reason: str) -> tuple[str, str | None]:
    """A reason of the form "what is wrong; `the command that mends it`" as its two parts; None without a command."""
    text, separator, mend = reason.partition("; ")
    if not separator or "`" not in mend:
        return reason, None
    alone = re.fullmatch(r"`([^`]*)`", mend)
    return text, alone[1] if alone else mend
