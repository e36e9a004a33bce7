"""What the docs say of the power of `verify` is what the committed runs of its self-test add up to."""

from __future__ import annotations

import json
from pathlib import Path

from literatim.verify.planted.catalogue import KINDS
from literatim.verify.planted.selftest import sentences, summary

DOCS = Path(__file__).parents[2] / "docs"
REPORT = json.loads((DOCS / "verify" / "self-test.json").read_text("utf-8"))


def test_the_figures_follow_from_the_runs() -> None:
    found = json.loads(json.dumps(summary(REPORT["runs"])))
    assert {name: REPORT[name] for name in found} == found


def test_the_docs_say_them() -> None:
    text = " ".join((DOCS / "verify.md").read_text("utf-8").split())
    for sentence in sentences(REPORT):
        assert sentence in text


def test_all_kinds_were_planted_in_every_dtype_and_devices_enough_were_tried() -> None:
    runs = REPORT["runs"]
    kinds = {kind.name for kind in KINDS}
    for dtype in ("float32", "bfloat16", "float16"):
        assert {row["kind"] for row in runs if "kind" in row and row["dtype"] == dtype} == kinds
    clean = [row for row in runs if "kind" not in row]
    assert len(clean) >= 200
    assert len({row["device"] for row in clean}) > 100
