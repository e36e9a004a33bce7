"""Long recordings beside the peers: in turns, each way in its own process, with the same sound and weights."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from literatim import device as devices
from literatim.bench import plan as speed_plan
from literatim.bench import protocol
from literatim.bench.long import sound
from literatim.bench.long.rows import Row, Turn, entries
from literatim.bench.long.ways import WAYS, Listener
from literatim.bench.protocol import Refused, Worker
from literatim.bench.runners import OURS, find
from literatim.bench.runners.base import Setting
from literatim.bench.spec_workers import Launch, Place
from literatim.errors import LiteratimError
from literatim.provenance.fingerprint import fingerprint

REST_SECONDS = 0.3  # libiomp lets its threads spin for 200 ms after the last work (KMP_BLOCKTIME)
LANGUAGE = "en"
WARM_SECONDS = 20.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is measured: a model, or random weights in a `shape` with `tokens` of each window.

    `peers` are names of programs beside ours; `ways` keeps only those of these settings' names.
    """

    model: str | None = None
    shape: str | None = None
    minutes: float = 60.0
    silence: float = 30.0  # seconds of each sound in which nobody speaks
    peers: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32",)
    tokens: int = 100
    rounds: int = 1
    threads: int | None = None
    timeout: float = 7200.0
    device: str = "cpu"
    seed: int = 0


@dataclass
class _Way:
    """A runner at one setting and dtype: its worker, and the row that it fills."""

    kind: type[Listener]
    dtype: str
    setting: Setting
    row: Row
    worker: Worker | None = None

    @property
    def label(self) -> str:
        """For progress."""
        return f"{self.kind.name} {self.setting.what} {self.dtype}"

    def close(self) -> None:
        """End its process."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None


@dataclass(frozen=True)
class _Bench:
    """What all parts of a run share; `tokens` of each window, None for as many as the model says."""

    plan: Plan
    place: Place
    say: Say
    tokens: int | None

    def hear(self, way: _Way, audio: Path) -> dict[str, Any]:
        """What a way makes of a recording. Raises Refused."""
        assert way.worker is not None
        request = {"do": "hear", "audio": str(audio), "language": LANGUAGE, "tokens": self.tokens}
        return way.worker.ask(request, self.plan.timeout)


def run(plan: Plan, say: Say = lambda _: None, launch: Launch = protocol.start) -> dict[str, Any]:
    """Measure, and return the report. Raises OptionError, ModelNotFound, ModelFormatError; LiteratimError for ours."""
    threads = plan.threads or os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="literatim-bench-") as scratch:
        folder = Path(scratch)
        subject = speed_plan.subject(asked(plan), folder)
        place = Place(subject.folder, folder, str(devices.pick(plan.device)), threads, plan.timeout, launch)
        random = subject.weights == "random"
        bench = _Bench(plan, place, say, plan.tokens if random else None)
        ways = _ways(plan)
        talk = sound.talk(LANGUAGE, 60 * plan.minutes, plan.seed)
        try:
            for way in ways:
                _start(bench, way)
            _measure(bench, ways, sound.write(folder / "talk.wav", talk.samples))
            if not random:
                _silences(bench, ways, folder)
        finally:
            for way in ways:
                way.close()
        return _report(bench, ways, subject, talk)


def asked(plan: Plan) -> speed_plan.Plan:
    """Model, shape and seed, as `bench speed` takes them."""
    return speed_plan.Plan(model=plan.model, shape=plan.shape, tokens=plan.tokens, seed=plan.seed)


def _ways(plan: Plan) -> list[_Way]:
    """Ours first, then the peers, at every dtype that a program has."""
    made = []
    for name in (OURS, *plan.peers):
        kind = find(WAYS[name])
        assert issubclass(kind, Listener)
        for dtype in (dtype for dtype in plan.dtypes if dtype in kind.dtypes):
            for setting in kind.settings:
                if not plan.ways or setting.name in plan.ways:
                    made.append(_Way(kind, dtype, setting, Row(name, setting.name, setting.what, dtype)))
    return made


def _start(bench: _Bench, way: _Way) -> None:
    bench.say(f"loading {way.label}")
    with _forgiving(way):
        way.worker, loaded = bench.place.loaded(way.kind, way.dtype, way.setting)
        way.row.version, way.row.loaded = loaded["version"], loaded["memory"]["host"]["allocated"]


def _measure(bench: _Bench, ways: list[_Way], talk: Path) -> None:
    """A short recording to warm up, then rounds in which each has its turn."""
    short = sound.talk(LANGUAGE, WARM_SECONDS, bench.plan.seed + 1)
    warm = sound.write(talk.with_name("warm.wav"), short.samples)
    for way in _alive(ways):
        with _forgiving(way):
            bench.hear(way, warm)
    for number in range(bench.plan.rounds):
        for way in _alive(ways):
            with _forgiving(way):
                bench.say(f"round {number + 1} of {bench.plan.rounds}: {way.label}")
                time.sleep(REST_SECONDS)  # each begins on idle cores
                found = bench.hear(way, talk)
                way.row.text, way.row.tokens = found["text"], found["tokens"]
                way.row.turns.append(Turn(found["seconds"], found["cpu_seconds"], found["stages"]))
                way.row.peaks.append(found["memory"]["host"]["peak"])


def _silences(bench: _Bench, ways: list[_Way], folder: Path) -> None:
    """What each says where nobody speaks."""
    for name, samples in sound.silences(bench.plan.silence):
        audio = sound.write(folder / f"{name}.wav", samples)
        bench.say(f"where nobody speaks: {name}")
        for way in _alive(ways):
            with _forgiving(way):
                way.row.silences[name] = str(bench.hear(way, audio)["text"])


def _alive(ways: list[_Way]) -> list[_Way]:
    return [way for way in ways if way.row.status == "measured"]


@contextmanager
def _forgiving(way: _Way) -> Iterator[None]:
    """A peer that breaks is a row of the table, not the end of the run, and has no more turns; ours may not break."""
    try:
        yield
    except Refused as error:
        if way.kind.name == OURS:
            raise LiteratimError(f"the benchmark of {way.label} failed: {error}") from error
        way.row.status, way.row.reason = error.status, str(error)
        way.close()


def _report(bench: _Bench, ways: list[_Way], subject: speed_plan.Subject, talk: sound.Spoken) -> dict[str, Any]:
    plan = bench.plan
    packages = ["torch", "transformers", *dict.fromkeys(way.kind.package for way in ways if way.kind.name != OURS)]
    return {
        "schema": 1,
        "kind": "literatim bench long",
        "model": subject.name,
        "weights": subject.weights,
        "environment": fingerprint(bench.place.device, plan.dtypes, packages, subject.folder),
        "settings": {
            "seconds": talk.seconds,
            "words": len(talk.text.split()),
            "window_seconds": subject.window_seconds,
            "language": LANGUAGE,
            "silence_seconds": plan.silence,
            "tokens": bench.tokens,
            "rounds": plan.rounds,
            "threads": bench.place.threads,
            "device": bench.place.device,
            "seed": plan.seed,
            "rest_seconds": REST_SECONDS,
            "decoding": "greedy",
            "safeguards": "each program's own" if bench.tokens is None else "off, on all sides",
        },
        "rows": entries([way.row for way in ways], talk, random=subject.weights == "random"),
    }
