"""`literatim verify --self-test`: every fault and every right device, and how well they are told apart."""

from __future__ import annotations

import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from literatim import hub
from literatim.device import host
from literatim.options import HubOptions
from literatim.provenance.fingerprint import fingerprint
from literatim.provenance.model_hash import model_hash
from literatim.verify import fake_npu, material, reference
from literatim.verify.golden import Golden
from literatim.verify.planted import curves
from literatim.verify.planted.catalogue import Case, cases
from literatim.verify.planted.draw import draw
from literatim.verify.planted.families import family
from literatim.verify.planted.trial import Clean, Trial, run_trial
from literatim.verify.planted.variations import Variation, mixed, singly
from literatim.verify.run import Prepared

SCHEMA = 1
DTYPES = ("float32", "bfloat16", "float16")
CAUGHT, LOCATED, ALARMS = 0.95, 0.90, 0.01
"""What a self-test has to reach: shares of the faults above the noise at least, false alarms at most."""

_PACKAGES = ("torch", "numpy")
_TOLD_EVERY = 50  # runs
_MOST_JOBS = 8  # processes; each takes about a gigabyte
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is run. `repeats`: parts that each fault is planted in, in float32 and in the shorter dtypes.

    `mixed`: right devices of each dtype that differ in everything, beside those that differ in one thing. The work is
    that of `rows` windows of sound, `tokens` of text each. `share` of the trials is run, drawn by chance.
    Thresholds were set on runs of seed 0, so that the devices and the places of another seed are new to them.
    """

    dtypes: tuple[str, ...] = DTYPES
    repeats: tuple[int, int] = (1, 1)
    mixed: int = 28
    rows: int = 3
    tokens: int = 6
    share: float = 1.0
    seed: int = 1


def run(model: str = "demo", out: Path | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """The whole self-test, a process for each core; into `out` go `self-test.json` and, with matplotlib, drawings.

    `progress` is told a line now and then. Raises DependencyError where torch is older than 2.10.
    """
    report = self_test(model, Plan(), min(_MOST_JOBS, host.usable() or 1), progress)
    if out is not None:
        write(report, out)
        if find_spec("matplotlib") is not None:
            draw(report, out)
    if progress is not None:
        for line in sentences(report):
            progress(line)
    return report


def self_test(
    model: str = "demo", plan: Plan | None = None, jobs: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """The report, for JSON."""
    plan, begun = plan or Plan(), time.perf_counter()
    fake_npu.install(devices=1)
    folder = hub.resolve(model, HubOptions())
    with tempfile.TemporaryDirectory(prefix="literatim-") as work:
        for dtype in plan.dtypes:
            _reference(folder, dtype, plan, Path(work) / dtype)
        todo = trials(folder, plan)
        rows = list(_all(folder, Path(work), todo, jobs, progress))
    report = {
        "schema": SCHEMA,
        "model": model,
        "weights": model_hash(folder),
        "plan": asdict(plan),
        **summary(rows),
        "minutes": round((time.perf_counter() - begun) / 60, 1),
        "jobs": jobs,
        "environment": fingerprint("npu:0", list(plan.dtypes), _PACKAGES, folder),
    }
    return {**report, "runs": rows}


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether the targets are reached, and the figures that say so."""
    faults, clean = ([row for row in rows if ("kind" in row) is planted] for planted in (True, False))
    power, alarms = curves.power(faults), curves.alarms(clean)
    above, failed = power["above_the_noise"], alarms["failed"]["share"] or 0.0
    passed = (above["caught"]["share"] or 0.0) >= CAUGHT and (above["located"]["share"] or 0.0) >= LOCATED
    targets = {"caught": CAUGHT, "located": LOCATED, "false_alarms": ALARMS, "above_the_noise": curves.ABOVE}
    return {"passed": passed and failed <= ALARMS, "targets": targets, "faults": power, "clean": alarms}


