"""`literatim bench words`: how far the times of words are from the true ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from literatim import device as devices
from literatim.cli.bench_common import JSON, OUT, deliver, show
from literatim.cli.flags import chosen, flags
from literatim.cli.recognizer import load
from literatim.options import HubOptions, LoadOptions


@click.command()
@click.option("--model", default="demo", show_default=True, help="Short name, Hugging Face id, folder or demo.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many recordings.")
@JSON
@OUT
@flags(LoadOptions, HubOptions)
def words(model: str, limit: int | None, out: Path | None, as_json: bool, **values: Any) -> None:
    """Compare the times of words with the true ones, on the bundled clips and recordings.

    They are synthetic speech, whose word times are known. Only words that were heard right are measured.
    """
    how = {**chosen(LoadOptions, values), **chosen(HubOptions, values)}
    devices.import_torch()
    from literatim.bench import words as bench

    recognizer = load(model, how)
    found = bench.run(recognizer, list(bench.known())[:limit], lambda text: click.echo(text, err=True))
    show(bench.table(found))
    deliver(found, out, as_json)
