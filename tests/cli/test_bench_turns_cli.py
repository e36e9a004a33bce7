"""`literatim bench turns` on a small network and a short recording."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from literatim.bench import turns as bench
from literatim.cli.bench_turns import turns
from literatim.errors import ModelFormatError
from whisper_builders import random_whisper_folder


def test_a_report(tmp_path: Path) -> None:
    """Both dtypes hear the recording; their vectors are compared with float32's."""
    out = tmp_path / "report.json"
    given = ["--shape", "micro", "--minutes", "1", "--threads", "1", "--out", str(out)]
    done = CliRunner().invoke(turns, given)
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    assert [(row["minutes"], row["dtype"]) for row in found["rows"]] == [(1, "bfloat16"), (1, "float32")]
    for row in found["rows"]:
        assert row["seconds"] > 0
        assert row["speakers"] >= 1
        assert 20 < row["speech"] < 60
    cosines = found["cosines"]
    assert cosines["float32"]["windows"] == cosines["bfloat16"]["windows"] > 100
    assert cosines["float32"]["least"] > 0.999999
    assert 0.9 < cosines["bfloat16"]["least"] < cosines["bfloat16"]["mean"] < 0.9999999
    assert "times real time" in bench.table(found).plain()


def test_the_table_counts_in_seconds_of_sound() -> None:
    row = {"minutes": 10, "dtype": "float32", "seconds": 5.0, "speakers": 2, "beyond": 123_456_789}
    report = {"rows": [row], "cosines": {"float32": {"least": 1.0}}, "settings": {"device": "cpu"}}
    (line,) = bench.table({**report, "model": "micro", "weights": "random"}).rows
    assert line == ("10", "float32", "5.0", "120", "2", "123", "1.000000")


def test_lengths_that_are_none() -> None:
    done = CliRunner().invoke(turns, ["--minutes", "10,an hour"])
    assert done.exit_code == 2
    assert "write 10,60" in done.output


def test_another_model_is_refused(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path / "model", 1)
    with pytest.raises(ModelFormatError, match="no network for voices"):
        bench.run(bench.Plan(str(folder)), tmp_path, lambda _: None)
