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
@click.option(
    "--rounds", type=click.IntRange(0), default=5, show_default=True, help="Of measuring what times of words cost."
)
@JSON
@OUT
@flags(LoadOptions, HubOptions)
def words(model: str, limit: int | None, rounds: int, out: Path | None, as_json: bool, **values: Any) -> None:
    """Compare the times of words with the true ones, on the bundled clips and recordings, and say what they cost.

    They are synthetic speech, whose word times are known. Only words that were heard right are measured.
    """
    how = {**chosen(LoadOptions, values), **chosen(HubOptions, values)}
    devices.import_torch()
    from literatim.bench import words as bench
    from literatim.bench import words_cost

    def tell(text: str) -> None:
        click.echo(text, err=True)

    recognizer, recordings = load(model, how), list(bench.known())[:limit]
    found = bench.run(recognizer, recordings, tell)
    show(bench.table(found))
    if rounds:
        long = [recording for recording in recordings if recording.kind.startswith("recording")]
        found["cost"] = words_cost.run(recognizer, long or recordings, rounds, tell)
        show(words_cost.table(found["cost"]))
    deliver(found, out, as_json)
