"""Speed beside the peers: same weights, same windows, same number of tokens, turn by turn, each in its own process."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from literatim import device as devices
from literatim import errors
from literatim.bench import protocol
from literatim.bench.plan import Plan, Sound, Subject, check, clips, sound, subject
from literatim.bench.presets import PRESETS
from literatim.bench.protocol import Refused, Worker
from literatim.bench.rows import Row, Work, entries
from literatim.bench.runners import OURS, find
from literatim.bench.runners.base import Runner, Setting, Turn
from literatim.bench.speed_wer import Scorer
from literatim.bench.windows import Windows
from literatim.device import host
from literatim.errors import LiteratimError
from literatim.provenance.fingerprint import fingerprint

REST_SECONDS = 0.3  # libiomp lets its threads spin for 200 ms after the last work (KMP_BLOCKTIME)
Say = Callable[[str], None]
Launch = Callable[[str, int], Worker]


@dataclass
class _Entry:
    """A runner at one dtype and setting: its worker, or the status and reason why there is none."""

    kind: type[Runner]
    dtype: str
    setting: Setting
    worker: Worker | None = None
    status: str = "measured"
    reason: str | None = None
    loaded: dict[str, Any] = field(default_factory=dict)
    cold_seconds: float | None = None

    @property
    def label(self) -> str:
        """For progress and messages."""
        return f"{self.kind.name} {self.dtype}" + ("" if self.kind.name == OURS else f", {self.setting.what}")

    def refused(self, error: Refused) -> None:
        """Keep why: a worker that ended or was silent takes part no more. Ours may not fail: its error is raised."""
        if self.kind.name == OURS and error.status != "not measurable":
            kind = getattr(errors, error.error, LiteratimError)
            message = str(error).removeprefix(f"{error.error}: ")
            raise kind(message if kind is not LiteratimError else f"the benchmark of {self.label} failed: {error}")
        if not error.error:
            self.close()
            self.status, self.reason = error.status, str(error)

    def close(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None


@dataclass(frozen=True)
class _Bench:
    """What all parts of a run share."""

    plan: Plan
    subject: Subject
    sound: Sound
    threads: int
    device: str
    scratch: Path
    launch: Launch
    say: Say
    prepared: set[tuple[str, str]] = field(default_factory=set)  # runners and dtypes

    def request(self, do: str, entry: _Entry) -> dict[str, Any]:
        """A request to prepare or load."""
        return {
            "do": do,
            "runner": f"{entry.kind.__module__}:{entry.kind.__name__}",
            "dtype": entry.dtype,
            "setting": entry.setting.name,
            "folder": str(self.subject.folder),
            "scratch": str(self.scratch),
            "device": self.device,
            "threads": self.threads,
            "precision": self.plan.precision,
            "assistant": None if self.subject.assistant is None else str(self.subject.assistant),
        }


def run(plan: Plan, say: Say = lambda _: None, launch: Launch = protocol.start) -> dict[str, Any]:
    """Measure, and return the report that `--out` writes.

    Raises OptionError, ModelNotFound, ModelFormatError, DeviceError, AudioError; LiteratimError where ours fails.
    """
    check(plan)
    device = str(devices.pick(plan.device))
    threads = plan.threads or os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="literatim-bench-") as scratch:
        found = subject(plan, Path(scratch))
        scorer = Scorer.make(clips(plan, found), found.folder, found.no_words, plan.reference is not None)
        bench = _Bench(plan, found, sound(plan, found), threads, device, Path(scratch), launch, say)
        wanted = _entries(plan)
        try:
            for entry in wanted:
                _start(bench, entry)
            rows = _batches(bench, wanted)
            _words(bench, wanted, rows, scorer)
        finally:
            for entry in wanted:
                entry.close()
        return _report(bench, rows, wanted)


def _entries(plan: Plan) -> list[_Entry]:
    """Ours first, then the peers, at every dtype; at their best setting, their default or both."""
    roles = ("default", "best") if plan.settings == "both" else (plan.settings,)
    made = []
    for dtype in plan.dtypes:
        for kind in (find(name) for name in (OURS, *plan.peers)):
            for setting in kind.settings:
                if set(roles) & set(setting.roles) and dtype in (setting.dtypes or (dtype,)):
                    made.append(_Entry(kind, dtype, setting))
    return made


def _start(bench: _Bench, entry: _Entry) -> None:
    """Convert where need be, in another process, then load; cold start is from the process's start to its answer."""
    try:
        if entry.dtype not in entry.kind.dtypes:  # no process is needed to know that
            raise Refused("not measurable", f"{entry.kind.name} has no {entry.dtype}", "Unmeasurable")
        if entry.kind.converts and (entry.kind.name, entry.dtype) not in bench.prepared:
            bench.say(f"preparing {entry.kind.name} {entry.dtype}")
            helper = bench.launch(entry.kind.name, bench.threads)
            try:
                helper.ask(bench.request("prepare", entry), bench.plan.timeout)
            finally:
                helper.close()
            bench.prepared.add((entry.kind.name, entry.dtype))
        bench.say(f"loading {entry.label}")
        start = time.perf_counter()
        entry.worker = bench.launch(entry.kind.name, bench.threads)
        entry.loaded = entry.worker.ask(bench.request("load", entry), bench.plan.timeout)
        entry.cold_seconds = time.perf_counter() - start
    except Refused as error:
        entry.refused(error)
        entry.close()
        entry.status, entry.reason = error.status, str(error)


