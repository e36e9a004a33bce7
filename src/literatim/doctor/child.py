"""One look in a child process: it may crash, hang or print rubbish, and that is an answer too.

Everything that imports torch or a driver runs there, so that nothing it does can take the page down with it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_MODULE = "literatim.doctor.probe"
_LAST_WORDS = 2.0  # seconds that a killed child is given to end; one that hangs in a driver cannot even be killed
_HINTS = {
    "SIGILL": "an instruction that this processor lacks: a package built for another one",
    "SIGKILL": "often the kernel, when memory runs out: see `dmesg`",
    "SIGSEGV": "a crash in compiled code",
    "SIGABRT": "compiled code gave up",
    "SIGBUS": "often a full disk or /dev/shm",
}


@dataclass(frozen=True)
class Look:
    """How to look: `patience` in seconds is the longest wait for one child; `variables` replace or (None) remove.

    `heard` collects what the children write to standard error.
    """

    patience: float = 180.0
    variables: Mapping[str, str | None] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)

    def with_variables(self, **variables: str | None) -> Look:
        """The same with other environment variables on top."""
        return Look(self.patience, {**self.variables, **variables}, self.heard)


@dataclass(frozen=True)
class Answer:
    """What a child said: `result`, or None and the reason in `trouble`.

    `causes` are the exceptions behind it, outermost first, each as `Type: message`; empty when it died otherwise.
    `trouble` beside a result: the child died after it had answered. `late`: it was ended for not answering in time.
    """

    result: dict[str, Any] | None
    trouble: str = ""
    causes: tuple[str, ...] = ()
    late: bool = False


@dataclass(frozen=True)
class Ran:
    """How a command ended: `code` is None when it was not found, or did not end in time (`hung`)."""

    code: int | None
    stdout: str
    stderr: str
    hung: bool = False


def ask(probe: str, *arguments: str, look: Look) -> Answer:
    """Run one probe (see `probe.PROBES`) in a child process and read the JSON object that it prints."""
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1", "PYTHONIOENCODING": "utf-8", **_import_as_here()}
    for name, value in look.variables.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    ran = run([sys.executable, "-m", _MODULE, probe, *arguments], look.patience, environment)
    look.heard.append(ran.stderr)
    return _read(ran, look.patience)


def ask_each(probe: str, names: Sequence[str], look: Look) -> dict[str, Answer]:
    """What a probe says of each name: all in one child, or, when that does not survive, each in its own."""
    together = ask(probe, *names, look=look)
    if together.result is None and len(names) > 1:
        return {name: ask_each(probe, [name], look)[name] for name in names}
    if together.result is None:
        return {names[0]: together}
    return {name: _part(together.result.get(name), together.trouble) for name in names}


def run(command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None) -> Ran:
    """Run a command for at most `seconds`; it and its children are killed after that. Never raises for what it does."""
    try:
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Ran(None, "", f"cannot start {command[0]}: {error}")
    hung, out, err = False, None, None
    try:
        out, err = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as late:
        hung = True
        _kill(child)
        out, err = _rest(child, late)
    finally:
        if child.returncode is None:
            _kill(child)
    return Ran(None if hung else child.returncode, _text(out), _text(err), hung)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End a child with all that it started in its session."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    except OSError:  # it has just ended by itself
        child.poll()


def _rest(child: subprocess.Popen[bytes], late: subprocess.TimeoutExpired) -> tuple[bytes | None, bytes | None]:
    try:
        return child.communicate(timeout=_LAST_WORDS)
    except subprocess.TimeoutExpired:
        return late.stdout, late.stderr


def _text(output: bytes | None) -> str:
    return (output or b"").decode("utf-8", errors="replace")


def _import_as_here() -> dict[str, str]:
    """Keep files of the current folder out of the child's imports, unless this process sees them too."""
    try:
        here = os.getcwd()  # noqa: PTH109 - it may be gone, and the name is compared as sys.path spells it
    except OSError:
        return {"PYTHONSAFEPATH": "1"}
    return {} if "" in sys.path or here in sys.path else {"PYTHONSAFEPATH": "1"}


def _read(ran: Ran, patience: float) -> Answer:
    if ran.hung:
        return Answer(None, f"did not answer within {patience:g} s{_place(ran.stderr)}", late=True)
    said = _object(ran.stdout)
    if said is None:
        return Answer(None, _death(ran))
    return _part(said, "" if ran.code == 0 else f"{_death(ran)}, after it had answered")


def _part(said: object, trouble: str) -> Answer:
    """An answer, or what it says of one of several names; `trouble` is what became of the child afterwards."""
    if not isinstance(said, dict):
        return Answer(None, "the look at it gave no answer")
    if "error" in said:
        causes = tuple(str(cause) for cause in said["error"])
        return Answer(None, causes[0] if causes else "an error without a name", causes)
    return Answer(said, trouble)


def _object(stdout: str) -> dict[str, Any] | None:
    """The last line that is a JSON object: libraries may have written what they like before it."""
    for line in reversed(stdout.splitlines()):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
    return None


def _death(ran: Ran) -> str:
    if ran.code is None:
        return ran.stderr
    if ran.code < 0:
        return f"was killed by {_signal(-ran.code)}{_place(ran.stderr)}"
    last = ran.stderr.strip().splitlines()[-1:] or ran.stdout.strip().splitlines()[-1:]
    said = f", and said last: {last[0][:200]}" if last else " and said nothing"
    return f"ended with code {ran.code} without an answer{said}"


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name} ({_HINTS[name]})" if name in _HINTS else name


def _place(stderr: str) -> str:
    """Where it was, from the stack that Python's fault handler leaves: the innermost file outside this package."""
    match = re.search(r'^  File "([^"\n]*)", line (\d+)', stderr, re.MULTILINE)
    return f", in {match[1]} line {match[2]}" if match else ""
