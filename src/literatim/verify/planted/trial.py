"""One run of `verify` on the fake npu, with a fault in it or as a right device that differs, and what came of it."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import torch

from literatim.verify.fake_npu import plant
from literatim.verify.planted.catalogue import Case
from literatim.verify.planted.families import Family
from literatim.verify.planted.variations import Variation
from literatim.verify.run import Prepared, check
from literatim.verify.types import FAIL, Report

_SUSPECTS = 3  # named in a result


@dataclass(frozen=True)
class Clean:
    """A right device, in a dtype."""

    variation: Variation
    dtype: str


Trial = Case | Clean


def run_trial(prepared: Prepared, family: Family, trial: Trial) -> dict[str, Any]:
    """What `verify` says of the device, for JSON; with a fault, also how large it was and whether it was found."""
    begun = time.perf_counter()
    found = _clean(prepared, trial) if isinstance(trial, Clean) else _faulty(prepared, family, trial)
    return {**found, "seconds": round(time.perf_counter() - begun, 2)}


def _clean(prepared: Prepared, trial: Clean) -> dict[str, Any]:
    with trial.variation.planted():
        report = check(prepared, torch.device("npu", 0))
    return {"device": trial.variation.name, "settings": asdict(trial.variation), "dtype": trial.dtype, **_said(report)}


def _faulty(prepared: Prepared, family: Family, case: Case) -> dict[str, Any]:
    """On an Ascend's convolutions, which are in HF32 by default."""
    strike = case.strike(family.sites())
    with ExitStack() as stack:
        stack.enter_context(Variation(hf32=True).planted())
        stack.enter_context(plant(strike))
        report = check(prepared, torch.device("npu", 0))
    suspects = [suspect.module for suspect in report.verdict.suspects]
    return {
        "kind": case.kind.name,
        "magnitude": case.magnitude,
        "unit": case.kind.unit,
        "period": case.period,
        "site": case.site,
        "dtype": case.dtype,
        "seed": case.seed,
        "hits": strike.hits,
        "hit": sorted(strike.hit)[:20],
        "relative": _finite(strike.effect.relative),
        "ratio": _finite(strike.effect.ratio),
        "caught": report.verdict.status == FAIL,
        "located": bool(suspects) and suspects[0] in strike.hit and report.verdict.status == FAIL,
        **_said(report),
    }


def _said(report: Report) -> dict[str, Any]:
    verdict = report.verdict
    suspects = [f"{item.module} {item.op} {item.ratio:.3g}" for item in verdict.suspects[:_SUSPECTS]]
    return {"status": verdict.status, "reasons": list(verdict.reasons), "suspects": suspects}


def _finite(number: float) -> float | None:
    """JSON has no infinity."""
    return float(f"{number:.4g}") if math.isfinite(number) else None
