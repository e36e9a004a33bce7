"""Files that appear whole or not at all, whatever kills the process that writes them."""

from __future__ import annotations

import os
import platform
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_NAME = re.compile(r"\.literatim-(?P<host>.+)-(?P<process>\d+)-[0-9a-f]{32}\.tmp")


def replace(path: Path, parts: Iterable[str], *, private: bool = False) -> None:
    """Write `parts` into `path`, as `opened` does."""
    with opened(path, private=private) as stream:
        stream.writelines(part.encode("utf-8") for part in parts)


@contextmanager
def opened(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A file beside `path`, flushed to the disk and renamed to it at the end: atomic within one file system.

    A `private` one can be read by its owner alone, whoever could read what was there.
    """
    temporary = path.parent / f".literatim-{_host()}-{os.getpid()}-{uuid.uuid4().hex}.tmp"
    rights = 0o600 if private else 0o666  # less the user's mask
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, rights)) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)


def tidy(folder: Path) -> None:
    """Remove what `replace` left in a folder when its process was killed on this machine."""
    for path in folder.glob(".literatim-*.tmp"):
        found = _NAME.fullmatch(path.name)
        if found is not None and found["host"] == _host() and not _is_alive(int(found["process"])):
            path.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """The new name too, so that it outlives a power cut; not every system can open a folder."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _host() -> str:
    return re.sub(r"[^\w.]", "_", platform.node())[:64]


def _is_alive(process: int) -> bool:
    """Whether another process of that number runs; assumed where it cannot be asked without harm."""
    if os.name != "posix":
        return True
    if process == os.getpid():  # an earlier life: the first process of a container always has the same number
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
