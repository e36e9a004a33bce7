"""Where what is written for recordings goes: a folder, with the place of each recording below it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from literatim.cli.inputs import Item
from literatim.errors import LiteratimError
from literatim.text import atomic


def files_of(folder: Path | None, item: Item, suffixes: Iterable[str]) -> list[Path]:
    """All files of a recording, whether they exist or not; none without a folder."""
    if folder is None:
        return []
    place = folder / item.place
    return [place.with_name(f"{place.name}.{suffix}") for suffix in suffixes]


def make_folders(files: Iterable[Path]) -> None:
    """Make theirs, and take away what a killed run left in them. Raises LiteratimError where that fails."""
    for folder in sorted({path.parent for path in files}):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            atomic.tidy(folder)
        except OSError as error:
            raise LiteratimError(f"cannot write in {folder}: {error.strerror}; choose another output_dir") from error
