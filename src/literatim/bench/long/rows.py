"""From the turns of the ways to the figures of a report.

Medians over the rounds. `rtf`: seconds of work by seconds of sound. `ours_to_this`: our seconds by those of a peer in
the same round, at the same setting; below 1 ours is faster. `beyond`: bytes at the peak beyond the loaded model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from literatim.bench.long.figures import score, words
from literatim.bench.long.sound import Spoken
from literatim.bench.runners import OURS


@dataclass(frozen=True)
class Turn:
    """A recording heard once: seconds by the clock and of the processors, and of the stages that can be seen."""

    seconds: float
    cpu: float
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Row:
    """A way at one dtype; without turns there is a `reason`."""

    name: str
    setting: str
    what: str
    dtype: str
    version: str | None = None
    status: str = "measured"  # or absent, not measurable, failed
    reason: str | None = None
    text: str = ""
    tokens: int = 0
    turns: list[Turn] = field(default_factory=list)
    loaded: int | None = None  # bytes held with the model in memory
    peaks: list[int | None] = field(default_factory=list)
    silences: dict[str, str] = field(default_factory=dict)  # what was said, by the kind of sound


def entries(rows: list[Row], talk: Spoken, *, random: bool) -> list[dict[str, Any]]:
    """The rows as dictionaries; random weights have no words."""
    return [_entry(row, rows, talk, random) for row in rows]


def _entry(row: Row, rows: list[Row], talk: Spoken, random: bool) -> dict[str, Any]:
    names = ("name", "version", "setting", "what", "dtype", "status", "reason")
    found: dict[str, Any] = {name: getattr(row, name) for name in names}
    if row.status != "measured" or not row.turns:
        return found
    found |= _speed(row, talk.seconds)
    found["memory"] = _memory(row)
    if not random:
        found["words"] = score(talk.text, row.text)
        found["hallucinated"] = {name: len(words(text)) for name, text in row.silences.items()}
    first = _ours_alone(row, rows, "sequential")
    if first is not None and row.name == OURS and row is not first:
        found["speed_up"] = {
            "tokens_per_s": _tokens_per_s(row) / _tokens_per_s(first),
            "decoder_tokens_per_s": _tokens_per_s(row, "decoder") / _tokens_per_s(first, "decoder"),
            "total": median(_ratios(first, row, "seconds")),
        }
    ours = _ours_alone(row, rows, row.setting)
    if row.name != OURS and ours is not None:
        shares = {name: median(_ratios(ours, row, name)) for name in ("seconds", "cpu")}
        found["ours_to_this"] = {"ours": f"{OURS} {ours.what} {ours.dtype}", **shares}
    return found


def _speed(row: Row, seconds: float) -> dict[str, Any]:
    middle = median(turn.seconds for turn in row.turns)
    stages = {name for turn in row.turns for name in turn.stages}
    return {
        "seconds": middle,
        "cpu_seconds": median(turn.cpu for turn in row.turns),
        "rtf": middle / seconds,
        "tokens": row.tokens,
        "tokens_per_s": _tokens_per_s(row),
        "decoder_tokens_per_s": _tokens_per_s(row, "decoder") if "decoder" in stages else None,
        "stages": {name: median(turn.stages.get(name, 0.0) for turn in row.turns) for name in sorted(stages)},
        "turns": [{"seconds": turn.seconds, "cpu_seconds": turn.cpu} for turn in row.turns],
    }


def _tokens_per_s(row: Row, stage: str | None = None) -> float:
    """Over all of the time, or over that of a stage; infinite where it took none."""
    seconds = median(turn.seconds if stage is None else turn.stages.get(stage, 0.0) for turn in row.turns)
    return row.tokens / seconds if seconds else float("inf")


def _memory(row: Row) -> dict[str, int | None]:
    peak = max((peak for peak in row.peaks if peak is not None), default=None)
    beyond = None if peak is None or row.loaded is None else max(0, peak - row.loaded)
    return {"loaded": row.loaded, "peak": peak, "beyond": beyond}


def _ours_alone(row: Row, rows: list[Row], setting: str) -> Row | None:
    """Ours at a setting, of the row's dtype, else our fastest."""
    ours = [other for other in rows if other.name == OURS and other.setting == setting and other.turns]
    same = [other for other in ours if other.dtype == row.dtype]
    return min(same or ours, key=lambda other: median(turn.seconds for turn in other.turns), default=None)


def _ratios(one: Row, other: Row, name: str) -> list[float]:
    """Of the turns of the same round."""
    return [getattr(a, name) / getattr(b, name) for a, b in zip(one.turns, other.turns, strict=False)]
