"""`literatim bench dictation` on a network of two layers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from literatim.bench import dictation as bench
from literatim.cli.bench_dictation import dictation
from literatim.errors import ModelFormatError
from whisper_builders import random_whisper_folder

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # transformers'


def test_a_report(tmp_path: Path) -> None:
    """Both programs, both works, all dtypes; the steps are transformers' and say many tokens."""
    out = tmp_path / "report.json"
    given = ["--shape", "micro", "--rounds", "2", "--batch", "2", "--dtype", "float32,bfloat16", "--out", str(out)]
    done = CliRunner().invoke(dictation, given)
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    assert [(row["work"], row["dtype"]) for row in found["results"]] == [
        ("43.8 s at once", "float32"),
        ("2 windows of 20 s", "float32"),
        ("43.8 s at once", "bfloat16"),
        ("2 windows of 20 s", "bfloat16"),
    ]
    assert [row["steps"] for row in found["results"][:2]] == [1092, 2 * 497]
    assert [row["steps_equal"] for row in found["results"][:2]] == [1.0, 1.0]
    assert all(row["tokens"] > 10 for row in found["results"])
    for row in found["results"]:
        ours, theirs = (row["seconds"][name] for name in ("literatim", "transformers"))
        assert len(ours["all"]) == len(theirs["all"]) == 2
        assert row["ratio"][0] == pytest.approx(ours["median"] / theirs["median"])
    shown = bench.table(found).plain()
    assert re.search(r"2 windows of 20 s +bfloat16 +[\d.]+ +[\d.]+ +[\d.]+ \[", shown)
    assert "22.29 ms (Ascend 910)" in shown


def test_steps_that_differ_are_told() -> None:
    """In float32 alone: other dtypes round. What neither program tells apart is a note, and no failure."""
    rows = [
        {"work": work, "dtype": dtype, "steps_equal": 0.99, "furthest": furthest}
        for work, dtype, furthest in (("a", "float32", 0.03), ("b", "bfloat16", 0.03), ("c", "float32", 1e-6))
    ]
    told = "a: 1.00 % of the steps are not transformers' in float32; its logit of what ours says is up to 0.03 lower"
    assert bench.differing({"results": rows}) == [told]
    lost = {**rows[0], "dtype": "float32", "furthest": float("nan")}
    assert len(bench.differing({"results": [lost]})) == 1
    assert bench._ties({"results": rows}) == [
        "c, float32: where ours differs, transformers' logits of both are 1e-06 apart."
    ]


def test_agreement() -> None:
    logits = torch.tensor([[[0.0, 3.0, 1.0], [2.0, 1.5, 0.0]], [[5.0, 4.0, 3.0], [0.0, 0.0, 1.0]]])
    found = bench.agreement(torch.tensor([[1, 1], [0, 2]]), logits)
    assert found == {"steps": 4, "steps_equal": 0.75, "furthest": 0.5, "tokens": 3}
    assert bench.agreement(torch.tensor([[1, 0], [0, 2]]), logits)["furthest"] == 0


def test_another_model_is_refused(tmp_path: Path) -> None:
    """In words."""
    folder = random_whisper_folder(tmp_path / "model", 1)
    with pytest.raises(ModelFormatError, match="not of MedASR"):
        bench.run(bench.Plan(str(folder), rounds=1), tmp_path, lambda _: None)