def _batches(bench: _Bench, wanted: list[_Entry]) -> list[list[tuple[_Entry, Row]]]:
    """The rows of every batch, in the order of the plan."""
    plan, began, found = bench.plan, time.perf_counter(), []
    for number, batch in enumerate(plan.batches, 1):
        seconds = bench.subject.window_seconds
        windows = Windows.make(bench.sound.windows(batch, seconds, plan.seed), bench.subject.config.n_mels)
        file = bench.scratch / f"windows-{batch}.npz"
        windows.save(file)
        share = None if plan.seconds is None else began + plan.seconds * number / len(plan.batches)
        pairs = [(entry, _row(bench, entry, batch)) for entry in wanted]
        _measure(bench, pairs, file, share)
        found.append(pairs)
    return found


def _row(bench: _Bench, entry: _Entry, batch: int) -> Row:
    version = entry.loaded.get("version") or host.version(entry.kind.package)
    what = (entry.setting.name, entry.setting.what)
    row = Row(entry.kind.name, entry.kind.package, version, *what, entry.dtype, batch, entry.status, entry.reason)
    if entry.cold_seconds is not None:
        row.start = {"cold_ms": 1000 * entry.cold_seconds, "load_ms": 1000 * entry.loaded["load_seconds"]}
    if entry.kind.name == OURS:
        row.decode_ms = bench.sound.decode_ms(batch, bench.subject.window_seconds)
    return row


def _measure(bench: _Bench, pairs: list[tuple[_Entry, Row]], windows: Path, until: float | None) -> None:
    """Untimed runs for the tokens and to warm up, then rounds in which each has its turn, then memory."""
    plan = bench.plan
    for entry, row in pairs:
        if row.status == "measured":
            bench.say(f"batch {row.batch}: warming up {entry.label}")
            with _forgiving(entry, row):
                _warm_up(bench, entry, row, windows)
    for number in range(plan.iterations):
        if number and until is not None and time.perf_counter() > until:
            break
        bench.say(f"batch {pairs[0][1].batch}: round {number + 1} of {plan.iterations}")
        for entry, row in pairs:
            if row.status == "measured" and entry.worker is not None:
                time.sleep(REST_SECONDS)  # each begins on idle cores
                with _forgiving(entry, row):
                    found = entry.worker.ask({"do": "turn"}, plan.timeout)
                    row.turns.append(Turn(found["encoder"], found["total"], found["stages"]))
    for entry, row in pairs:
        if row.status == "measured" and entry.worker is not None:
            with _forgiving(entry, row):
                row.memory = entry.worker.ask({"do": "memory"}, plan.timeout)["memory"]
                row.memory["loaded"] = entry.loaded["memory"]


