"""`literatim embed`: vectors of voices, as JSON lines or as an array of NumPy's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim import device as devices
from literatim.cli import inputs
from literatim.cli.flags import chosen, flags
from literatim.cli.recognizer import load_voices
from literatim.errors import AudioError, LiteratimError, OptionError
from literatim.options import AudioOptions, HubOptions
from literatim.speaker_options import SpeakerLoadOptions
from literatim.text import atomic

if TYPE_CHECKING:
    from literatim.types import Embedding
    from literatim.voices import SpeakerModel

VOICES_HELP = "Short name, Hugging Face id or folder of a network for voices [default: resnet34-lm]."


@click.command()
@click.argument("audio", nargs=-1, required=True)
@click.option("--model", default=None, help=VOICES_HELP)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A .npy file for the vectors.")
@click.option("--raw", is_flag=True, help="In that file: vectors as the network gives them, not of length 1.")
@click.option("--fbank", is_flag=True, help="AUDIO are .npy files of log-mel frames, (T, 80).")
@click.option("--batch_size", "--batch-size", "batch_size", type=click.IntRange(1), default=16, show_default=True)
@flags(AudioOptions, SpeakerLoadOptions, HubOptions)
def embed(
    audio: tuple[str, ...],
    model: str | None,
    output: Path | None,
    raw: bool,
    fbank: bool,
    batch_size: int,
    **values: Any,
) -> None:
    """Vectors of who speaks in recordings. AUDIO is a file of any usual format, a folder, a pattern, or -.

    A line of JSON a recording: `embedding` of length 1, `raw` as the network gives it. With --output the vectors are
    the rows of a .npy file, and the line says which row is whose. A recording that cannot be read is reported and
    skipped, and the exit code is then 1.
    """
    _check(output, raw)
    paths = [item.path for item in inputs.find(audio)]
    devices.import_torch()
    network = load_voices(model, {**chosen(SpeakerLoadOptions, values), **chosen(HubOptions, values)})
    found: list[Embedding] = []
    failed = 0
    for path, one in _each(network, paths, fbank, batch_size, chosen(AudioOptions, values)):
        if isinstance(one, LiteratimError):
            failed += 1
            click.echo(f"Skipping {path}: {one}", err=True)
            continue
        for warning in one.warnings:
            click.echo(f"{path}: {warning}", err=True)
        said = one.to_dict() if output is None else {"row": len(found), "seconds": one.seconds}
        click.echo(json.dumps({"audio": path, **said}))
        found.append(one)
    if output is not None and found:
        _save(output, found, raw)
    if failed:
        raise click.exceptions.Exit(1)


def _check(output: Path | None, raw: bool) -> None:
    if output is not None and output.suffix != ".npy":
        raise OptionError(f"{output}: vectors are written as .npy; name the file so")
    if raw and output is None:
        raise OptionError("the lines of JSON have both kinds of vectors; --raw is for --output FILE.npy")


def _each(
    network: SpeakerModel, paths: list[str], fbank: bool, batch_size: int, options: dict[str, Any]
) -> Iterator[tuple[str, Embedding | LiteratimError]]:
    if not fbank:
        for number, one in network.embed_many(paths, batch_size=batch_size, **options):
            yield paths[number], one
        return
    for path in paths:
        try:
            yield path, network.embed_features(path)
        except AudioError as error:
            yield path, error


def _save(path: Path, found: list[Embedding], raw: bool) -> None:
    import numpy as np

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.opened(path) as stream:
            np.save(stream, np.stack([one.vector if raw else one.normalised for one in found]))
    except OSError as error:
        raise OptionError(f"{path} cannot be written ({error.strerror}); name another file") from error
