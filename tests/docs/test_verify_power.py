"""What the docs say of the power of `verify` is what the committed runs of its self-test add up to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from literatim import hub
from literatim.options import HubOptions
from literatim.verify.planted.catalogue import EVERYWHERE, KINDS
from literatim.verify.planted.families import family
from literatim.verify.planted.selftest import sentences, summary

DOCS = Path(__file__).parents[2] / "docs"
REPORTS = {"demo": "self-test.json", "demo-medical": "self-test-medasr.json", "demo-speaker": "self-test-voices.json"}


@pytest.fixture(scope="module", params=REPORTS)
def report(request: pytest.FixtureRequest) -> Any:
    found = json.loads((DOCS / "verify" / REPORTS[request.param]).read_text("utf-8"))
    assert found["model"] == request.param
    return found


def test_the_figures_follow_from_the_runs(report: Any) -> None:
    found = json.loads(json.dumps(summary(report["runs"])))
    assert {name: report[name] for name in found} == found


def test_the_docs_say_them(report: Any) -> None:
    text = " ".join((DOCS / "verify.md").read_text("utf-8").split())
    for sentence in sentences(report):
        assert sentence in text


def test_all_kinds_were_planted_in_every_dtype_and_devices_enough_were_tried(report: Any) -> None:
    runs = report["runs"]
    places = family(hub.resolve(report["model"], HubOptions())).places
    kinds = {kind.name for kind in KINDS if kind.at in {EVERYWHERE, *places}}
    assert f"{len(kinds)} kinds of faults" in (DOCS / "verify.md").read_text("utf-8")
    for dtype in ("float32", "bfloat16", "float16"):
        assert {row["kind"] for row in runs if "kind" in row and row["dtype"] == dtype} == kinds
    clean = [row for row in runs if "kind" not in row]
    assert len(clean) >= 200
    assert len({row["device"] for row in clean}) > 100
