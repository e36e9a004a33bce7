"""How many kinds of calls a long recording needs of a device that compiles a kernel for each: counted on the fake npu.

A kind is an operation with the shapes and dtypes of its tensors. What brings sound to the device and results from it is
not among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from literatim.api import Recognizer
from literatim.audio.decode import SAMPLE_RATE, decode
from literatim.bench.table import Table
from literatim.demo import recordings
from literatim.provenance.fingerprint import fingerprint
from literatim.verify.fake_npu import OPS, TO_DEVICE, TO_HOST

WAYS: dict[str, dict[str, Any]] = {
    "sequential": {"word_timestamps": True, "condition_on_previous_text": True},
    "chunked": {},
    "batched": {"word_timestamps": True},
}


def run(
    recognizer: Recognizer, minutes: float, rows: int, strategies: tuple[str, ...], tell: Callable[[str], None]
) -> dict[str, Any]:
    """The report: for each strategy how many kinds there were after so many minutes of the bundled recordings."""
    bundled = [decode(path).samples[0] for path in recordings()]
    results = []
    for strategy in strategies:
        tell(f"{minutes:g} minutes, {strategy}")
        OPS.clear()
        seen = _decode(recognizer, bundled, minutes, rows, strategy)
        results.append(
            {
                "strategy": strategy,
                "options": WAYS[strategy],
                "minutes": minutes,
                "kinds": _kinds(),
                "calls": sum(OPS.values()),
                "kinds_after_minutes": [item for at, item in enumerate(seen) if not at or item[1] > seen[at - 1][1]],
            }
        )
    return {
        "kind": "literatim bench kinds",
        "model": recognizer.name,
        "batch_size": rows,
        "results": results,
        "environment": fingerprint(str(recognizer.device), [str(recognizer.dtype).removeprefix("torch.")], ()),
    }


def _kinds() -> int:
    return sum(call.op not in (TO_DEVICE, TO_HOST) for call in OPS)


def _decode(
    recognizer: Recognizer, bundled: list[NDArray[np.float32]], minutes: float, rows: int, strategy: str
) -> list[tuple[float, int]]:
    """Minutes decoded and the kinds by then, window by window; `sequential` has a recording for each row of a batch."""
    total = round(60 * minutes * SAMPLE_RATE)
    whole = np.concatenate(bundled * (total // sum(map(len, bundled)) + 1))[:total]
    audios = np.array_split(whole, rows if strategy == "sequential" else 1)
    seen: list[tuple[float, int]] = []

    def count(done: float) -> None:
        seen.append((round(minutes * done / len(audios), 2), _kinds()))

    options = {"strategy": strategy, "batch_size": rows, **WAYS[strategy]}
    for outcome in recognizer.transcribe_many(audios, progress_callback=count, **options):
        if outcome.error is not None:
            raise outcome.error
    return seen


def table(report: dict[str, Any]) -> Table:
    """A line for each strategy."""
    rows = []
    for found in report["results"]:
        steps = found["kinds_after_minutes"]
        half = max(kinds for minute, kinds in steps if minute <= found["minutes"] / 2 or minute == steps[0][0])
        last = f"{steps[-1][0]:.1f} min"
        rows.append((found["strategy"], f"{found['minutes']:g} min", f"{half}", f"{found['kinds']}", last))
    columns = ("strategy", "recording", "kinds, first half", "kinds", "the last new one")
    notes = (
        f"Batches of {report['batch_size']} windows on the fake npu. A kind is an operation with the shapes and",
        "dtypes of its tensors; a device that compiles a kernel for each compiles so many.",
    )
    return Table(f"{report['model']}: kinds of calls", columns, tuple(rows), notes)
