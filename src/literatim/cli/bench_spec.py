"""`literatim bench spec`: decoding with and without a draft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from literatim.bench.runners import peers
from literatim.cli.bench_common import JSON, OUT, Names, Shape, Sizes, deliver, drawing, show

SHAPES = ("tiny", "base", "small", "large-v2")
DTYPES = ("float32", "float16", "bfloat16")


@click.command()
@click.argument("model", required=False)
@click.option("--assistant", help="Draft of MODEL [default: one that is known and on this disk].")
@click.option("--shape", type=Shape(SHAPES), help="Random weights in a released shape, with planted acceptance.")
@click.option("--acceptance", type=float, help="Share of right proposals in a --shape [default: 0.8].")
@click.option(
    "--draft_layers", "--draft-layers", type=click.IntRange(1), help="Of a --shape's draft [default: 1 or 2]."
)
@click.option("--draft_words", "--draft-words", "words", type=click.IntRange(0), help="Text ids it proposes; 0: all.")
@click.option("--batch", "batches", type=Sizes(), help="Windows decoded together [default: 1,2,4,8,16,32].")
@click.option("--dtype", "dtypes", type=Names(DTYPES), help="Of ours; peers have their own [default: float32].")
@click.option("--peer", "--peers", "peers", type=Names(peers(), "none"), help="Programs beside ours [default: none].")
@click.option("--tokens", type=click.IntRange(2), help="New tokens of a window of a --shape [default: 100].")
@click.option(
    "--num_assistant_tokens",
    "--num-assistant-tokens",
    type=click.IntRange(1, 16),
    help="Always propose so many tokens [default: what pays].",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first so many clips.")
@click.option("--warmup", type=click.IntRange(1), help="Untimed runs with a draft [default: 2].")
@click.option("--iterations", "--repeats", "iterations", type=click.IntRange(1), help="Rounds [default: 5].")
@click.option("--seconds", type=click.FloatRange(0), help="Begin no new round after so long; one is always made.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Longest answer, in seconds [default: 1800].")
@click.option("--threads", type=click.IntRange(1), help="Threads of every program [default: all cores].")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, npu, mps or xpu, with an index.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random weights, made-up sound and errors.")
@JSON
@OUT
def spec(out: Path | None, as_json: bool, **values: Any) -> None:
    """Time decoding with a draft beside plain decoding, by turns in one run, and compare every token.

    MODEL (demo) and its assistant decode 73 bundled clips, English and Dutch, of test sets that the bundled models were
    not trained on. With --shape the weights are random, the draft's cost is real, and its acceptance is planted:
    errors are laid out as demo-draft's were. large-v2 is a decoder alone. With --out FILE.json a drawing FILE.svg is
    made beside it. Exit code 1 if any token differs.
    """
    from literatim.bench import spec as bench
    from literatim.bench import spec_report, spec_rows
    from literatim.bench.spec_subject import Plan

    plan = Plan(**{name: value for name, value in values.items() if value is not None})
    found = bench.run(plan, lambda text: click.echo(text, err=True))
    for table in spec_report.tables(found):
        show(table)
    deliver(found, out, as_json)
    if out is not None:
        drawing(found, out, "literatim.bench.spec_draw")
    failures = spec_rows.differing(found)
    for sentence in failures:
        click.echo(sentence, err=True)
    raise click.exceptions.Exit(1 if failures else 0)
