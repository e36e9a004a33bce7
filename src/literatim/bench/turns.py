"""Who speaks when in recordings of hours: time from file to turns, memory, and what a dtype changes in the vectors.

Each length is heard by a process of its own. The sound is made of the bundled clips in room tone.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from literatim import device as devices
from literatim import hub
from literatim.audio.decode import SAMPLE_RATE
from literatim.bench.long import sound
from literatim.bench.table import Table
from literatim.bench.voices import SHAPES, write
from literatim.device.memory import host_memory
from literatim.errors import ModelFormatError
from literatim.models.speaker_config import is_speaker
from literatim.pipeline.diarize import windows_of
from literatim.provenance.fingerprint import fingerprint
from literatim.voices import load_speaker

BLOCK = 10  # minutes that are said over and over
COMPARED = 120  # seconds of sound whose windows' vectors are held against float32's
LANGUAGE = "en"


@dataclass(frozen=True)
class Plan:
    """What is measured; without a model it is `shape` with random weights."""

    model: str | None = None
    shape: str = "resnet34"
    minutes: tuple[int, ...] = (10, 60)
    dtypes: tuple[str, ...] = ("bfloat16", "float32")
    device: str = "cpu"
    threads: int | None = None
    seed: int = 0


def run(plan: Plan, scratch: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """The report. Raises ModelFormatError for another kind of model."""
    folder = write(SHAPES[plan.shape], scratch / "model", plan.seed) if plan.model is None else hub.resolve(plan.model)
    if not is_speaker(folder):
        raise ModelFormatError(f"{folder} is no network for voices, which `bench turns` measures")
    device, threads = str(devices.pick(plan.device)), plan.threads or os.cpu_count() or 1
    rows, audio = [], scratch / "long.wav"
    for minutes in plan.minutes:
        block = sound.talk(LANGUAGE, 60 * min(minutes, BLOCK), plan.seed)
        sound.write(audio, block.samples, max(1, round(minutes / BLOCK)))
        for dtype in plan.dtypes:
            tell(f"{dtype}, {minutes} minutes")
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                row = process.submit(_heard, str(folder), device, dtype, str(audio), threads).result()
            rows.append({"dtype": dtype, "minutes": minutes, **row})
    tell("vectors")
    block = sound.talk(LANGUAGE, COMPARED, plan.seed)
    return {
        "schema": 1,
        "kind": "literatim bench turns",
        "model": plan.model or plan.shape,
        "weights": "random" if plan.model is None else "given",
        "settings": {"minutes": list(plan.minutes), "threads": threads, "device": device, "seed": plan.seed},
        "rows": rows,
        "cosines": {dtype: _cosines(folder, device, dtype, block.samples) for dtype in plan.dtypes},
        "environment": fingerprint(plan.device, list(plan.dtypes), (), folder),
    }


def table(report: Mapping[str, Any]) -> Table:
    """A line for each length and dtype."""
    rows = []
    for row in report["rows"]:
        beyond = "" if row["beyond"] is None else f"{row['beyond'] / 1e6:.0f}"
        times = 60 * row["minutes"] / row["seconds"]
        cosine = report["cosines"][row["dtype"]]
        cells = (f"{row['seconds']:.1f}", f"{times:.0f}", str(row["speakers"]), beyond, f"{cosine['least']:.6f}")
        rows.append((str(row["minutes"]), row["dtype"], *cells))
    columns = ("minutes", "dtype", "s", "times real time", "speakers", "MB beyond the model", "least cosine")
    notes = (
        "From file to turns: decoding, speech detection, vectors, clustering. Weights are " + report["weights"] + ".",
        f"Least cosine: of a window's vector to float32's, over {COMPARED} s of the sound.",
    )
    return Table(f"{report['model']} on {report['settings']['device']}", columns, tuple(rows), notes, texts=2)


def _heard(folder: str, device: str, dtype: str, audio: str, threads: int) -> dict[str, Any]:
    """One recording, in a process of its own."""
    torch.set_num_threads(threads)
    model = load_speaker(folder, device=device, dtype=dtype)
    before, began = host_memory().allocated, time.perf_counter()
    found = model.diarize(audio)
    seconds, peak = time.perf_counter() - began, host_memory().peak
    return {
        "seconds": seconds,
        "speakers": len(found.speakers),
        "turns": len(found.turns),
        "speech": sum(turn.end - turn.start for turn in found.turns),
        "beyond": None if before is None or peak is None else peak - before,
    }


def _cosines(folder: Path, device: str, dtype: str, samples: Any) -> dict[str, float]:
    """Of windows' vectors to those in float32."""
    whole = torch.from_numpy(samples)
    spans = [span for span in windows_of(len(whole)) if span[1] - span[0] >= SAMPLE_RATE]
    truth, made = (
        torch.from_numpy(load_speaker(folder, device=device, dtype=kind).encoder.embed_windows(whole, spans))
        for kind in ("float32", dtype)
    )
    cosines = torch.nn.functional.cosine_similarity(truth, made, dim=-1)
    return {"windows": len(spans), "mean": float(cosines.mean()), "least": float(cosines.min())}