def sentences(report: Mapping[str, Any]) -> list[str]:
    """The figures that the targets are about."""
    above, failed = report["faults"]["above_the_noise"], report["clean"]["failed"]
    parts = [("caught", above["caught"]), ("located", above["located"]), ("false alarms", failed)]
    return [f"{name}: {_percent(found)} of {found['n']}" for name, found in parts]


def _percent(found: Mapping[str, Any]) -> str:
    if found["share"] is None:
        return "nothing"
    share, low, high = (100 * found[name] for name in ("share", "low", "high"))
    return f"{share:.1f} % ({low:.1f} to {high:.1f})"


def trials(folder: Path, plan: Plan) -> list[Trial]:
    """All of them in one order, those of a dtype together."""
    places = family(folder).places
    draw, found = random.Random(plan.seed), list[Trial]()
    for at, dtype in enumerate(plan.dtypes):
        faults: list[Trial] = list(cases(places, dtype, plan.repeats[dtype != "float32"], plan.seed))
        devices = [*singly(), *mixed(plan.mixed, plan.seed + at)]
        if dtype == "float32":  # an Ascend's convolutions, and those of a device that has no HF32
            devices = [replace(device, hf32=at % 2 == 0) for at, device in enumerate(devices)] + [Variation(hf32=True)]
        both = [*faults, *(Clean(device, dtype) for device in devices)]
        found += [trial for trial in both if draw.random() < plan.share]
    return found


def write(report: Mapping[str, Any], folder: Path) -> Path:
    """`self-test.json` in the folder, one run a line."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "self-test.json"
    head = json.dumps({name: value for name, value in report.items() if name != "runs"}, indent=1)
    runs = ",\n".join(json.dumps(row) for row in report["runs"])
    path.write_text(f'{head[:-2]},\n "runs": [\n{runs}\n]}}\n', encoding="utf-8")
    return path


def _reference(folder: Path, dtype: str, plan: Plan, place: Path) -> None:
    """A reference of short work, in a folder that every process reads."""
    clips = [replace(clip, most=plan.tokens) for clip in material.clips(folder, (), plan.rows)[: plan.rows]]
    about = {"dtype": dtype, "steps": plan.tokens, "model": model_hash(folder), **material.about(folder, plan.rows)}
    with tempfile.TemporaryDirectory(prefix="literatim-") as work:
        reference.make(folder, Golden(about, clips), Path(work)).save(place)


def _all(
    folder: Path, goldens: Path, todo: Sequence[Trial], jobs: int, progress: Progress | None
) -> Iterator[dict[str, Any]]:
    """The results in the order of the trials."""
    here = (folder, goldens)
    if jobs == 1:
        worker = _Worker(*here)
        yield from _told(map(worker.run, todo), len(todo), progress)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _start, here) as pool:
        yield from _told(pool.map(_in_worker, todo, chunksize=8), len(todo), progress)


def _told(results: Iterator[dict[str, Any]], count: int, progress: Progress | None) -> Iterator[dict[str, Any]]:
    for done, result in enumerate(results, 1):
        if progress is not None and (done % _TOLD_EVERY == 0 or done == count):
            progress(f"{done} of {count} runs")
        yield result


class _Worker:
    """A process with the references and the models that its trials need."""

    def __init__(self, folder: Path, goldens: Path) -> None:
        fake_npu.install(devices=1)
        self._folder, self._goldens = folder, goldens
        self._prepared: dict[str, Prepared] = {}
        self._family = family(folder)

    def run(self, trial: Case | Clean) -> dict[str, Any]:
        """One trial."""
        if trial.dtype not in self._prepared:
            golden = Golden.load(self._goldens / trial.dtype)
            self._prepared = {trial.dtype: Prepared(self._folder.name, self._folder, golden, "made before")}
        return run_trial(self._prepared[trial.dtype], self._family, trial)


_worker: list[_Worker] = []


def _start(folder: Path, goldens: Path) -> None:
    """In a child: one thread, as its siblings need the other cores."""
    torch.set_num_threads(1)
    _worker.append(_Worker(folder, goldens))


def _in_worker(trial: Case | Clean) -> dict[str, Any]:
    return _worker[0].run(trial)
