"""A look in a child process: whatever the child does, the parent gets an answer."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from literatim.doctor import child, probe
from literatim.doctor.child import Answer, Look, ask, run

MISBEHAVE = """
import json, os, signal, subprocess, sys, time
mode = sys.argv[1]
if mode == "well":
    print("a driver says hello {")
    print(json.dumps({"arguments": sys.argv[2:], "variable": os.environ.get("LITERATIM_TEST")}))
elif mode == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif mode == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
elif mode == "late crash":
    print(json.dumps({"fine": True}), flush=True)
    os.kill(os.getpid(), signal.SIGABRT)
elif mode == "hang":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(600)
elif mode == "garbage":
    sys.stdout.buffer.write(b"{\\xff\\xfe not json\\n[1]\\n{'a': 1}\\n")
elif mode == "silence":
    sys.exit(3)
elif mode == "error":
    print(json.dumps({"error": ["RuntimeError: outer", "ImportError: inner"]}))
"""


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Ask a child that misbehaves as it is told."""
    (tmp_path / "misbehave.py").write_text(MISBEHAVE)
    monkeypatch.setattr(child, "_MODULE", "misbehave")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def asked(mode: str, *arguments: str, patience: float = 60.0) -> Answer:
        return ask(mode, *arguments, look=Look(patience, {"LITERATIM_TEST": "set"}))

    return asked


def test_an_answer_is_read_behind_noise(answer) -> None:
    assert answer("well", "a", "b") == Answer({"arguments": ["a", "b"], "variable": "set"})


def test_variables_are_removed(answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITERATIM_TEST", "from outside")
    said = ask("well", look=Look(60.0).with_variables(LITERATIM_TEST=None)).result
    assert said is not None
    assert said["variable"] is None


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("killed", ("SIGKILL", "memory")),
        ("crash", ("SIGSEGV", "misbehave.py line")),
        ("garbage", ("without an answer", "code 0")),
        ("silence", ("code 3", "said nothing")),
    ],
)
def test_a_child_that_dies_is_described(answer, mode: str, words: tuple[str, ...]) -> None:
    said = answer(mode)
    assert said.result is None
    assert all(word in said.trouble for word in words), said.trouble


def test_an_answer_counts_although_the_child_died_later(answer) -> None:
    said = answer("late crash")
    assert said.result == {"fine": True}
    assert "SIGABRT" in said.trouble
    assert "after it had answered" in said.trouble


def test_exceptions_of_the_probe_are_kept(answer) -> None:
    assert answer("error") == Answer(None, "RuntimeError: outer", ("RuntimeError: outer", "ImportError: inner"))


def test_a_hanging_child_is_ended_with_its_children(answer) -> None:
    began = time.monotonic()
    said = answer("hang", patience=0.3)
    assert said.result is None
    assert said.trouble.startswith("did not answer within 0.3 s")
    assert time.monotonic() - began < 30


def test_a_command_that_is_not_there() -> None:
    ran = run(["literatim-no-such-command"], 5.0)
    assert ran.code is None
    assert not ran.hung
    assert "cannot start" in ran.stderr


def test_a_python_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/python")
    said = ask("packages", look=Look())
    assert said.result is None
    assert "cannot start /no/python" in said.trouble


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert answer("well").result is not None


def test_what_children_write_is_heard(answer) -> None:
    look = Look(60.0)
    ask("silence", look=look)
    ask("crash", look=look.with_variables(A="b"))
    assert len(look.heard) == 2
    assert "Segmentation fault" in look.heard[1]


def test_standard_output_is_kept_for_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that prints while it is imported, and one that leaves."""
    (tmp_path / "noisy.py").write_text(
        "import os\nos.write(1, b'{\"error\": [\"not this\"]}\\n')\n__version__ = '1.5'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    look = Look()
    assert ask("packages", "noisy", look=look).result == {
        "noisy": {"version": "1.5", "file": str(tmp_path / "noisy.py")}
    }
    assert "not this" in look.heard[0]


def test_causes_are_listed_from_the_outside_in() -> None:
    error = RuntimeError("Failed to load")
    error.__cause__ = ImportError("libhccl.so: cannot open shared object file\nand more")
    error.__cause__.__context__ = KeyError()
    assert probe.causes(error) == [
        "RuntimeError: Failed to load",
        "ImportError: libhccl.so: cannot open shared object file",
        "KeyError: no message",
    ]


def test_every_probe_exists() -> None:
    from importlib import import_module

    assert all(callable(getattr(import_module(module), name)) for module, name in probe.PROBES.values())
