"""`literatim draft train`: a draft from a model and recordings."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from literatim import device as devices
from literatim.cli.flags import chosen, flags
from literatim.errors import OptionError
from literatim.options import HubOptions

_FOLDER = click.Path(path_type=Path, file_okay=False)
_WIDTH = 78


@click.command()
@click.option(
    "--model", required=True, help="The model to make a draft of: short name, Hugging Face id, folder or demo."
)
@click.option(
    "--audio", required=True, type=_FOLDER, help="Folder of recordings like those to come; no text is needed."
)
@click.option("--out", required=True, type=_FOLDER, help="Folder for the draft.")
@click.option("--layers", type=click.IntRange(1), default=2, show_default=True, help="Layers of the draft's decoder.")
@click.option("--layers-from", help="Which of the model's layers it begins as, as in 0,31 [default: evenly spaced].")
@click.option("--steps", type=click.IntRange(1), default=4000, show_default=True, help="How long to train.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="How long to train, instead of --steps.")
@click.option("--hours", type=click.FloatRange(0, min_open=True), default=20, show_default=True, help="Sound to hear.")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Windows of a step.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), default=1e-3, show_default=True, help="Learning rate.")
@click.option("--language", help="Of the recordings [default: found in each].")
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.999,
    show_default=True,
    help="Share of what the model says, in each language, that the draft can propose; 1: every token.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of recordings and windows.")
@click.option("--work", type=_FOLDER, help="Folder for what is kept meanwhile [default: OUT.work].")
@click.option("--resume", is_flag=True, help="Go on with a training that was interrupted.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, npu, mps or xpu, with an index.")
@click.option("--dtype", default="auto", show_default=True, help="Numbers in which the model hears the recordings.")
@flags(HubOptions)
def train(out: Path, resume: bool, **values: Any) -> None:
    """Make a draft of a model: a decoder of a few layers that listens to the model's own encoder.

    First the model itself decodes the recordings, which may be of any format and in folders; then the draft learns to
    say the same. What was done is kept in a folder of its own (4 MB a window of a large model), so that --resume goes
    on after an interruption.
    """
    where = chosen(HubOptions, values)
    layers_from = _numbers(values.pop("layers_from"))
    work = values.pop("work") or out.with_name(out.name + ".work")
    options = {name: value for name, value in values.items() if name not in where}
    if layers_from is not None:
        options["layers"] = len(layers_from)
    devices.import_torch()
    from literatim import hub
    from literatim.declare import build
    from literatim.train.draft import Plan, train_draft

    plan = Plan(**options, out=out, work=work, layers_from=layers_from)
    folder = hub.resolve(plan.model, build(HubOptions, where))
    report = train_draft(plan, folder, resume, _say if sys.stderr.isatty() else _silent)
    click.echo(
        f"{out}: foretells {report['held_out_agreement']:.1%} of what {plan.model} says in "
        f"{report['held_out_windows']} windows that it did not learn from",
        err=True,
    )
    size = sum(path.stat().st_size for path in work.iterdir())
    click.echo(f"{work} ({size / 1e9:.1f} GB) is no longer needed", err=True)


def _numbers(given: str | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    parts = [part.strip() for part in given.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise OptionError(f"--layers-from is {given!r}; give layers counted from 0, separated by commas, as in 0,31")
    return tuple(map(int, parts))


def _say(what: str, done: float) -> None:
    """One line that the next one replaces."""
    width = min(_WIDTH, shutil.get_terminal_size().columns - 1)
    sys.stderr.write(f"\r{f'{done:5.1%}  {what}':<{width}}" + ("\n" if done >= 1 else ""))
    sys.stderr.flush()


def _silent(what: str, done: float) -> None:
    """Nothing, where nobody looks on."""
