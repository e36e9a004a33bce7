"""`literatim transcribe`: recordings in, words and times out."""

from __future__ import annotations

import glob
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from literatim import device as devices
from literatim.cli.flags import chosen, flags
from literatim.cli.recognizer import introduce, load
from literatim.errors import AudioError, OptionError
from literatim.options import OUTPUT_FORMATS, AudioOptions, HubOptions, LoadOptions, TranscribeOptions
from literatim.text import writers
from literatim.types import Segment, Speculation, Transcript

if TYPE_CHECKING:
    from literatim.api import Recognizer
    from literatim.fleet import Fleet


@dataclass(frozen=True)
class Output:
    """Where text goes: files of some formats, the terminal, or JSON lines."""

    formats: tuple[str, ...]
    folder: Path | None
    verbose: bool
    as_json: bool
    titled: bool

    @property
    def streams(self) -> bool:
        """Whether segments are printed as soon as they are ready."""
        return self.verbose and not self.as_json and not self.titled

    def show(self, name: str, transcript: Transcript) -> None:
        """Text to standard output, files into the folder, warnings to standard error."""
        for warning in transcript.warnings:
            click.echo(f"{name}: {warning}", err=True)
        if self.as_json:
            click.echo(json.dumps({"file": name, **transcript.to_dict()}, ensure_ascii=False))
        elif not self.verbose:
            click.echo(transcript.text.strip())
        elif self.titled:
            click.echo(f"== {name}")
            for segment in transcript.segments:
                show_segment(segment)
        if self.verbose and not self.as_json and transcript.speculation is not None:
            click.echo(f"{name}: {figures(transcript.speculation)}", err=True)
        if self.folder is not None:
            stem = "stdin" if name == "-" else Path(name).stem
            for path in writers.save(transcript, stem, self.folder, self.formats):
                click.echo(f"wrote {path}", err=True)


def figures(found: Speculation) -> str:
    """What an assistant did, in a line; --json has the number of proposals round by round."""
    if not found.proposed:
        return f"the assistant proposed nothing in {found.rounds} rounds: it would not have paid"
    rounds = ", ".join(f"{count} with {length}" for length, count in sorted(Counter(found.lengths).items()))
    return f"{found.accepted} of {found.proposed} proposed tokens taken ({found.acceptance:.0%}); rounds: {rounds}"


def show_segment(segment: Segment) -> None:
    """Print a segment as openai/whisper does."""
    times = (writers.format_time(t, hours=t >= 3600, marker=".") for t in (segment.start, segment.end))
    speaker = f"{segment.speaker}: " if segment.speaker else ""
    click.echo(f"[{' --> '.join(times)}] {speaker}{segment.text.strip()}")


@click.command()
@click.argument("audio", nargs=-1, required=True)
@click.option(
    "--model",
    default=None,
    help="Short name, Hugging Face id, folder or demo [default: openai/whisper-small].",
)
@click.option(
    "--output_format",
    "--output-format",
    "-f",
    "output_format",
    help="txt, vtt, srt, tsv, json or all; several with commas.",
)
@click.option(
    "--output_dir",
    "--output-dir",
    "-o",
    "output_dir",
    type=click.Path(path_type=Path),
    help="Folder for the files [default: here].",
)
@click.option(
    "--verbose",
    type=click.BOOL,
    default=True,
    show_default=True,
    help="Print segments with their times; False: the text alone.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a recording.")
@flags(TranscribeOptions, AudioOptions, LoadOptions, HubOptions)
def transcribe(audio: tuple[str, ...], model: str | None, **values: Any) -> None:
    """Speech to text. AUDIO is a file of any usual format, a pattern, or - for standard input.

    Text goes to standard output; files are written when a format or a folder is given. A recording that cannot be
    read is reported and skipped, and the exit code is then 1.
    """
    paths = _expand(audio)
    output = _output(values, len(paths))
    options = {**chosen(TranscribeOptions, values), **chosen(AudioOptions, values)}
    how = {**chosen(LoadOptions, values), **chosen(HubOptions, values)}
    devices.import_torch()
    several = len(devices.several(how["device"], how["device_index"])) > 1
    if several and len(paths) > 1:
        failed = _on_several(model, how, paths, options, output)
    else:
        if several:
            how["device_index"] = how["device_index"].split(",")[0]
            click.echo(f"one recording uses one device: index {how['device_index']}", err=True)
        recognizer = load(model, how)
        failed = (_one if output.streams else _many)(recognizer, paths, options, output)
    if failed:
        raise click.exceptions.Exit(1)


def _on_several(
    model: str | None, how: dict[str, Any], paths: list[str], options: dict[str, Any], output: Output
) -> int:
    """Recordings shared out among devices, a process each. Returns how many failed."""
    from literatim.fleet import Fleet

    with Fleet(model, **how) as fleet:
        introduce(how["device"], fleet.devices[0], fleet.warnings)
        told = len(fleet.warnings)
        failed = _many(fleet, paths, options, output)
        for warning in fleet.warnings[told:]:
            click.echo(f"literatim: {warning}", err=True)
    return failed


def _expand(given: tuple[str, ...]) -> list[str]:
    """Patterns that the shell left alone; a pattern without a match stays and is reported as a missing file."""
    paths: list[str] = []
    for item in given:
        pattern = any(mark in item for mark in "*?[") and not Path(item).exists()
        # glob knows absolute patterns and ~-free relative ones alike, Path.glob only relative ones
        found = sorted(glob.glob(item)) if pattern else []  # noqa: PTH207
        paths += found or [item]
    return paths


def _output(values: dict[str, Any], recordings: int) -> Output:
    wanted, folder = values["output_format"], values["output_dir"]
    names = tuple(name.strip() for name in wanted.split(",")) if wanted else ()
    unknown = sorted(set(names) - {*OUTPUT_FORMATS, "all"})
    if unknown:
        raise OptionError(f"output format {unknown[0]!r} is unknown; choose {', '.join(OUTPUT_FORMATS)} or all")
    if "all" in names or (folder is not None and not names):
        names = OUTPUT_FORMATS
    if names and folder is None:
        folder = Path()
    return Output(names, folder, values["verbose"], values["as_json"], titled=recordings > 1)


def _one(recognizer: Recognizer, paths: list[str], options: dict[str, Any], output: Output) -> int:
    """One recording, each segment printed as soon as it is ready. Returns how many recordings failed."""
    try:
        transcript = recognizer.transcribe(paths[0], on_segment=show_segment, **options)
    except AudioError as error:
        click.echo(f"Skipping {paths[0]}: {error}", err=True)
        return 1
    output.show(paths[0], transcript)
    return 0


def _many(recognizer: Recognizer | Fleet, paths: list[str], options: dict[str, Any], output: Output) -> int:
    """All recordings in batches, shown as they finish. Returns how many failed."""
    failed = 0
    with _progress(len(paths)) as update:
        for outcome in recognizer.transcribe_many(paths, progress_callback=update, **options):
            name = paths[outcome.index]
            if outcome.transcript is None:
                click.echo(f"Skipping {name}: {outcome.error}", err=True)
                failed += 1
            else:
                output.show(name, outcome.transcript)
    return failed


@contextmanager
def _progress(recordings: int) -> Iterator[Callable[[float], None]]:
    """A bar on standard error, only on a terminal; it is told how many recordings are done."""
    stream: TextIO = sys.stderr
    steps = 100  # of each recording
    bar = click.progressbar(length=steps * recordings, label="transcribing", file=stream, hidden=not stream.isatty())
    with bar:
        yield lambda done: bar.update(int(done * steps) - bar.pos)
