"""One runner in a process of its own: `python -m literatim.bench.worker`, a JSON object a line in and out.

A request is `{"do": NAME, ...}`; an answer is `{"literatim": true, "ok": true, ...}` or, with `ok` false, a `status`
(absent, not measurable, failed), a `reason` and the `error`'s class. What libraries print goes to standard error: the
real standard output is put aside before any of them is imported.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from literatim.bench import protocol
from literatim.bench.protocol import MARK, first_line

if TYPE_CHECKING:
    from literatim.bench.runners.base import Runner, Setup
    from literatim.bench.windows import Windows

_INSTALL = "pip install 'literatim[bench]', or make bench-peers where it has an environment of its own"


class Service:
    """Does what requests ask; `answer` never raises."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._windows: Windows | None = None
        self._tokens = 0
        self._stack = ExitStack()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        from literatim.bench.runners.base import Unmeasurable

        try:
            found = getattr(self, f"do_{request['do']}")(request)
        except ImportError as error:
            return _no("absent", f"not installed ({error}): {_INSTALL}", error)
        except Unmeasurable as error:
            return _no("not measurable", str(error), error)
        except Exception as error:  # whatever a program raises is the answer: the parent makes a row of it
            return _no("failed", first_line(error), error)
        return {MARK: True, "ok": True, **found}

    def close(self) -> None:
        """Let the runner go."""
        self._runner = None
        self._stack.close()

    @property
    def runner(self) -> Runner:
        """The one that was loaded."""
        assert self._runner is not None, "load comes first"
        return self._runner

    def do_prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Convert the model's folder."""
        from literatim.bench.runners import find

        find(request["runner"]).prepare(Path(request["folder"]), request["dtype"], _setup(request))
        return {}

    def do_load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load a runner; `load_seconds` are those of its own loading, without Python's start and the imports."""
        import torch

        from literatim import device as devices
        from literatim.bench.runners import find
        from literatim.device import host

        torch.set_num_threads(request["threads"])
        kind, setup = find(request["runner"]), _setup(request)
        self._stack.enter_context(devices.precision(request["precision"], setup.device))
        setting = next(item for item in kind.settings if item.name == request["setting"])
        for module in kind.libraries:
            import_module(module)
        start = time.perf_counter()
        self._runner = kind(Path(request["folder"]), request["dtype"], setup, setting)
        devices.synchronize(setup.device)
        return {
            "load_seconds": time.perf_counter() - start,
            "version": host.version(kind.package),
            "torch": torch.__version__,
            "python": sys.executable,
            "precision_flags": devices.precision_flags(setup.device),
            "memory": self._memory(),
        }

    def do_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take the windows of a batch and decode them once: the first run, and its tokens."""
        from literatim import device as devices
        from literatim.bench.runners.base import Unmeasurable
        from literatim.bench.windows import Windows

        runner, rows, tokens = self.runner, request["rows"], request["tokens"]
        if runner.most_rows is not None and rows > runner.most_rows:
            raise Unmeasurable(f"it decodes no more than {runner.most_rows} recording at a time")
        if runner.most_tokens is not None and tokens > runner.most_tokens:
            raise Unmeasurable(f"it decodes no more than {runner.most_tokens} tokens of a window")
        self._windows, self._tokens = Windows.load(Path(request["windows"])), tokens
        devices.reset_peak(runner.setup.device)
        devices.reset_host_peak()
        start = time.perf_counter()
        ids = runner.run(self._windows, tokens)
        devices.synchronize(runner.setup.device)
        seconds = time.perf_counter() - start
        counts = {len(row) for row in ids}
        if counts != {tokens}:
            raise Unmeasurable(f"it decoded {', '.join(map(str, sorted(counts)))} tokens instead of {tokens}")
        return {"first_run_seconds": seconds, "ids": ids, "shapes": runner.shapes()}

    def do_turn(self, _request: dict[str, Any]) -> dict[str, Any]:
        """One run by the clock."""
        assert self._windows is not None, "batch comes first"
        turn = self.runner.turn(self._windows, self._tokens)
        return {"encoder": turn.encoder, "total": turn.total, "stages": dict(turn.stages)}

    def do_memory(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Bytes held now, and the most since the batch began."""
        return {"memory": self._memory()}

    def do_transcribe(self, request: dict[str, Any]) -> dict[str, Any]:
        """The words of a recording."""
        return {"text": self.runner.transcribe(Path(request["audio"]), request["language"])}

    def do_hear(self, request: dict[str, Any]) -> dict[str, Any]:
        """A whole recording by the clock, and by the processor's, with the peak of memory on the way."""
        from literatim import device as devices
        from literatim.bench.long.ways import Listener

        runner = self.runner
        assert isinstance(runner, Listener)
        devices.reset_host_peak()
        start, work = time.perf_counter(), time.process_time()
        heard = runner.hear(Path(request["audio"]), request["language"], request["tokens"])
        devices.synchronize(runner.setup.device)
        seconds, work = time.perf_counter() - start, time.process_time() - work
        found = {"text": heard.text, "tokens": heard.tokens, "stages": dict(heard.stages)}
        return {**found, "seconds": seconds, "cpu_seconds": work, "memory": self._memory()}

    def _memory(self) -> dict[str, dict[str, int | None]]:
        """Of this process, and of its device where torch's counters see what the runner does there."""
        from literatim import device as devices

        runner = self.runner
        host = devices.host_memory()
        found = {"host": {"allocated": host.allocated, "peak": host.peak}}
        if runner.uses_torch and runner.setup.device.type != "cpu":
            there = devices.memory(runner.setup.device)
            found["device"] = {"allocated": there.allocated, "peak": there.peak, "reserved": there.reserved}
        return found


def _setup(request: dict[str, Any]) -> Setup:
    from literatim import device as devices
    from literatim.bench.runners.base import Setup

    assistant = request.get("assistant")
    draft = None if assistant is None else Path(assistant)
    return Setup(devices.pick(request["device"]), request["threads"], Path(request["scratch"]), draft)


def _no(status: str, reason: str, error: Exception) -> dict[str, Any]:
    return {MARK: True, "ok": False, "status": status, "reason": reason, "error": type(error).__name__}


class Inside:
    """A worker without a process: for tests, and for a device that exists in this process alone (the fake npu)."""

    def __init__(self, _name: str = "", _threads: int = 1) -> None:
        self._service = Service()

    def ask(self, request: Mapping[str, Any], _seconds: float | None = None) -> dict[str, Any]:
        """The answer, as it would come out of a pipe; no time limit can be kept here. Raises Refused."""
        sent = json.loads(json.dumps(dict(request)))
        return protocol.accepted(json.loads(json.dumps(self._service.answer(sent))))

    def close(self) -> None:
        """Put the precision back."""
        self._service.close()


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer line by line until the requests end or ask to quit."""
    service = Service()
    for line in requests:
        request = json.loads(line)
        if request["do"] == "quit":
            break
        answers.write(json.dumps(service.answer(request)) + "\n")
        answers.flush()
    service.close()


def main() -> None:
    """Serve the parent on what are standard input and output now; afterwards both lead elsewhere."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    serve(requests, answers)
    os._exit(0)  # nothing is left to do, and some libraries take seconds to take themselves apart


if __name__ == "__main__":
    main()
