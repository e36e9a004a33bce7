"""Which recordings a command is given, by files, folders and patterns, and how what is written for them is called."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from literatim.errors import AudioNotFound

SUFFIXES = frozenset(
    {".3gp", ".aac", ".aif", ".aifc", ".aiff", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp3"}
    | {".mp4", ".oga", ".ogg", ".opus", ".w64", ".wav", ".webm"}
)
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Item:
    """A recording: its path as it was found, and the place of its files below the output folder, without suffix."""

    path: str
    place: PurePath

    @property
    def bytes(self) -> int | None:
        """Size of the file; None where it has none or cannot be asked."""
        try:
            return None if self.path == STANDARD_INPUT else Path(self.path).stat().st_size
        except (OSError, ValueError):
            return None


def find(given: tuple[str, ...]) -> list[Item]:
    """Every recording once, in order; what does not exist stays, to be reported as a missing file.

    A folder stands for the recordings in it and below it, by their suffix; hidden ones are left out. Raises
    AudioNotFound for a folder without any.
    """
    found: dict[str, tuple[str, PurePath]] = {}
    for item in given:
        for path, place in _expanded(item):
            key = path if path == STANDARD_INPUT else os.path.realpath(path)
            found.setdefault(key, (path, place))
    paths, places = [path for path, _ in found.values()], [place for _, place in found.values()]
    return [Item(path, place) for path, place in zip(paths, _apart(paths, places), strict=True)]


def _expanded(item: str) -> Iterator[tuple[str, PurePath]]:
    """Paths with the place of each, its suffix still there: below a folder where that was given, else at the top."""
    if item == STANDARD_INPUT:
        yield item, PurePath("stdin")
    elif item and Path(item).is_dir():
        inside = list(_recordings(Path(item)))
        if not inside:
            raise AudioNotFound(f"{item}: no recording in this folder; they end in {' '.join(sorted(SUFFIXES))}")
        yield from ((str(path), path.relative_to(item)) for path in inside)
    else:
        # patterns that the shell left alone, ** for any folders; glob knows absolute ones too, Path.glob does not
        pattern = any(mark in item for mark in "*?[") and not Path(item).exists()
        matches = sorted(glob.glob(item, recursive=True)) if pattern else []  # noqa: PTH207
        files = [path for path in matches if not Path(path).is_dir()]
        yield from ((path, PurePath(Path(path).name or "unnamed")) for path in files or [item])


def _recordings(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


def _apart(paths: list[str], places: list[PurePath]) -> list[PurePath]:
    """Places without suffix; those that coincide keep it, and where that does not help, the folders they differ in."""
    named = _unless_many([place.with_suffix("") for place in places], places)
    whole = [os.path.abspath(path) for path in paths]  # noqa: PTH100
    above = os.path.commonpath([os.path.dirname(path) for path in whole])  # noqa: PTH120
    below = [PurePath(os.path.relpath(path, above)) for path in whole]
    named = _unless_many(named, below)
    return named if len(set(named)) == len(named) else below


def _unless_many(usual: list[PurePath], instead: list[PurePath]) -> list[PurePath]:
    count = Counter(usual)
    return [place if count[place] == 1 else other for place, other in zip(usual, instead, strict=True)]
