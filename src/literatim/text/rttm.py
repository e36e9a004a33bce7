"""Turns of speakers as RTTM, the format of NIST's evaluations, and back.

A line a turn: `SPEAKER file channel start duration <NA> <NA> speaker <NA> <NA>`, times in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from literatim.errors import OptionError
from literatim.types import Turn

FIELDS = 8  # at least: some files leave the last columns out


def lines(name: str, turns: Iterable[Turn]) -> Iterator[str]:
    """The lines of a recording called `name`; white space, which parts the fields, becomes an underscore in names."""
    for turn in turns:
        length = max(0.0, round(turn.end, 3) - round(turn.start, 3))
        times = f"{turn.start:.3f} {length:.3f}"
        yield f"SPEAKER {_field(name)} 1 {times} <NA> <NA> {_field(turn.speaker)} <NA> <NA>\n"


def _field(text: str) -> str:
    return re.sub(r"\s+", "_", text.strip()) or "<NA>"


def read(path: Path) -> dict[str, list[Turn]]:
    """The turns of each recording that a file names, in order of time; lines of other types are left out.

    Raises OptionError for what is no RTTM, with the number of the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{path} is no text ({error}); give a file of RTTM") from error
    found: dict[str, list[Turn]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if not parts or parts[0].startswith(";") or (parts[0] != "SPEAKER" and parts[0].isupper()):
            continue
        turn = _turn(parts)
        if turn is None:
            wanted = "SPEAKER file channel start duration <NA> <NA> speaker"
            raise OptionError(f"{path}, line {number}: no line of RTTM ({wanted}): {line!r}")
        found.setdefault(parts[1], []).append(turn)
    return {name: sorted(turns, key=lambda turn: (turn.start, turn.end)) for name, turns in found.items()}


def _turn(parts: list[str]) -> Turn | None:
    if parts[0] != "SPEAKER" or len(parts) < FIELDS:
        return None
    try:
        start, length = float(parts[3]), float(parts[4])
    except ValueError:
        return None
    if not (0 <= start < float("inf") and 0 <= length < float("inf")):
        return None
    return Turn(start, round(start + length, 6), parts[7])
