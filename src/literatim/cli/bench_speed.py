"""`literatim bench speed`: time beside the peers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim.bench.runners import peers
from literatim.cli.bench_common import JSON, OUT, Names, Shape, Sizes, deliver, drawing, show

if TYPE_CHECKING:
    from literatim.bench.plan import Plan

SHAPES = ("tiny", "base", "small", "demo")
PRESETS = ("whisper-tiny", "whisper-base", "whisper-small")
PEERS = peers()
DTYPES = ("float32", "float16", "bfloat16", "int8")


_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("model", required=False)
@click.option("--preset", type=click.Choice(PRESETS), help="A published table: its plan, and its figures beside ours.")
@click.option("--shape", type=Shape(SHAPES), help="Random weights in a released shape, or demo [default: tiny].")
@click.option("--batch", "batches", type=Sizes(), help="Windows decoded together [default: 1,8].")
@click.option("--dtype", "dtypes", type=Names(DTYPES), help="Of all runners [default: float32,bfloat16,int8].")
@click.option("--peer", "--peers", "peers", type=Names(PEERS, "none"), help=f"Or none [default: {','.join(PEERS)}].")
@click.option("--settings", type=click.Choice(("best", "default", "both")), help="Of the peers [default: best].")
@click.option("--tokens", type=click.IntRange(1), help="New tokens of each window [default: 100].")
@click.option("--warmup", type=click.IntRange(1), help="Untimed runs, the first one among them [default: 1].")
@click.option("--iterations", "--repeats", "iterations", type=click.IntRange(1), help="Rounds [default: 5].")
@click.option("--seconds", type=click.FloatRange(0), help="Begin no new round after so long; one is always made.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Longest answer, in seconds [default: 1800].")
@click.option("--threads", type=click.IntRange(1), help="Threads of every runner [default: all cores].")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, npu, mps or xpu, with an index.")
@click.option(
    "--precision",
    type=click.Choice(("default", "highest")),
    default="default",
    show_default=True,
    help="highest: no TF32, HF32 or internal formats.",
)
@click.option("--audio", type=_FILE, help="Recording the windows are cut from [default: bundled, or made-up sound].")
@click.option("--reference", type=_FILE, help="Its words, text or JSON: the word error rate is measured as well.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random weights and the sound.")
@click.option("--assistant", help="Draft of MODEL, for ours and transformers; the other programs use none.")
@JSON
@OUT
def speed(out: Path | None, as_json: bool, **values: Any) -> None:
    """Time a window of MODEL beside the peers, by turns in one run.

    All have the same weights, sound, threads and number of tokens. MODEL is a short name, a Hugging Face id, a folder
    or demo; without one, random weights in the shape of tiny. Each runner has a process of its own, and its own
    environment where `make bench-peers` made one. With --out FILE.json a drawing FILE.svg and a page FILE.html are made
    beside it. Exit code 1 if transformers says other tokens than literatim in float32.
    """
    from literatim.bench import rows, speed, speed_report

    plan = _plan(values)
    found = speed.run(plan, lambda text: click.echo(text, err=True))
    for table in speed_report.tables(found):
        show(table)
    deliver(found, out, as_json)
    if out is not None:
        _pages(found, out)
    failures = rows.differing(found)
    for sentence in failures:
        click.echo(sentence, err=True)
    raise click.exceptions.Exit(1 if failures else 0)


def _plan(values: dict[str, Any]) -> Plan:
    """What was given, else what the preset says, else the plan's defaults."""
    from literatim.bench.plan import Plan
    from literatim.bench.presets import PRESETS as PLANS

    given = {name: value for name, value in values.items() if value is not None}
    preset = PLANS.get(given.get("preset", ""))
    if preset is None:
        return Plan(**{"peers": PEERS, **given})
    shape = {} if "model" in given else {"shape": preset.shape}
    return Plan(**{"peers": PEERS, **shape, **preset.options, **given})


def _pages(found: dict[str, Any], out: Path) -> None:
    """The drawing and the page beside the report."""
    from literatim.bench.speed_page import page

    svg, html = drawing(found, out, "literatim.bench.speed_draw"), out.with_suffix(".html")
    html.write_text(page(found, svg.read_text(encoding="utf-8") if svg else None), encoding="utf-8")
    click.echo(f"wrote {html}", err=True)
