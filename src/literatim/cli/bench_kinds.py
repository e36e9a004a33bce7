"""`literatim bench kinds`: how many kernels a long recording needs of a device that compiles one for each shape."""

from __future__ import annotations

from pathlib import Path

import click

from literatim import device as devices
from literatim.cli.bench_common import JSON, OUT, Names, deliver, show

NAMES = ("sequential", "chunked", "batched")


@click.command()
@click.option("--model", default="demo", show_default=True, help="Short name, Hugging Face id, folder or demo.")
@click.option("--minutes", type=click.FloatRange(1, 600), default=60, show_default=True, help="Of the recording.")
@click.option("--batch_size", "--batch-size", "rows", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option("--strategy", "strategies", type=Names(NAMES), default=",".join(NAMES), show_default=True, help="Some.")
@JSON
@OUT
def kinds(model: str, minutes: float, rows: int, strategies: tuple[str, ...], as_json: bool, out: Path | None) -> None:
    """Decode the bundled recordings over and over on a fake npu, and count the kinds of calls it is given.

    A kind is an operation with the shapes and dtypes of its tensors; some Ascend devices compile a kernel for each.
    """
    devices.import_torch()
    from literatim.verify import fake_npu

    fake_npu.install(devices=1)
    from literatim.api import load
    from literatim.bench import kinds as bench

    recognizer = load(model, device="npu", dtype="float32", assistant="none")
    found = bench.run(recognizer, minutes, rows, strategies, lambda text: click.echo(text, err=True))
    show(bench.table(found))
    deliver(found, out, as_json)
