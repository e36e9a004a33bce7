"""`literatim bench voices` on a small network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from literatim.bench import voices as bench
from literatim.bench import voices_peers
from literatim.cli.bench_voices import PROGRAMS, voices
from literatim.errors import DependencyError, OptionError
from literatim.models.speaker_checkpoint import load_speaker_net
from speaker_builders import DEEP, SMALL, random_speaker_folder

CPU = torch.device("cpu")
OURS = "literatim,torch"


def test_a_report(tmp_path: Path) -> None:
    """Both programs, both works, both dtypes, and the ratio of the best."""
    out = tmp_path / "report.json"
    given = ["--shape", "micro", "--work", "1x40,2x30", "--rounds", "3", "--programs", OURS, "--out", str(out)]
    done = CliRunner().invoke(voices, given)
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    assert [(row["work"], row["program"], row["dtype"]) for row in found["results"]] == [
        (work, program, dtype)
        for work in ("1x40", "2x30")
        for program in ("literatim", "torch")
        for dtype in ("float32", "bfloat16")
    ]
    assert all(len(row["seconds"]["all"]) == 3 for row in found["results"])
    assert all(row["cosine"] > 0.999999 for row in found["results"] if row["dtype"] == "float32")
    assert all(0.99 < row["cosine"] < 0.999999999 for row in found["results"] if row["dtype"] == "bfloat16")
    ours, theirs, ratio = bench.compared(found, "1x40") or ("", "", ())
    assert ours in {"float32", "bfloat16"}
    assert theirs.startswith("torch in ")
    assert ratio[1] <= ratio[0] <= ratio[2]
    assert "ours in" in bench.table(found).plain()


def test_the_best_are_compared_where_their_vectors_are_right() -> None:
    """Our time by theirs, below 1 where ours is faster; who is fast and wrong does not count."""
    times = {
        ("literatim", "float32"): (0.004, 1.0),
        ("literatim", "bfloat16"): (0.002, 0.99995),
        ("literatim", "float16"): (0.001, 0.9998),
        ("torch", "float32"): (0.008, 1.0),
        ("torch", "bfloat16"): (0.003, 0.99),
        ("openvino", "float32"): (0.016, 1.0),
    }
    rows = [
        {"work": "4x200", "program": name, "dtype": dtype, "seconds": {"median": s, "all": [s] * 3}, "cosine": cosine}
        for (name, dtype), (s, cosine) in times.items()
    ]
    report = {"results": rows, "settings": {"rounds": 3, "device": "cpu"}, "weights": "random", "model": "micro"}
    assert bench.compared(report, "4x200") == ("bfloat16", "torch in float32", pytest.approx((0.25, 0.25, 0.25)))
    shown = bench.table(report).plain()
    assert "ours in bfloat16 took 0.25 [0.25, 0.25] of torch in float32" in shown
    lines = {tuple(line.split()[1:3]): line.split()[3:] for line in shown.splitlines() if line.startswith("4x200 ")}
    assert lines["literatim", "bfloat16"] == ["2.00", "2000", "0.999950"]
    assert lines["literatim", "float16"][2:] == ["0.999800", "(not", "counted)"]


def test_published_figures_stand_beside_ours(tmp_path: Path) -> None:
    plan = bench.Plan(shape="micro", works=("16x200",), programs=("literatim",), dtypes=("float32",), rounds=1)
    shown = bench.table(bench.run(plan, tmp_path, lambda _: None)).plain()
    assert "5.808 ms" in shown
    assert "took" not in shown  # nobody is there to be compared with


@pytest.mark.parametrize("config", [SMALL, DEEP], ids=["basic", "bottleneck"])
def test_what_is_exported_is_the_same_network(tmp_path: Path, config: bench.SpeakerConfig) -> None:
    net = load_speaker_net(random_speaker_folder(tmp_path, 3, config), torch.float32, CPU)
    frames = torch.randn(2, 60, config.n_mels, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(voices_peers.Plain(net)(frames), net(frames), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("program", ["onnxruntime", "openvino"])
def test_other_programs(tmp_path: Path, program: str) -> None:
    """Where they are installed they give the same vectors; where not, it is said what to install."""
    folder = bench.write(bench.SHAPES["micro"], tmp_path / "model")
    frames = torch.randn(2, 40, 80, generator=torch.Generator().manual_seed(0))
    if voices_peers.lacking(program):
        with pytest.raises(DependencyError, match=f"pip install .*{program}"):
            voices_peers.load(program, folder, "float32", CPU, frames)
        return
    wanted = voices_peers.load("torch", folder, "float32", CPU, frames)(frames)
    found = voices_peers.load(program, folder, "float32", CPU, frames)(frames)
    assert float(torch.cosine_similarity(found, wanted).min()) > 0.99999


def test_dtypes_of_each_program() -> None:
    """float16 on a CPU is float32's arithmetic and not measured; others than torch are measured on the CPU alone."""
    asked = ("float32", "float16", "bfloat16")
    cuda = torch.device("cuda")
    assert [voices_peers.dtypes(name, asked, CPU) for name in PROGRAMS] == [
        ("float32", "bfloat16"),
        ("float32", "bfloat16"),
        ("float32",),
        ("float32", "bfloat16"),
    ]
    assert [voices_peers.dtypes(name, asked, cuda) for name in PROGRAMS] == [asked, asked, (), ()]
    assert PROGRAMS == voices_peers.PROGRAMS


@pytest.mark.parametrize("work", ["16", "x200", "0x200", "16x", "axb"])
def test_works_that_are_none(work: str) -> None:
    with pytest.raises(OptionError, match="16x200"):
        bench.sizes(work)
