"""The parent's end of a worker: a process, a question, an answer within a time."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

MARK = "literatim"  # a line of standard output without it is somebody's noise
QUIT_SECONDS = 10.0


class Refused(Exception):
    """A worker said no, died or was silent: `status` for the row, the reason, and the class of what was raised."""

    def __init__(self, status: str, reason: str, error: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason, self.error = status, reason, error


class Worker(Protocol):
    """What the benchmark asks; a test gives one without a process."""

    def ask(self, request: Mapping[str, Any], seconds: float | None = None, /) -> dict[str, Any]:
        """The answer; Refused where there is none."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Process:
    """A worker in a process of its own; what it says on standard error is kept in a file.

    Raises Refused where it cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the process
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **(environment or {})},
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            self._errors.close()
            raise Refused("failed", f"its process cannot be started: {error}") from error
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = _parsed(line)
            if answer is not None:
                self._answers.put(answer)
        self._answers.put(None)

    def ask(self, request: Mapping[str, Any], seconds: float | None = None) -> dict[str, Any]:
        """The answer; Refused where the worker says no, has ended, or is silent for so long (it is ended then)."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(dict(request)) + "\n")
            self._process.stdin.flush()
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            self._process.kill()
            raise Refused("failed", f"no answer to {request['do']!r} within {seconds:g} s") from None
        except (OSError, ValueError):  # the pipe is broken or, after close, closed
            answer = None
        if answer is None:
            raise Refused("failed", self._end())
        return accepted(answer)

    def _end(self) -> str:
        """How the process ended, with the last line it said."""
        try:
            code = self._process.wait(QUIT_SECONDS)
        except subprocess.TimeoutExpired:  # it closed its standard output and went on
            self._process.kill()
            code = self._process.wait()
        if self._errors.closed:
            return "its process was ended"
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", errors="replace").strip().splitlines()
        return f"its process ended (exit code {code})" + (f": {lines[-1]}" if lines else "")

    def close(self) -> None:
        """Ask it to quit, and end it if it does not."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write('{"do": "quit"}\n')
            process.stdin.close()
        except OSError:  # it has gone already, and its pipe with it
            process.kill()
        try:
            process.wait(QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join()
        process.stdout.close()
        self._errors.close()


def accepted(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, if it is a yes; else Refused."""
    if not answer["ok"]:
        raise Refused(answer["status"], answer["reason"], answer["error"])
    return answer


def _parsed(line: str) -> dict[str, Any] | None:
    """An answer, or None for anything else that landed on standard output."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get(MARK) is True else None


def first_line(error: Exception) -> str:
    """The class and the first line of what it says."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"


def interpreter(name: str) -> Path:
    """The Python of a runner: of an environment made for it where there is one, else the one that runs now.

    Environments are folders NAME in $LITERATIM_BENCH_PEERS, in .venv-peers of this checkout, or of the current folder.
    """
    told = os.environ.get("LITERATIM_BENCH_PEERS", "").strip()
    checkout = Path(__file__).resolve().parents[3]
    for folder in [Path(told)] if told else [checkout / ".venv-peers", Path(".venv-peers")]:
        for inside in ("bin/python", "Scripts/python.exe"):
            if (folder / name / inside).exists():
                return (folder / name / inside).absolute()
    return Path(sys.executable)


def start(name: str, threads: int) -> Process:
    """A worker for the runner `name`, with `threads` for every library that asks the environment."""
    count = str(threads)
    environment = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "PYTHONUNBUFFERED": "1"}
    return Process([str(interpreter(name)), "-m", "literatim.bench.worker"], environment)
