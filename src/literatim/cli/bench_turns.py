"""`literatim bench turns`: who speaks when in recordings of hours, in time and memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from literatim import device as devices
from literatim.cli.bench_common import JSON, OUT, Names, Shape, deliver, show

DTYPES = ("float32", "float16", "bfloat16")


@click.command()
@click.argument("model", required=False)
@click.option("--shape", type=Shape(("resnet34",)), default="resnet34", show_default=True, help="Of random weights.")
@click.option("--minutes", default="10,60", show_default=True, help="Lengths of the recordings, with commas.")
@click.option("--dtype", "dtypes", type=Names(DTYPES), default="bfloat16,float32", show_default=True, help="Of each.")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, npu, mps or xpu, with an index.")
@click.option("--threads", type=click.IntRange(1), help="On a CPU [default: one for each core].")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random weights and of the sound.")
@JSON
@OUT
def turns(as_json: bool, out: Path | None, minutes: str, **values: Any) -> None:
    """Time who speaks when in recordings of hours, from file to turns, and count the memory.

    MODEL is demo-speaker, resnet34-lm or a folder; without one, random weights in the released shape. The recordings
    are the bundled clips in room tone.
    """
    lengths = tuple(int(item) if item.isdecimal() else 0 for item in minutes.split(","))
    if not all(lengths):
        raise click.BadParameter(f"{minutes!r} is no list of minutes; write 10,60", param_hint="--minutes")
    devices.import_torch()
    from literatim.bench import turns as bench

    with tempfile.TemporaryDirectory() as scratch:
        found = bench.run(bench.Plan(minutes=lengths, **values), Path(scratch), lambda text: click.echo(text, err=True))
    show(bench.table(found))
    deliver(found, out, as_json)
