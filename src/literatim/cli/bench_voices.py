"""`literatim bench voices`: networks for voices beside other programs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from literatim import device as devices
from literatim.cli.bench_common import JSON, OUT, Names, Shape, deliver, show

DTYPES = ("float32", "float16", "bfloat16")
PROGRAMS = ("literatim", "torch", "onnxruntime", "openvino")


@click.command()
@click.argument("model", required=False)
@click.option("--shape", type=Shape(("resnet34",)), default="resnet34", show_default=True, help="Of random weights.")
@click.option("--work", "works", default="1x200,16x200", show_default=True, help="Batches x frames, with commas.")
@click.option("--programs", type=Names(PROGRAMS), help="Which to compare [default: those that are installed].")
@click.option("--dtype", "dtypes", type=Names(DTYPES), default="float32,bfloat16", show_default=True, help="Of each.")
@click.option("--rounds", type=click.IntRange(1), default=11, show_default=True, help="Each runs once in a round.")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, npu, mps or xpu, with an index.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random weights and frames.")
@JSON
@OUT
def voices(as_json: bool, out: Path | None, works: str, **values: Any) -> None:
    """Time the vectors of batches of windows beside torch alone, onnxruntime and OpenVINO.

    MODEL is resnet34-lm or a folder; without one, random weights in the released shape. Frames are given: the front end
    is not in the times. A dtype counts where each vector has a cosine of 0.9999 to float32's.
    """
    devices.import_torch()
    from literatim.bench import voices as bench

    plan = bench.Plan(works=tuple(dict.fromkeys(works.split(","))), **values)
    with tempfile.TemporaryDirectory() as scratch:
        found = bench.run(plan, Path(scratch), lambda text: click.echo(text, err=True))
    show(bench.table(found))
    deliver(found, out, as_json)
