"""`literatim transcribe`: recordings in, words and times out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from literatim import device as devices
from literatim import hub
from literatim.cli import inputs, live
from literatim.cli.flags import NumberOrNone, chosen, flags, stepped
from literatim.cli.many import Run
from literatim.cli.output import Output
from literatim.cli.recognizer import introduce, load
from literatim.declare import build
from literatim.errors import AudioError, OptionError
from literatim.options import (
    AudioOptions,
    HubOptions,
    LiveOptions,
    LoadOptions,
    RunOptions,
    SubtitleOptions,
    TranscribeOptions,
    VadOptions,
)
from literatim.pipeline.strategy import settled
from literatim.speaker_options import DiarizeOptions, NamingOptions, check_naming, timed

SAID = (TranscribeOptions, NamingOptions, DiarizeOptions, VadOptions, AudioOptions)  # what `transcribe_many` is told


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
    "--format",
    "-f",
    "output_format",
    help="txt, vtt, srt, tsv, json or all; of dictations report, report-md, report-json; several with commas.",
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
@click.option(
    "--temperature_increment_on_fallback",
    "--temperature-increment-on-fallback",
    "increment",
    type=NumberOrNone(float),
    default=0.2,
    show_default=True,
    help="Steps from a single --temperature up to 1; None: no fallback.",
)
@click.option("--raw", is_flag=True, help="Of dictations: spoken markup as it was said, not as punctuation.")
@click.option("--live", is_flag=True, help="Text of - while it plays: WAV, or 16-bit samples of one channel.")
@click.option("--live_rate", "--live-rate", "live_rate", type=int, help="Rate of bare samples [default: 16000 Hz].")
@flags(*SAID, SubtitleOptions, LiveOptions, RunOptions, LoadOptions, HubOptions)
def transcribe(audio: tuple[str, ...], model: str | None, increment: float | None, **values: Any) -> None:
    """Speech to text. AUDIO is a file of any usual format, a folder, a pattern, or - for standard input.

    Text goes to standard output; files are written when a format or a folder is given. A recording that cannot be
    read is reported and skipped, and the exit code is then 1.
    """
    values["temperature"] = stepped(values["temperature"], increment)
    items = inputs.find(audio)
    voices = _voices(model, values)
    if values["live"]:
        live.check(items, values["skip_existing"], values["log_file"])
    run = Run.begin(items, Output.chosen(values, len(items)), build(RunOptions, chosen(RunOptions, values)))
    if not run.items:
        return
    options = {name: value for kind in SAID for name, value in chosen(kind, values).items()}
    how = {**chosen(LoadOptions, values), **chosen(HubOptions, values)}
    devices.import_torch()
    if voices is not None:
        options["speaker_model"] = voices
    several = len(devices.several(how["device"], how["device_index"])) > 1
    if several and len(run.items) > 1:
        failed = _on_several(model, how, run, options)
    else:
        if several:
            how["device_index"] = how["device_index"].split(",")[0]
            click.echo(f"one recording uses one device: index {how['device_index']}", err=True)
        recognizer = load(model, how)
        if values["live"]:
            heard = {**chosen(TranscribeOptions, values), **chosen(LiveOptions, values)}
            try:
                live.run(recognizer, items[0], heard, values["live_rate"], run.output.of(recognizer.model_type))
            except AudioError as error:
                click.echo(f"Skipping {items[0].path}: {error}", err=True)
                raise click.exceptions.Exit(1) from error
            return
        options = settled(options, len(items) > 1, recognizer.model_type)
        failed = run.go(recognizer, options, _about(recognizer.name, [str(recognizer.device)], options))
    if failed:
        raise click.exceptions.Exit(1)


def _voices(model: str | None, values: dict[str, Any]) -> str | None:
    """The folder of the network that tells speakers apart, None where none is asked for: the same for all devices.

    Raises OptionError for options that do not go together, and what finding a model does.
    """
    if not check_naming(values):
        return None
    if values["live"]:
        raise OptionError("--live and --diarize exclude each other; diarize a recording of the stream")
    values.update(timed(values))  # here as well: how subtitles are laid out is checked before a model is loaded
    name = values["speaker_model"] or hub.speaker_model_beside(model or hub.default_model())
    folder = hub.resolve(name, build(HubOptions, chosen(HubOptions, values)))
    click.echo(f"voices: {name}", err=True)
    return str(folder)


def _on_several(model: str | None, how: dict[str, Any], run: Run, options: dict[str, Any]) -> int:
    """Recordings shared out among devices, a process each. Returns how many failed."""
    from literatim.fleet import Fleet

    with Fleet(model, **how) as fleet:
        introduce(how["device"], fleet.devices[0], fleet.warnings)
        told = len(fleet.warnings)
        failed = run.go(fleet, options, _about(fleet.name, [str(device) for device in fleet.devices], options))
        for warning in fleet.warnings[told:]:
            click.echo(f"literatim: {warning}", err=True)
    return failed


def _about(model: str, used: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """What a log says of the run as a whole."""
    from literatim import __version__

    return {"literatim": __version__, "model": model, "devices": used, "options": options}
