"""`literatim bench speed`: time beside the peers."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from literatim.cli.bench_common import JSON, OUT, Names, Sizes, deliver, show

SHAPES = ("tiny", "base", "small", "demo")
PEERS = ("transformers", "faster-whisper", "openvino")
DTYPES = ("float32", "float16", "bfloat16", "int8")


class _Shape(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """One of SHAPES; `micro`, which exists for tests of the command, is not shown."""

    name = "|".join(SHAPES)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in {*SHAPES, "micro"}:
            self.fail(f"{value!r} is unknown; choose one of {', '.join(SHAPES)}", param, ctx)
        return str(value)


@click.command()
@click.option("--shape", type=_Shape(), default="tiny", show_default=True, help="Size of the model; demo: the bundled.")
@click.option("--batch", type=Sizes(), default="1,8", show_default=True, help="Windows decoded together.")
@click.option("--dtype", type=Names(DTYPES), default="float32,bfloat16,int8", show_default=True, help="Of all runners.")
@click.option("--peers", type=Names(PEERS, "none"), default=",".join(PEERS), show_default=True, help="Or none.")
@click.option("--tokens", type=click.IntRange(1), default=100, show_default=True, help="New tokens of each window.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Rounds; medians are shown.")
@click.option("--seconds", type=click.FloatRange(0), help="Begin no new round after so long; one is always made.")
@click.option("--threads", type=click.IntRange(1), help="Threads of every runner [default: all cores].")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, npu, mps or xpu.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random weights and the sound.")
@JSON
@OUT
def speed(out: Path | None, as_json: bool, **values: Any) -> None:
    """Time a window beside the peers: same weights, sound, threads and number of tokens, by turns in one run.

    Weights are random in the shape of a released model, except for demo. With --out FILE.json a drawing FILE.svg is
    made beside it. Exit code 1 if transformers says other tokens than literatim in float32.
    """
    from literatim.bench import speed as runner
    from literatim.bench.needs import quiet_transformers
    from literatim.bench.speed_report import speed_table

    plan = runner.Plan(
        shape=values["shape"],
        batches=values["batch"],
        dtypes=values["dtype"],
        peers=values["peers"],
        **{name: values[name] for name in ("tokens", "repeats", "seconds", "threads", "device", "seed")},
    )
    # peers print; standard output is for the report alone
    with redirect_stdout(sys.stderr), quiet_transformers():
        found = runner.run(plan, lambda text: click.echo(text, err=True))
    show(speed_table(found))
    deliver(found, out, as_json)
    if out is not None:
        _draw(found, out.with_suffix(".svg"))
    failures = runner.differing(found)
    for sentence in failures:
        click.echo(sentence, err=True)
    raise click.exceptions.Exit(1 if failures else 0)


def _draw(found: dict[str, Any], path: Path) -> None:
    from literatim.bench.speed_report import draw

    if importlib.util.find_spec("matplotlib") is None:
        click.echo("no drawing was made: it needs matplotlib (pip install 'literatim[bench]')", err=True)
        return
    draw(found, path)
    click.echo(f"wrote {path}", err=True)
