"""How much memory a recording of hours takes: the peak beyond the loaded model, by length and strategy."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from literatim import device as devices
from literatim.bench import protocol
from literatim.bench.long import sound
from literatim.bench.long.ours import Ours
from literatim.bench.long.run import LANGUAGE, Plan, asked
from literatim.bench.plan import subject
from literatim.bench.protocol import Refused
from literatim.bench.runners.base import Setting
from literatim.bench.spec_workers import Launch, Place
from literatim.bench.table import Table
from literatim.errors import LiteratimError
from literatim.provenance.fingerprint import fingerprint

BLOCK = 10  # minutes of speech in room tone, which are said over and over


@dataclass(frozen=True)
class _Case:
    """A strategy at a dtype, and a recording of so many minutes."""

    setting: Setting
    dtype: str
    minutes: int


def run(plan: Plan, lengths: tuple[int, ...], say: Callable[[str], None], launch: Launch = protocol.start) -> Any:
    """The report. `lengths`: minutes, each heard by a process of its own. Raises as `run.run` does."""
    threads = plan.threads or os.cpu_count() or 1
    settings = [setting for setting in Ours.settings if not plan.ways or setting.name in plan.ways]
    with tempfile.TemporaryDirectory(prefix="literatim-bench-") as scratch:
        folder = Path(scratch)
        found = subject(asked(plan), folder)
        place = Place(found.folder, folder, str(devices.pick(plan.device)), threads, plan.timeout, launch)
        rows, audio = [], folder / "long.wav"
        for minutes in lengths:
            block = sound.talk(LANGUAGE, 60 * min(minutes, BLOCK), plan.seed)
            sound.write(audio, block.samples, max(1, round(minutes / BLOCK)))
            for case in (_Case(setting, dtype, minutes) for setting in settings for dtype in plan.dtypes):
                say(f"{case.setting.what} {case.dtype}, {minutes} minutes")
                rows.append(_row(case, place, audio, plan.tokens if found.weights == "random" else None))
        return {
            "schema": 1,
            "kind": "literatim bench long, memory",
            "model": found.name,
            "weights": found.weights,
            "environment": fingerprint(place.device, plan.dtypes, ("torch",), found.folder),
            "settings": {"minutes": list(lengths), "block_minutes": BLOCK, "threads": threads, "seed": plan.seed},
            "rows": rows,
        }


def _row(case: _Case, place: Place, audio: Path, tokens: int | None) -> dict[str, Any]:
    try:
        worker, loaded = place.loaded(Ours, case.dtype, case.setting)
        try:
            request = {"do": "hear", "audio": str(audio), "language": LANGUAGE, "tokens": tokens}
            heard = worker.ask(request, place.timeout)
        finally:
            worker.close()
    except Refused as error:
        raise LiteratimError(f"{case.setting.what}, {case.minutes} minutes: {error}") from error
    before, peak = loaded["memory"]["host"]["allocated"], heard["memory"]["host"]["peak"]
    return {
        "way": case.setting.what,
        "dtype": case.dtype,
        "minutes": case.minutes,
        "seconds": heard["seconds"],
        "cpu_seconds": heard["cpu_seconds"],
        "tokens": heard["tokens"],
        "loaded": before,
        "peak": peak,
        "beyond": None if before is None or peak is None else peak - before,
    }


def table(report: dict[str, Any]) -> Table:
    """A line for each way and length."""
    rows = []
    for row in report["rows"]:
        sizes = ("" if row[name] is None else f"{row[name] / 1e6:.0f}" for name in ("loaded", "peak", "beyond"))
        rows.append((row["way"], row["dtype"], str(row["minutes"]), f"{row['seconds']:.0f}", *sizes))
    columns = ("way", "dtype", "minutes", "s", "MB loaded", "MB at the peak", "MB beyond the model")
    title = f"Memory: {report['model']} ({report['weights']} weights)"
    return Table(title, columns, tuple(rows), texts=2)
