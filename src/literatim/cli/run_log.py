"""The log of a run as JSON lines, for monitors and for the morning after: each is on the disk when it is written."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from literatim.errors import LiteratimError


class RunLog:
    """Appends objects to a file, or to nothing; `event` says what each is, `time` when it was written (UTC)."""

    def __init__(self, path: str | None) -> None:
        """Raises LiteratimError where the file cannot be written."""
        self._path, self._file, self._on_disk = path, None, False
        if path is None:
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            # unbuffered and appending: lines of several processes do not mix
            self._file = Path(path).open("ab", buffering=0)  # noqa: SIM115
            self._on_disk = Path(path).is_file()  # not a pipe or a terminal, which cannot be flushed to one
            if self._on_disk:
                self._end_cut_line(Path(path))
        except OSError as error:
            raise self._refused(error) from error

    def write(self, event: str, **fields: Any) -> None:
        """One line. Raises LiteratimError where the disk does not take it."""
        if self._file is None:
            return
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"event": event, "time": now, **fields}, ensure_ascii=False) + "\n"
        try:
            self._file.write(line.encode("utf-8", "backslashreplace"))
            if self._on_disk:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Nothing more is written."""
        if self._file is not None:
            self._file.close()

    def _end_cut_line(self, path: Path) -> None:
        """A run that was killed may have left half a line: it must not swallow the next one."""
        assert self._file is not None
        if not path.stat().st_size:
            return
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                self._file.write(b"\n")

    def _refused(self, error: OSError) -> LiteratimError:
        return LiteratimError(f"cannot write the log {self._path}: {error.strerror}; choose another log_file")
