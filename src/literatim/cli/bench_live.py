"""`literatim bench live`: how long after a word's end its text is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from literatim import device as devices
from literatim.cli.bench_common import JSON, OUT, deliver, show
from literatim.cli.flags import chosen, flags
from literatim.cli.recognizer import load
from literatim.options import HubOptions, LoadOptions


class Steps(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Seconds separated by commas."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Each one, in the order given."""
        try:
            found = tuple(float(part) for part in value.split(","))
        except ValueError:
            found = ()
        if not found or not all(0.1 <= step <= 30 for step in found):
            self.fail(f"{value!r} is not a list of seconds from 0.1 to 30, such as 0.5,1", param, ctx)
        return found


@click.command()
@click.argument("audio", nargs=-1, type=click.Path(path_type=Path))
@click.option("--model", default="demo", show_default=True, help="Short name, Hugging Face id, folder or demo.")
@click.option("--live_step", "--live-step", "steps", type=Steps(), default="0.5,1,2", show_default=True, help="Steps.")
@JSON
@OUT
@flags(LoadOptions, HubOptions)
def live(audio: tuple[Path, ...], model: str, steps: tuple[float, ...], **values: Any) -> None:
    """Play recordings to a model as if they were live, on a clock of their own, and time its words.

    AUDIO needs a JSON of its name beside it, in openai/whisper's schema with the times of words; without any it is the
    bundled recordings.
    """
    out, as_json = values.pop("out"), values.pop("as_json")
    how = {**chosen(LoadOptions, values), **chosen(HubOptions, values)}
    devices.import_torch()
    from literatim import demo
    from literatim.bench import live as bench

    recognizer = load(model, how)
    files = list(audio) or demo.recordings()
    found = bench.run(recognizer, files, steps, lambda text: click.echo(text, err=True))
    show(bench.table(found))
    deliver(found, out, as_json)
