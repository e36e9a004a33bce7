"""Two runs of `verify` on one model: what is worse now, what is better, what changed without being either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from literatim.errors import OptionError
from literatim.provenance.differences import differences, sentences
from literatim.verify.grades import GRADES
from literatim.verify.tokens import first_difference
from literatim.verify.types import FAIL, PASS, WARN, ModuleFigures, Report

GROWN = 3.0  # times the ratio or the error before; other kernels for the same product move it by less
_STATES = (PASS, WARN, FAIL)


@dataclass(frozen=True)
class Baseline:
    """Sentences; `changed` has other letters and places that only one of them has, `differs` how they were made."""

    worse: tuple[str, ...]
    better: tuple[str, ...]
    changed: tuple[str, ...]
    differs: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of them, the worst first; one sentence where nothing moved."""
        groups = (("worse than", self.worse), ("changed since", self.changed), ("better than", self.better))
        found = [f"{name} the baseline: {item}" for name, items in groups for item in items]
        return (*(found or ["as the baseline"]), *self.differs)


def compare(before: Report, now: Report) -> Baseline:
    """What moved from one run to another. OptionError where they are not of one model in one dtype."""
    belongs(before, _weights(now), now.dtype)
    old, new = ({place.name: place for place in report.modules} for report in (before, now))
    both = [(old[name], place) for name, place in new.items() if name in old]
    return Baseline(
        worse=(*_status(before, now), *_places(both), *_figures(before, now)),
        better=(*_status(now, before), *_places([(new, old) for old, new in both]), *_figures(now, before)),
        changed=(*_letters(before, now), *_only(old, new, "is new"), *_only(new, old, "is not there any more")),
        differs=tuple(sentences(differences(_made(before), _made(now)))),
    )


def belongs(before: Report, weights: str, dtype: str) -> None:
    """OptionError where a run of the model with these weights (their SHA-256) in this dtype cannot be compared."""
    for what, mine, theirs in (("model", _weights(before), weights), ("dtype", before.dtype, dtype)):
        if mine != theirs:
            raise OptionError(
                f"the baseline is of another {what} ({mine[:12]}) than this run ({theirs[:12]}); name one of the same"
            )


def _weights(report: Report) -> str:
    """The model by its weights, by its name where they are not known."""
    known = report.environment.get("model")
    return str(known["sha256"]) if isinstance(known, Mapping) else report.model


def _made(report: Report) -> dict[str, Any]:
    return {"environment": report.environment, "settings": report.settings, "device": report.device}


def _status(before: Report, now: Report) -> Iterator[str]:
    old, new = before.verdict.status, now.verdict.status
    if _STATES.index(new) > _STATES.index(old):
        yield f"the verdict, {new} against {old}"


def _places(pairs: list[tuple[ModuleFigures, ModuleFigures]]) -> Iterator[str]:
    """Those whose error has a coarser grade, or is larger by far and above the CPU's."""
    for old, new in pairs:
        if GRADES.index(new.grade) > GRADES.index(old.grade):
            yield f"{new.name}, {new.grade}-grade against {old.grade}"
        elif new.ratio > GROWN * max(old.ratio, 1.0):
            yield f"{new.name}, {new.ratio:.3g} times the CPU's error against {old.ratio:.3g}"


def _figures(before: Report, now: Report) -> Iterator[str]:
    """The whole way: errors of encoder and logits that grew, for each reference that both have."""
    old = {run.against: run for run in before.end_to_end}
    for run in now.end_to_end:
        if run.against not in old:
            continue
        other = old[run.against]
        sides = (
            ("encoder", run.encoder, other.encoder),
            ("logits", run.logits.get("raw"), other.logits.get("raw")),
            ("vectors", run.vectors, other.vectors),
        )
        for name, mine, theirs in sides:
            new, last = ((found or {}).get("relative_rms", (found or {}).get("relative")) for found in (mine, theirs))
            if new is not None and last is not None and new > GROWN * last:
                yield f"{name} against {run.against}, relative error {new:.2g} against {last:.2g}"


def _letters(before: Report, now: Report) -> Iterator[str]:
    """Clips for which the device said something else than it did before."""
    for run, other in zip(now.end_to_end[:1], before.end_to_end[:1], strict=False):
        said = {item.clip: item.device for item in other.tokens}
        for item in run.tokens:
            at = first_difference(said[item.clip], item.device) if item.clip in said else None
            if at is not None:
                yield f"{item.clip}, other letters from token {at} on"


def _only(without: Mapping[str, Any], having: Mapping[str, Any], what: str) -> Iterator[str]:
    for name in having:
        if name not in without:
            yield f"{name} {what}"
