"""Networks for voices beside torch, onnxruntime and OpenVINO: batches of windows, by turns on the same frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from literatim import device as devices
from literatim import hub
from literatim.bench import stats, voices_peers
from literatim.bench.table import Table
from literatim.errors import OptionError
from literatim.models.speaker_checkpoint import read_speaker, save_speaker
from literatim.models.speaker_config import SpeakerConfig
from literatim.models.speaker_formats import shapes
from literatim.provenance.fingerprint import fingerprint

LEAST_COSINE = 0.9999  # to float32, of a dtype that counts
SHAPES = {
    "resnet34": SpeakerConfig(),
    "micro": SpeakerConfig(embedding_dim=16, layers=(1, 1, 1, 1), channels=(4, 4, 6, 8)),
}
# Mean ms by batch x frames, of an Ascend port of WeSpeaker-ResNet34-LM in float32, published in 2026; where, we could
# not confirm.
PUBLISHED = {"1x100": 3.939, "1x200": 3.888, "1x400": 3.848, "4x200": 3.882, "8x200": 4.084, "16x200": 5.808}


@dataclass(frozen=True)
class Plan:
    """What is measured; without a model it is `shape` with random weights. `works` are batch x frames."""

    model: str | None = None
    shape: str = "resnet34"
    works: tuple[str, ...] = ("1x200", "16x200")
    programs: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    rounds: int = 11
    device: str = "cpu"
    seed: int = 0


def run(plan: Plan, scratch: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """The report. Raises ModelFormatError for another kind of model, DependencyError for a program that is not here."""
    folder = write(SHAPES[plan.shape], scratch / "model", plan.seed) if plan.model is None else hub.resolve(plan.model)
    bands = SpeakerConfig.from_dict(read_speaker(folder).config).n_mels
    device = devices.pick(plan.device)
    programs = plan.programs or tuple(name for name in voices_peers.PROGRAMS if not voices_peers.lacking(name))
    results = []
    for work in plan.works:
        frames = torch.randn(*sizes(work), bands, generator=torch.Generator().manual_seed(plan.seed))
        frames = 2 * (frames - frames.mean(1, keepdim=True))
        tell(work)
        results += _measured(plan, programs, folder, device, work, frames)
    return {
        "kind": "literatim bench voices",
        "model": plan.model or plan.shape,
        "weights": "random" if plan.model is None else "given",
        "settings": {"rounds": plan.rounds, "device": str(device), "threads": torch.get_num_threads()},
        "results": results,
        "published": {"device": "Ascend 910", "dtype": "float32", "mean_ms": PUBLISHED},
        "environment": fingerprint(plan.device, list(plan.dtypes), ("onnxruntime", "openvino")),
    }


def sizes(work: str) -> tuple[int, int]:
    """Batch and frames of a work such as 16x200."""
    batch, _, frames = work.partition("x")
    if not (batch.isdecimal() and frames.isdecimal() and int(batch) and int(frames)):
        raise OptionError(f"{work!r} is no batch and frames; write 16x200")
    return int(batch), int(frames)


def write(config: SpeakerConfig, folder: Path, seed: int = 0) -> Path:
    """A folder of a network with random weights under which other frames give other vectors; returns `folder`."""
    random = torch.Generator().manual_seed(seed)

    def values(shape: tuple[int, ...]) -> Tensor:
        noise = torch.randn(shape, generator=random)
        return 0.1 * noise if len(shape) == 1 else noise * (1.4 / noise[0].numel()) ** 0.5

    save_speaker(folder, config, {name: values(shape) for name, shape in shapes(config).items()})
    return folder


def table(report: Mapping[str, Any]) -> Table:
    """A line for each work, program and dtype; ratios are our best time by the best of another program."""
    rows = []
    for found in report["results"]:
        times, cosine = found["seconds"], found["cosine"]
        counts = "" if cosine >= LEAST_COSINE else " (not counted)"
        rows.append(
            (
                found["work"],
                found["program"],
                found["dtype"],
                f"{1000 * times['median']:.2f}",
                f"{sizes(found['work'])[0] / times['median']:.0f}",
                f"{cosine:.6f}{counts}",
            )
        )
    columns = ("batch x frames", "program", "dtype", "ms", "windows/s", "cosine")
    notes = [f"Medians of {report['settings']['rounds']} rounds in turns; weights are {report['weights']}."]
    for work in dict.fromkeys(found["work"] for found in report["results"]):
        ratio = compared(report, work)
        if ratio is not None:
            ours, theirs, (middle, low, high) = ratio
            notes.append(f"{work}: ours in {ours} took {middle:.2f} [{low:.2f}, {high:.2f}] of {theirs}.")
        if work in PUBLISHED:
            notes.append(f"Published for {work}, on another machine (Ascend 910, float32): {PUBLISHED[work]} ms.")
    return Table(f"{report['model']} on {report['settings']['device']}", columns, tuple(rows), tuple(notes), texts=3)


def compared(report: Mapping[str, Any], work: str) -> tuple[str, str, tuple[float, float, float]] | None:
    """Our dtype, the best other program, and the ratio of times with its interval; None where one is missing."""
    counted = [row for row in report["results"] if row["work"] == work and row["cosine"] >= LEAST_COSINE]
    ours = [row for row in counted if row["program"] == "literatim"]
    theirs = [row for row in counted if row["program"] != "literatim"]
    if not ours or not theirs:
        return None
    mine, other = (min(rows, key=lambda row: float(row["seconds"]["median"])) for rows in (ours, theirs))
    ratio = stats.ratio_interval(mine["seconds"]["all"], other["seconds"]["all"])
    return mine["dtype"], f"{other['program']} in {other['dtype']}", ratio


def _measured(
    plan: Plan, programs: tuple[str, ...], folder: Path, device: torch.device, work: str, frames: Tensor
) -> list[dict[str, Any]]:
    """Each program in each of its dtypes; the first run, which may compile, is not counted."""
    wanted = voices_peers.load("torch", folder, "float32", voices_peers.CPU, frames)(frames)
    chosen = [(name, dtype) for name in programs for dtype in voices_peers.dtypes(name, plan.dtypes, device)]
    loaded = {one: voices_peers.load(one[0], folder, one[1], device, frames) for one in chosen}
    cosines = {one: _cosine(answer(frames), wanted) for one, answer in loaded.items()}
    times: dict[tuple[str, str], list[float]] = {one: [] for one in chosen}
    for _ in range(plan.rounds):
        for one, answer in loaded.items():
            began = time.perf_counter()
            answer(frames)
            times[one].append(time.perf_counter() - began)
    return [
        {
            "work": work,
            "program": program,
            "dtype": dtype,
            "seconds": {**stats.summary(found), "all": found},
            "cosine": cosines[program, dtype],
        }
        for (program, dtype), found in times.items()
    ]


def _cosine(found: Tensor, wanted: Tensor) -> float:
    """The least of all rows."""
    return float(torch.cosine_similarity(found.double(), wanted.double()).min())