def _warm_up(bench: _Bench, entry: _Entry, row: Row, windows: Path) -> None:
    """The first run, which gives the tokens, and further ones."""
    assert entry.worker is not None
    request = {"do": "batch", "windows": str(windows), "rows": row.batch, "tokens": bench.plan.tokens}
    found = entry.worker.ask(request, bench.plan.timeout)
    row.ids, row.shapes = found["ids"], found["shapes"]
    row.start["first_run_ms"] = 1000 * found["first_run_seconds"]
    for _ in range(bench.plan.warmup - 1):
        entry.worker.ask({"do": "turn"}, bench.plan.timeout)


@contextmanager
def _forgiving(entry: _Entry, row: Row) -> Iterator[None]:
    """A peer that breaks is a row of the table, not the end of the run; ours may not break."""
    try:
        yield
    except Refused as error:
        row.status, row.reason = error.status, str(error)
        entry.refused(error)


def _words(bench: _Bench, wanted: list[_Entry], rows: list[list[tuple[_Entry, Row]]], scorer: Scorer) -> None:
    """The word error rate of each runner that was measured, last, so that it disturbs no time."""
    for entry in wanted:
        mine = [row for batch in rows for other, row in batch if other is entry and row.status == "measured"]
        if not mine:
            continue
        if scorer.reason is None:
            bench.say(f"transcribing with {entry.label}")
        try:
            found = scorer.score(partial(_transcribe, bench, entry))
        except Refused as error:
            entry.refused(error)
            found = {"wer": None, "reason": f"no WER: {error}"}
        for row in mine:
            row.wer = found


def _transcribe(bench: _Bench, entry: _Entry, audio: Path, language: str | None) -> str:
    if entry.worker is None:
        raise Refused(entry.status, entry.reason or "its process was ended", "closed")
    request = {"do": "transcribe", "audio": str(audio.resolve()), "language": language}
    return str(entry.worker.ask(request, bench.plan.timeout)["text"])


def _report(bench: _Bench, rows: list[list[tuple[_Entry, Row]]], wanted: list[_Entry]) -> dict[str, Any]:
    plan, found = bench.plan, bench.subject
    packages = list(dict.fromkeys(["torch", "transformers", *(entry.kind.package for entry in wanted)]))
    preset = PRESETS.get(plan.preset or "")
    work = Work(plan.tokens, found.window_seconds)
    return {
        "schema": 2,
        "kind": "speed",
        "model": found.name,
        "weights": found.weights,
        "assistant": None if found.assistant is None else found.assistant.name,
        "preset": plan.preset,
        "environment": {**_fingerprint(bench, packages), "torch_threads": bench.threads},
        "settings": {
            "sound": bench.sound.what,
            "window_seconds": found.window_seconds,
            "vocabulary": found.config.vocab_size,
            "batches": list(plan.batches),
            "tokens": plan.tokens,
            "warmup": plan.warmup,
            "iterations": plan.iterations,
            "threads": bench.threads,
            "device": bench.device,
            "precision": plan.precision,
            "precision_flags": next((e.loaded["precision_flags"] for e in wanted if e.loaded), None),
            "settings": plan.settings,
            "seed": plan.seed,
            "rest_seconds": REST_SECONDS,
            "decoding": "no timestamps, end of text forbidden; greedy where the setting says nothing else",
            "features": "not included",
        },
        "rows": [entry for batch in rows for entry in entries([row for _, row in batch], work)],
        "published": [] if preset is None else [vars(item) for item in preset.published],
        "published_note": None if preset is None else preset.note,
    }


def _fingerprint(bench: _Bench, packages: list[str]) -> dict[str, Any]:
    return fingerprint(bench.device, bench.plan.dtypes, packages, bench.subject.folder)
