"""`literatim bench mixed`: languages that take turns in a recording."""

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
@click.option("--minutes", type=click.FloatRange(0.3), default=10.0, show_default=True, help="Of the recording.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the recording.")
@JSON
@OUT
@flags(LoadOptions, HubOptions)
def mixed(model: str, minutes: float, seed: int, out: Path | None, as_json: bool, **values: Any) -> None:
    """Errors with and without --multilingual on a recording of English and Dutch sentences in turn.

    It is made of the bundled clips in room tone.
    """
    how = {**chosen(LoadOptions, values), **chosen(HubOptions, values)}
    devices.import_torch()
    from literatim.bench import mixed as bench

    found = bench.run(load(model, how), minutes, seed, lambda text: click.echo(text, err=True))
    show(bench.table(found))
    deliver(found, out, as_json)
