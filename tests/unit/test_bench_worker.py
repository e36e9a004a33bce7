"""Workers that are noisy, dying, silent or absent; no test waits longer than it must."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from literatim.bench import protocol, worker
from literatim.bench.protocol import Process, Refused

ANSWER = '{"literatim": true, "ok": true, "n": 1}'


def _process(code: str) -> Process:
    return Process([sys.executable, "-c", code])


def _reads_then(code: str) -> str:
    return f"import os, sys\nsys.stdin.readline()\n{code}"


def test_noise_is_no_answer() -> None:
    noise = ["loading 10 %", '{"progress": 1}', "[1, 2]", '{"literatim": false, "ok": true, "n": 0}']
    shown = "\n".join([*noise, ANSWER, "bye"])
    process = _process(_reads_then(f"print({shown!r}, flush=True)\nsys.stdin.readline()"))
    assert process.ask({"do": "load"}, 60)["n"] == 1
    process.close()


def test_a_worker_that_dies_says_how() -> None:
    process = _process(_reads_then("print('no room left', file=sys.stderr, flush=True)\nos._exit(3)"))
    with pytest.raises(Refused) as caught:
        process.ask({"do": "turn"}, 60)
    assert (caught.value.status, str(caught.value)) == ("failed", "its process ended (exit code 3): no room left")
    with pytest.raises(Refused, match="exit code 3"):  # and again, without waiting
        process.ask({"do": "turn"}, 60)
    process.close()


def test_a_silent_worker_is_ended() -> None:
    process = _process(_reads_then("print('thinking', flush=True)\nsys.stdin.read()"))
    with pytest.raises(Refused, match=r"no answer to 'turn' within 0\.05 s") as caught:
        process.ask({"do": "turn"}, 0.05)
    assert caught.value.status == "failed"
    process.close()
    assert process._process.returncode != 0


def test_a_worker_that_does_not_quit_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "QUIT_SECONDS", 0.05)
    process = _process(f"import threading\nprint({ANSWER!r}, flush=True)\nthreading.Event().wait()")
    assert process.ask({"do": "load"}, 60)["n"] == 1
    process.close()
    assert process._process.returncode is not None


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"cannot be started: .*nothing"):
        Process([str(tmp_path / "nothing")])


def test_a_no_is_told_from_a_yes() -> None:
    refusal = {"literatim": True, "ok": False, "status": "absent", "reason": "not installed", "error": "ImportError"}
    process = _process(_reads_then(f"print({json.dumps(refusal)!r}, flush=True)"))
    with pytest.raises(Refused, match=r"^not installed$") as caught:
        process.ask({"do": "load"}, 60)
    assert (caught.value.status, caught.value.error) == ("absent", "ImportError")
    process.close()


RUNNER = """
import os
from literatim.bench.runners.base import Runner, Turn

print("imported")

class Loud(Runner):
    name, package = "loud", "torch"
    def _load(self):
        print("loaded")
        os.write(1, b"straight to the file descriptor\\n")
        os.system("echo from a child")
        assert input_is_empty()
    def encode(self, windows): ...
    def run(self, windows, tokens): return [[7] * tokens] * len(windows)
    def turn(self, windows, tokens): return Turn(0.25, 0.5)

def input_is_empty():
    return os.read(0, 1) == b""
"""


def test_what_a_runner_prints_does_not_reach_the_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud_runner.py").write_text(RUNNER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = protocol.start("loud", 1)
    request = {
        "do": "load", "runner": "loud_runner:Loud", "dtype": "float32", "setting": "default", "folder": str(tmp_path),
        "scratch": str(tmp_path), "device": "cpu", "threads": 1, "precision": "default",
    }  # fmt: skip
    loaded = process.ask(request, 300)
    assert loaded["memory"]["host"]["allocated"] > 1e6
    with pytest.raises(Refused, match="AssertionError: batch comes first"):
        process.ask({"do": "turn"}, 300)
    assert process.ask({"do": "memory"}, 300)["memory"]["host"]["peak"] > 1e6
    process._errors.seek(0)
    heard = process._errors.read().decode()
    process.close()
    for words in ("imported", "loaded", "straight to the file descriptor", "from a child"):
        assert words in heard


def test_requests_that_cannot_be_met_are_answered() -> None:
    wishes = [{"do": "load"}, {"do": "dance"}, {"do": "turn"}]
    answers = io.StringIO()
    worker.serve(io.StringIO("".join(json.dumps(wish) + "\n" for wish in [*wishes, {"do": "quit"}])), answers)
    found = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert [(answer["ok"], answer["status"]) for answer in found] == [(False, "failed")] * 3
    assert "dance" in found[1]["reason"]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "openvino_genai", None)
    here = worker.Inside()
    request = {"do": "prepare", "runner": "openvino", "dtype": "float32", "folder": str(tmp_path)}
    with pytest.raises(Refused, match="make bench-peers") as caught:
        here.ask({**request, "scratch": str(tmp_path), "device": "cpu", "threads": 1})
    assert caught.value.status == "absent"


def test_which_python_runs_a_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LITERATIM_BENCH_PEERS", raising=False)
    own = tmp_path / ".venv-peers" / "somebody" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.symlink_to(sys.executable)
    assert protocol.interpreter("somebody") == own  # the link itself: what it leads to knows nothing of its packages
    assert protocol.interpreter("nobody") == Path(sys.executable)
    monkeypatch.setenv("LITERATIM_BENCH_PEERS", str(tmp_path / "elsewhere"))
    assert protocol.interpreter("somebody") == Path(sys.executable)


def test_nothing_else_is_imported_in_a_peers_environment() -> None:
    """What is installed there without being asked for by the peer: numpy and torch alone."""
    code = (
        "import sys\n"
        "names = ('av', 'soxr', 'huggingface_hub', 'tokenizers', 'safetensors', 'click')\n"
        "sys.modules.update(dict.fromkeys(names))\n"
        "import literatim.bench.worker, literatim.bench.windows\n"
        "from literatim.bench import runners\n"
        "print([runners.find(name).name for name in runners.peers()])\n"
        "literatim.bench.worker.Service().answer({'do': 'load'})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['faster-whisper', 'openvino', 'transformers']"
