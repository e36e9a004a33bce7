"""From the turns of the runners to the figures of a report.

Definitions. Latency: seconds from the features of a batch of windows to its tokens, encoder included. Windows, tokens
and seconds of sound a second (RTFx) and their inverse (RTF) stand on the mean latency; the time of a token is that of
the batch without the encoder by the number of tokens of a window, its median.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from literatim.bench.runners import OURS
from literatim.bench.runners.base import Ids, Turn
from literatim.bench.stats import summary


@dataclass
class Row:
    """One runner at one setting, dtype and batch; without turns there is a `reason`."""

    name: str
    package: str
    version: str | None
    setting: str
    what: str
    dtype: str
    batch: int
    status: str = "measured"  # or absent, not measurable, failed
    reason: str | None = None
    start: dict[str, Any] = field(default_factory=dict)  # cold_ms, load_ms, first_run_ms
    ids: Ids | None = None
    turns: list[Turn] = field(default_factory=list)
    shapes: dict[str, int] | None = None
    memory: dict[str, Any] = field(default_factory=dict)
    wer: dict[str, Any] | None = None
    decode_ms: float | None = None  # reading the sound, where ours read it


@dataclass(frozen=True)
class Work:
    """What every row's figures are of."""

    tokens: int
    window_seconds: float


def entries(rows: list[Row], work: Work) -> list[dict[str, Any]]:
    """The rows of one batch as dictionaries, each beside ours: of its dtype, else our fastest."""
    ours = {row.dtype: row for row in rows if row.name == OURS and row.status == "measured" and row.turns}
    fastest = min(ours.values(), key=lambda row: median(turn.total for turn in row.turns), default=None)
    reference = ours.get("float32", fastest)
    return [_entry(row, ours.get(row.dtype, fastest), reference, work) for row in rows]


def _entry(row: Row, ours: Row | None, reference: Row | None, work: Work) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": row.name,
        "package": row.package,
        "version": row.version,
        "setting": row.setting,
        "what": row.what,
        "dtype": row.dtype,
        "batch": row.batch,
        "tokens": work.tokens,
        "status": row.status,
        "reason": row.reason,
    }
    if row.status != "measured" or not row.turns:
        return found
    found |= _figures(row, work)
    found |= {"start": row.start, "shapes": _shapes(row.shapes), "stages_ms": _stages(row), "memory": row.memory}
    found |= {"wer": row.wer, "same_tokens": _same(row, reference)}
    if ours is not None and row.name != OURS:
        found["ours_to_this"] = {"ours": f"{OURS} {ours.dtype}", **_ratios(ours, row, work.tokens)}
    return found


def _figures(row: Row, work: Work) -> dict[str, Any]:
    """Latency and what follows from it."""
    encoder, total, token = _series(row, work.tokens)
    latency = summary(total)
    seconds = latency["mean"] / 1000
    sound = row.batch * work.window_seconds
    return {
        "iterations": len(row.turns),
        "latency_ms": latency,
        "encoder_ms": median(encoder),
        "token_ms": median(token),
        "window_ms": latency["median"] / row.batch,
        "samples_per_s": row.batch / seconds,
        "rtf": seconds / sound,
        "rtfx": sound / seconds,
        "tokens_per_s": row.batch * work.tokens / seconds,
        "samples_ms": {"encoder": encoder, "total": total},
    }


def _series(row: Row, tokens: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of every turn: encoder, whole batch, and what each token position adds to the encoder."""
    encoder = [1000 * turn.encoder for turn in row.turns]
    total = [1000 * turn.total for turn in row.turns]
    return encoder, total, [(whole - part) / tokens for whole, part in zip(total, encoder, strict=True)]


def _ratios(ours: Row, theirs: Row, tokens: int) -> dict[str, float]:
    """Medians over the rounds of our time by theirs in the same round."""
    pairs = zip(_series(ours, tokens), _series(theirs, tokens), strict=True)
    found = [[a / b for a, b in zip(mine, other, strict=False) if b] for mine, other in pairs]
    return {name: median(values) for name, values in zip(("encoder", "total", "token"), found, strict=True) if values}


def _stages(row: Row) -> dict[str, float] | None:
    """Medians of the parts of the work, in order; None for runners that cannot be split."""
    names = dict.fromkeys(name for turn in row.turns for name in turn.stages)
    if not names:
        return None
    read = {} if row.decode_ms is None else {"decode": row.decode_ms}
    return read | {name: median(1000 * turn.stages[name] for turn in row.turns) for name in names}


def _shapes(counts: Mapping[str, int] | None) -> dict[str, int] | None:
    return None if counts is None else {**counts, "total": sum(counts.values())}


def _same(row: Row, reference: Row | None) -> float | None:
    """Share of positions with the token of the reference, which is ours in float32 where that was run."""
    if row.ids is None or reference is None or reference.ids is None:
        return None
    pairs = [
        pair for mine, theirs in zip(row.ids, reference.ids, strict=True) for pair in zip(mine, theirs, strict=True)
    ]
    return sum(a == b for a, b in pairs) / len(pairs)


def differing(report: Mapping[str, Any]) -> list[str]:
    """Where transformers in float32 says other tokens than ours in float32: a failed check, a sentence each."""
    return [
        f"batch {row['batch']}: {1 - row['same_tokens']:.1%} of the tokens differ from transformers in float32"
        for row in report["rows"]
        if row["name"] == "transformers" and row["dtype"] == "float32" and _falls_short(row.get("same_tokens"))
    ]


def _falls_short(share: float | None) -> bool:
    return share is not None and share < 1.0
