"""Where a recording comes from: a path, bytes, a file object or standard input, opened for random access."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO
from weakref import finalize

from literatim.errors import (
    AudioContentError,
    AudioError,
    AudioFormatError,
    AudioLimitError,
    AudioNotFound,
    OptionError,
)

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SPOOL_IN_MEMORY = 32 * 1024**2
_PIECE = 1024**2


class Source:
    """An open recording without a name that FFmpeg could take for a playlist or an address.

    FFmpeg reads a file object's `name` as if the user had typed it, and follows a playlist of that name. So
    FFmpeg only ever sees this class: read, seek and tell over the bytes from `start` on.
    """

    def __init__(self, file: Any, label: str, start: int = 0) -> None:
        self.label = label
        self._file = file
        self._start = start
        self._at = 0
        self.size = self.seek(0, os.SEEK_END)
        self.seek(0)

    def read(self, count: int = -1) -> bytes:
        """Up to `count` bytes, all that are left when negative."""
        _checked(self._file, self.label, "seek", self._at + self._start)  # another source may read the same file
        found: bytes = _checked(self._file, self.label, "read", count)
        self._at += len(found or b"")
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset, counted from where the source stood when it was given."""
        if whence == os.SEEK_CUR:
            offset, whence = offset + self._at, os.SEEK_SET
        if whence == os.SEEK_SET:
            offset += self._start
        _checked(self._file, self.label, "seek", offset, whence)
        self._at = int(_checked(self._file, self.label, "tell")) - self._start
        return self._at

    def tell(self) -> int:
        """Bytes from where the source stood when it was given."""
        return self._at


class Again:
    """A source that can be opened more than once: where it can be read only once, a temporary copy is made first."""

    def __init__(self, source: Any, max_bytes: int) -> None:
        self.label, self._max_bytes = label_of(source), max_bytes
        self._source, self._start = source, 0
        self._settled = isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) and source != "-"

    @contextmanager
    def open(self) -> Iterator[Source]:
        """From its beginning, as `open_source`."""
        if not self._settled:
            self._settle()
        elif hasattr(self._source, "seek"):
            _checked(self._source, self.label, "seek", self._start)
        with open_source(self._source, self._max_bytes, self.label) as opened:
            yield opened

    def _settle(self) -> None:
        file = _open(self._source, self.label)
        _refuse_text(file, self.label)
        if _seeks(file, self.label):
            self._start = _checked(file, self.label, "tell")
        else:
            spool = SpooledTemporaryFile(max_size=_SPOOL_IN_MEMORY)  # noqa: SIM115
            finalize(self, spool.close)  # when nobody reads it any more
            _copy(file, spool, self.label, self._max_bytes)
            spool.seek(0)
            file = spool
        self._source, self._settled = file, True


@contextmanager
def open_source(source: Any, max_bytes: int, label: str = "") -> Iterator[Source]:
    """Open `source` for reading from any position; close what was opened here, not a caller's file object.

    What cannot seek (a pipe, a socket) is copied to a temporary file of at most `max_bytes` first: an M4A
    may keep its table of contents at the end. A file object is read from where it stands. Raises
    AudioNotFound, AudioFormatError (text), AudioLimitError, AudioContentError (empty), AudioError
    (unreadable) or OptionError.
    """
    label = label or label_of(source)
    file = _open(source, label)
    try:
        with _seekable(file, label, max_bytes) as opened:
            if opened.size <= 0:
                raise AudioContentError(f"{label}: the file is empty (a file object is read from where it stands)")
            yield opened
    finally:
        if isinstance(source, (str, os.PathLike)) and source != "-":
            file.close()


def label_of(source: Any) -> str:
    """The name by which messages call `source`: a basename without control characters, fit for a terminal."""
    if isinstance(source, str) and source == "-":
        return "standard input"
    if isinstance(source, (str, os.PathLike)):
        path = os.fsdecode(source)
        name = path.rstrip("/").rpartition("/")[2] if _ADDRESS.match(path) else Path(path).name
        name = name or path or "(no name)"
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name = "bytes"
    elif hasattr(source, "read"):
        given = getattr(source, "name", None)
        name = Path(given).name if isinstance(given, str) else "file object"
    else:
        name = "array"
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _open(source: Any, label: str) -> Any:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    if isinstance(source, str) and source == "-":
        stdin = getattr(sys.stdin, "buffer", None)
        if stdin is None:
            raise AudioError("standard input is closed; give a file or pipe a recording in")
        return stdin
    if isinstance(source, (str, os.PathLike)):
        return _open_path(os.fsdecode(source), label)
    if not hasattr(source, "read"):
        kind = type(source).__name__
        raise OptionError(f"audio must be a path, bytes, a file object or an array, not {kind}")
    return source


def _open_path(path: str, label: str) -> BinaryIO:
    if _ADDRESS.match(path):
        raise AudioNotFound(f"{label}: addresses are not read; download the recording first and give the file's path")
    try:
        if Path(path).is_dir():
            raise AudioNotFound(f"{label}: is a folder; name the recordings in it")
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise AudioNotFound(f"{label}: no such file; check the path") from error
    except PermissionError as error:
        raise AudioError(f"{label}: may not be read by this user; check its permissions") from error
    except (OSError, ValueError) as error:
        raise AudioNotFound(f"{label}: cannot be opened: {_reason(error)}") from error


@contextmanager
def _seekable(file: Any, label: str, max_bytes: int) -> Iterator[Source]:
    _refuse_text(file, label)
    if _seeks(file, label):
        yield Source(file, label, start=_checked(file, label, "tell"))
        return
    with SpooledTemporaryFile(max_size=_SPOOL_IN_MEMORY) as spool:
        _copy(file, spool, label, max_bytes)
        yield Source(spool, label)


def _refuse_text(file: Any, label: str) -> None:
    if isinstance(_checked(file, label, "read", 0), str):
        raise AudioFormatError(f"{label}: the file object gives text; open it in binary mode ('rb')")


def _seeks(file: Any, label: str) -> bool:
    return hasattr(file, "seekable") and bool(_checked(file, label, "seekable"))


def _copy(file: Any, spool: Any, label: str, max_bytes: int) -> None:
    copied = 0
    while piece := _checked(file, label, "read", _PIECE):
        copied += len(piece)
        if copied > max_bytes:
            raise AudioLimitError(f"{label}: more than {max_bytes} bytes come in; raise max_bytes to read it")
        try:
            spool.write(piece)
        except OSError as error:
            raise AudioError(f"{label}: no room for a temporary copy: {_reason(error)}") from error


def _checked(file: Any, label: str, method: str, *arguments: int) -> Any:
    """Call the file's method; whatever a stranger's file object raises becomes one AudioError."""
    try:
        return getattr(file, method)(*arguments)
    except Exception as error:
        raise AudioError(f"{label}: cannot be read: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
