"""From the runs of `bench spec` to the figures of its report.

Definitions. Total: seconds from the features of the windows to all their tokens, encoder included, summed over the
groups of a round; decoder: without the encoder and the keys and values of its states. Tokens do not count the end of
text. A speed-up is the median, over the rounds, of plain time by the time with a draft in the same round, of the same
program in the same dtype. Acceptance is the share of the proposals that were right among those that were judged: those
after a wrong one, or after the end, were not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from literatim.bench.runners import OURS
from literatim.bench.runners.base import Ids
from literatim.bench.spec_ways import Round, Run, Way, speculation
from literatim.bench.stats import summary
from literatim.device import host


@dataclass
class SpecRow:
    """One way at one batch; without times there is a `reason`. Times are seconds over all groups of a round."""

    way: Way
    batch: int
    version: str | None
    status: str = "measured"  # or absent, not measurable, failed
    reason: str | None = None
    ids: list[Ids] = field(default_factory=list)  # of each group
    encoder: list[float] = field(default_factory=list)
    decoder: list[float] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    other_ids: bool = False  # whether a timed run said something else than the untimed one

    @classmethod
    def of(cls, way: Way, batch: int) -> SpecRow:
        """Before anything was measured."""
        return cls(way, batch, host.version(way.package))

    @property
    def label(self) -> str:
        """For progress and messages."""
        return f"{self.way.name} {self.way.dtype}, {self.way.what}"

    @property
    def total(self) -> list[float]:
        """Seconds of every round."""
        return [a + b for a, b in zip(self.encoder, self.decoder, strict=True)]

    @property
    def tokens(self) -> int:
        """Said in a round."""
        return sum(len(ids) for group in self.ids for ids in group)

    def add(self, runs: Sequence[Run]) -> None:
        """A round's runs, one for each group."""
        self.encoder.append(sum(run.encoder for run in runs))
        self.decoder.append(sum(run.decoder for run in runs))
        self.rounds += [item for run in runs for item in run.rounds]
        said = [run.ids for run in runs]
        self.other_ids = self.other_ids or (any(said) and said != self.ids)


def entries(rows: Sequence[SpecRow], words: Sequence[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """The rows of one batch as dictionaries: each drafted one beside the plain one, each peer beside ours."""
    measured = [row for row in rows if row.status == "measured" and row.decoder]
    plain = {(row.way.name, row.way.dtype): row for row in measured if not row.way.drafted}
    ours = {row.way.dtype: row for row in measured if row.way.name == OURS and row.way.drafted}
    fastest = min(ours.values(), key=lambda row: median(row.total), default=None)
    made = []
    for row, found in zip(rows, words, strict=True):
        entry = _entry(row, found)
        if row in measured:
            reference = plain.get((OURS, row.way.dtype))
            entry["same_tokens"] = _same(row, reference)
            mine = ours.get(row.way.dtype, fastest)
            if row.way.drafted:
                entry["speed_up"] = ratios(plain.get((row.way.name, row.way.dtype)), row)
            if row.way.name != OURS and mine is not None:
                entry["ours_to_this"] = {"ours": f"{OURS} {mine.way.dtype}", **(ratios(mine, row) or {})}
        made.append(entry)
    return made


def _entry(row: SpecRow, words: dict[str, Any] | None) -> dict[str, Any]:
    way = row.way
    found: dict[str, Any] = {
        "name": way.name,
        "package": way.package,
        "version": getattr(way, "version", None) or row.version,
        "what": way.what,
        "drafted": way.drafted,
        "dtype": way.dtype,
        "batch": row.batch,
        "status": row.status,
        "reason": row.reason,
    }
    if row.status != "measured" or not row.decoder:
        return found
    decoder, total = ([1000 * seconds for seconds in times] for times in (row.decoder, row.total))
    found |= {
        "iterations": len(decoder),
        "tokens": row.tokens,
        "latency_ms": summary(total),
        "encoder_ms": 1000 * median(row.encoder),
        "decoder_ms": median(decoder),
        "tokens_per_s": {"total": _speed(row, total), "decoder": _speed(row, decoder)},
        "samples_ms": {"encoder": [1000 * seconds for seconds in row.encoder], "decoder": decoder, "total": total},
        "wer": words,
    }
    return found | ({"speculation": speculation(row.rounds)} if way.name == OURS and way.drafted else {})


def _speed(row: SpecRow, times: Sequence[float]) -> float:
    return 1000 * row.tokens / median(times)


def ratios(a: SpecRow | None, b: SpecRow) -> dict[str, float] | None:
    """Medians over the rounds of the time of `a` by that of `b`."""
    if a is None:
        return None
    pairs = {"decoder": (a.decoder, b.decoder), "total": (a.total, b.total)}
    return {name: median(x / y for x, y in zip(*both, strict=False) if y) for name, both in pairs.items()}


def _same(row: SpecRow, reference: SpecRow | None) -> float | None:
    """Share of the windows with the very tokens of ours, plain, in the same dtype; below 1 if any run differed."""
    if reference is None or not row.ids:
        return None
    pairs = [
        (mine, theirs)
        for group, other in zip(row.ids, reference.ids, strict=True)
        for mine, theirs in zip(group, other, strict=True)
    ]
    share = sum(list(mine) == list(theirs) for mine, theirs in pairs) / len(pairs)
    return 0.0 if row.other_ids and row.way.name == OURS else share


def differing(report: Mapping[str, Any]) -> list[str]:
    """Where a draft changed what we say: a failed check, a sentence each."""
    return [
        f"batch {row['batch']}, {row['dtype']}: {1 - row['same_tokens']:.1%} of the windows differ with a draft"
        for row in report["rows"]
        if row["name"] == OURS and row.get("same_tokens") is not None and row["same_tokens"] < 1
    ]
