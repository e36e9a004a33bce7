"""The file of a `SpeakerBook`: SQLite, for its owner alone, whole after any interruption.

What was deleted leaves no trace in it.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from literatim.errors import SpeakerBookError

APPLICATION_ID = 0x4C565342  # "LVSB", in the file's header: this is a book of voices
VERSION = 1
MENDED = "put a copy back, or give another book and enroll again"
WAIT = 30.0  # seconds for another process's change
_OWNER_ONLY = 0o600
_SCHEMA = """
CREATE TABLE model (name TEXT NOT NULL, sha256 TEXT NOT NULL, dimension INTEGER NOT NULL);
CREATE TABLE voices (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE samples (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  voice INTEGER NOT NULL REFERENCES voices (id) ON DELETE CASCADE,
  vector BLOB NOT NULL,
  checksum INTEGER NOT NULL,
  source TEXT NOT NULL,
  added TEXT NOT NULL
);
CREATE INDEX samples_of_voice ON samples (voice);
"""


class SpeakerStore:
    """One file, opened anew for each piece of work, so that any number of processes and threads can share it."""

    def __init__(self, path: Path, wait: float = WAIT) -> None:
        """Nothing is opened or made yet; `wait` is in seconds."""
        self.path = path.absolute()
        self._wait = wait
        self.warnings: tuple[str, ...] = ()

    @property
    def exists(self) -> bool:
        """Whether there is a file that holds anything."""
        try:
            return self.path.stat().st_size > 0
        except OSError:
            return False

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A view of the file at one moment. Raises SpeakerBookError."""
        self._required()
        self._guard()
        with self._errors(), closing(self._connect()) as connection:
            connection.execute("BEGIN")
            self._check(connection)
            yield connection

    @contextmanager
    def writing(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        """A change that is made as a whole or not at all; others wait for it. `create`: make the file if need be."""
        if create:
            self._make()
        else:
            self._required()
        self._guard()
        with self._errors(), closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                self._lay_out(connection)
            self._check(connection)
            yield connection
            connection.commit()  # closed without it, SQLite takes all back

    def compact(self) -> None:
        """Write the file anew from what is left in it, so that no page keeps a copy of what was deleted."""
        with self._errors(), closing(self._connect()) as connection:
            connection.execute("VACUUM")

    def _required(self) -> None:
        if not self.exists:
            raise SpeakerBookError(f"{self.path}: no book of voices here; `literatim speakers enroll` makes one")

    def _make(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, _OWNER_ONLY))
        except OSError as error:
            raise SpeakerBookError(f"{self.path} cannot be written: {error.strerror}; choose another book") from error

    def _guard(self) -> None:
        """Others lose what rights they have; where that cannot be done, it is said."""
        if os.name != "posix":
            return
        try:
            mode = stat.S_IMODE(self.path.stat().st_mode)
            if not mode & 0o077:
                return
            self.path.chmod(mode & _OWNER_ONLY)
            remark = f"{self.path}: other users had access to these voices (mode {mode:04o}); it is taken away"
        except OSError as error:
            remark = f"{self.path}: others may have access to these voices; that cannot be changed ({error.strerror})"
        self.warnings = (*self.warnings, remark)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=self._wait, isolation_level=None)
        try:
            connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten with zeros
            connection.execute("PRAGMA temp_store = MEMORY")  # and leaves no copy in temporary files
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @staticmethod
    def _lay_out(connection: sqlite3.Connection) -> None:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")

    def _check(self, connection: sqlite3.Connection) -> None:
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        if owner != APPLICATION_ID:
            raise SpeakerBookError(f"{self.path} is another program's database, no book of voices; choose another book")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise SpeakerBookError(f"{self.path} is a book of version {version}, made by a newer literatim; update it")
        (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise SpeakerBookError(f"{self.path} is damaged ({state}); {MENDED}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "locked" in text or "busy" in text:
                why = f"another process has been changing it for more than {self._wait:.0f} s; try again"
            elif "readonly" in text or "unable to open" in text:
                why = f"it cannot be opened or written ({text}); check who owns the file and its folder"
            else:
                why = f"{text}; check the disk, and try again"
            raise SpeakerBookError(f"{self.path}: {why}") from error
        except sqlite3.DatabaseError as error:
            raise SpeakerBookError(f"{self.path} is no book of voices, or damaged ({error}); {MENDED}") from error
