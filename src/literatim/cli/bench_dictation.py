"""`literatim bench dictation`: MedASR beside transformers."""

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
@click.option("--shape", type=Shape(("medasr",)), default="medasr", show_default=True, help="Of random weights.")
@click.option("--dtype", "dtypes", type=Names(DTYPES), default="float32,bfloat16", show_default=True, help="Of both.")
@click.option("--batch", type=click.IntRange(1, 256), default=8, show_default=True, help="Windows of 20 s together.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Each runs once in a round.")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, npu, mps or xpu, with an index.")
@click.option("--audio", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Else sound is made up.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random weights and the sound.")
@JSON
@OUT
def dictation(as_json: bool, out: Path | None, **values: Any) -> None:
    """Time a dictation of 43.8 s at once, and windows of 20 s together, beside transformers.

    MODEL is medasr or a folder; without one, random weights in the released shape. Exit code 1 if a step says in
    float32 what transformers finds less likely by more than 1e-4 of a logit.
    """
    devices.import_torch()
    from literatim.bench import dictation as bench

    plan = bench.Plan(**values)
    with tempfile.TemporaryDirectory() as scratch:
        found = bench.run(plan, Path(scratch), lambda text: click.echo(text, err=True))
    show(bench.table(found))
    deliver(found, out, as_json)
    failures = bench.differing(found)
    for sentence in failures:
        click.echo(sentence, err=True)
    raise click.exceptions.Exit(1 if failures else 0)
