"""`literatim bench long`: long recordings beside the peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from literatim.cli.bench_common import JSON, OUT, Names, Shape, Sizes, deliver, drawing, show

SHAPES = ("tiny", "base", "small")
PEERS = ("faster-whisper", "transformers")
WAYS = ("sequential", "batched-8", "batched-16", "chunked-8")
DTYPES = ("float32", "float16", "bfloat16", "int8")


@click.command("long")
@click.argument("model", required=False)
@click.option("--shape", type=Shape(SHAPES), help="Random weights in a released shape instead of a MODEL.")
@click.option("--minutes", type=click.FloatRange(0.3), help="Of speech in room tone [default: 60].")
@click.option("--silence", type=click.FloatRange(2), help="Seconds of each sound that is no speech [default: 30].")
@click.option("--peer", "--peers", "peers", type=Names(PEERS, "none"), help=f"Or none [default: {','.join(PEERS)}].")
@click.option("--way", "--ways", "ways", type=Names(WAYS), help="Only these ways of each program [default: all].")
@click.option("--dtype", "dtypes", type=Names(DTYPES), help="Of all programs that have it [default: float32].")
@click.option("--tokens", type=click.IntRange(1), help="New tokens of each window of a --shape [default: 100].")
@click.option("--memory", "lengths", type=Sizes(), help="Minutes, as in 10,600: only our peaks of memory, by length.")
@click.option("--rounds", "--iterations", "rounds", type=click.IntRange(1), help="Turns of each way [default: 1].")
@click.option("--threads", type=click.IntRange(1), help="Threads of every program [default: all cores].")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Longest answer, in seconds [default: 7200].")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, npu, mps or xpu, with an index.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random weights and of the recording.")
@JSON
@OUT
def long(out: Path | None, as_json: bool, **values: Any) -> None:
    """Transcribe a long recording in every way, in turns, each in a process of its own.

    The recording is made of the bundled clips in room tone, its words are known; sounds in which nobody speaks follow.
    MODEL is demo, a short name, a Hugging Face id or a folder [default: demo]. With --shape the weights are random and
    each window has the same number of tokens, with fallback and thresholds off on all sides. With --out FILE.json a
    drawing FILE.svg is made beside it.
    """
    from literatim.bench.long import memory, report, run

    lengths = values.pop("lengths")
    given = {name: value for name, value in values.items() if value is not None}
    model = {} if "model" in given or "shape" in given else {"model": "demo"}
    plan = run.Plan(**{"peers": PEERS, **model, **given})
    if lengths is not None:
        peaks = memory.run(plan, lengths, _tell)
        show(memory.table(peaks))
        deliver(peaks, out, as_json)
        return
    found = run.run(plan, _tell)
    for table in report.tables(found):
        show(table)
    deliver(found, out, as_json)
    if out is not None:
        drawing(found, out, "literatim.bench.long.draw")


def _tell(text: str) -> None:
    click.echo(text, err=True)
