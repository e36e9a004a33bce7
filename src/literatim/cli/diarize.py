"""`literatim diarize`: recordings in, who speaks when out."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim import device as devices
from literatim.cli import inputs
from literatim.cli.bench_common import Names
from literatim.cli.flags import chosen, flags
from literatim.cli.inputs import Item
from literatim.cli.places import files_of, make_folders
from literatim.cli.progress import Progress, clock_time
from literatim.cli.recognizer import load_voices
from literatim.cli.summary import Ended
from literatim.errors import AudioError, LiteratimError, OptionError
from literatim.options import AudioOptions, HubOptions
from literatim.speaker_options import DiarizeOptions, SpeakerLoadOptions
from literatim.text import atomic, rttm, writers

if TYPE_CHECKING:
    from literatim.types import Diarization, Turn

FORMATS = ("rttm", "json")


@click.command()
@click.argument("audio", nargs=-1, required=True)
@click.option("--model", help="Network for voices: short name, Hugging Face id or folder [default: resnet34-lm].")
@click.option(
    "--output_format",
    "--output-format",
    "--format",
    "-f",
    "formats",
    type=Names((*FORMATS, "all")),
    help="rttm, json or all: files of them are written.",
)
@click.option(
    "--output_dir",
    "--output-dir",
    "-o",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder for the files [default: here].",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a recording.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the turns of one recording into this SVG."
)
@flags(DiarizeOptions, AudioOptions, SpeakerLoadOptions, HubOptions)
def diarize(audio: tuple[str, ...], model: str | None, plot: Path | None, **values: Any) -> None:
    """Who speaks when. AUDIO is a file of any usual format, a folder, a pattern, or - for standard input.

    Turns go to standard output, a line each; files are written when a format or a folder is given. A recording that
    cannot be read is reported and skipped, and the exit code is then 1.
    """
    from literatim.declare import build
    from literatim.needs import need

    items = inputs.find(audio)
    asked = {**chosen(DiarizeOptions, values), **chosen(AudioOptions, values)}
    build(DiarizeOptions, chosen(DiarizeOptions, values))  # what makes no sense is told before a model is loaded
    if plot is not None:
        if len(items) > 1:
            raise OptionError(f"--plot draws one recording, and there are {len(items)}; give one")
        need("matplotlib", "bench", "a drawing of turns")
    shown = _Shown.chosen(values, len(items) > 1)
    shown.prepare(items)
    devices.import_torch()
    voices = load_voices(model, {**chosen(SpeakerLoadOptions, values), **chosen(HubOptions, values)})
    progress = Progress([item.bytes for item in items], sys.stderr)
    failed = 0
    for number, item in enumerate(items):
        progress.begun(number)

        def heard(share: float, before: int = number) -> None:
            progress.update(before + share)

        try:
            found = voices.diarize(item.path, progress_callback=heard, **asked)
        except AudioError as error:
            failed += 1
            with progress.hidden():
                click.echo(f"Skipping {item.path}: {Ended(item.path, error=str(error)).reason}", err=True)
            continue
        finally:
            progress.ended(number)
        with progress.hidden():
            shown.show(item, found)
        if plot is not None:
            _draw(found, item, plot)
    progress.erase()
    if failed:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True)
class _Shown:
    """Where turns go."""

    formats: tuple[str, ...]
    folder: Path | None
    as_json: bool
    titled: bool

    @classmethod
    def chosen(cls, values: dict[str, Any], titled: bool) -> _Shown:
        formats, folder = values["formats"] or (), values["folder"]
        if "all" in formats or (folder is not None and not formats):
            formats = FORMATS
        if formats and folder is None:
            folder = Path()
        return cls(formats, folder, values["as_json"], titled)

    def files(self, item: Item) -> list[Path]:
        return files_of(self.folder, item, self.formats)

    def prepare(self, items: list[Item]) -> None:
        make_folders(path for item in items for path in self.files(item))

    def show(self, item: Item, found: Diarization) -> None:
        for warning in found.warnings:
            click.echo(f"{item.path}: {warning}", err=True)
        if self.as_json:
            click.echo(json.dumps({"file": item.path, **found.to_dict()}, ensure_ascii=False))
        else:
            if self.titled:
                click.echo(f"== {item.path}")
            for turn in found.turns:
                click.echo(_line(turn))
        if found.speakers and not self.as_json:
            times = ", ".join(f"{name} {clock_time(found.seconds(name))}" for name in found.speakers)
            count = "1 speaker" if len(found.speakers) == 1 else f"{len(found.speakers)} speakers"
            click.echo(f"{item.path}: {count}: {times}", err=True)
        for path in self.files(item):
            try:
                atomic.replace(path, _written(path.suffix[1:], item, found))
            except OSError as error:
                raise LiteratimError(f"cannot write {path}: {error.strerror}; choose another output_dir") from error
            click.echo(f"wrote {path}", err=True)


def _written(format: str, item: Item, found: Diarization) -> list[str]:
    if format == "rttm":
        return list(rttm.lines(item.place.name, found.turns))
    return [json.dumps(found.to_dict(), ensure_ascii=False) + "\n"]


def _line(turn: Turn) -> str:
    times = (writers.format_time(time, hours=time >= 3600, marker=".") for time in (turn.start, turn.end))
    return f"[{' --> '.join(times)}] {turn.speaker}"


def _draw(found: Diarization, item: Item, path: Path) -> None:
    from literatim.bench.turns_draw import draw

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw([("", found.turns)], found.duration, path, title=item.place.name)
    except OSError as error:
        raise LiteratimError(f"cannot write {path}: {error.strerror}; choose another place") from error
    click.echo(f"wrote {path}", err=True)
