"""`literatim compare`: whether two recordings are of one speaker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim import device as devices
from literatim.cli.embed import VOICES_HELP
from literatim.cli.flags import chosen, flags
from literatim.cli.recognizer import load_voices
from literatim.errors import AudioError, OptionError
from literatim.options import AudioOptions, HubOptions
from literatim.speaker_options import FRONT_ENDS, SpeakerLoadOptions

if TYPE_CHECKING:
    from literatim.types import Embedding
    from literatim.voices import SpeakerModel


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--model", default=None, help=VOICES_HELP)
@click.option("--fbank", is_flag=True, help="A and B are .npy files of log-mel frames, (T, 80).")
@click.option(
    "--frontends",
    is_flag=True,
    help="Show as well what each front end makes of A and B, and how far apart the two are for each.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@flags(AudioOptions, SpeakerLoadOptions, HubOptions)
def compare(
    first: str, second: str, model: str | None, fbank: bool, frontends: bool, as_json: bool, **values: Any
) -> None:
    """The cosine of two voices, and whether it reaches the threshold of one speaker. The exit code is 0 for both.

    A and B are recordings of any usual format; 1 is the exit code where one cannot be heard.
    """
    if fbank and frontends:
        raise OptionError("frontends are compared on sound; --fbank gives frames that one of them has made")
    devices.import_torch()
    how = {**chosen(SpeakerLoadOptions, values), **chosen(HubOptions, values)}
    network = load_voices(model, how)
    options = chosen(AudioOptions, values)
    pair = [_embedded(network, path, fbank, options) for path in (first, second)]
    found = network.compare(*pair)
    out = found.to_dict()
    if frontends:
        other = next(name for name in FRONT_ENDS if name != network.frontend)
        theirs = load_voices(model, {**how, "frontend": other})
        out |= _beside(network, pair, theirs, [_embedded(theirs, path, fbank, options) for path in (first, second)])
    if as_json:
        click.echo(json.dumps(out))
        return
    verdict = "same speaker" if found.same else "different speakers"
    click.echo(f"{found.cosine:.4f}  {verdict} (threshold {found.threshold:g})")
    for line in _lines(out, (first, second)) if frontends else ():
        click.echo(line)


def _embedded(network: SpeakerModel, path: str, fbank: bool, options: dict[str, Any]) -> Embedding:
    try:
        found = network.embed_features(path) if fbank else network.embed(path, **options)
    except AudioError as error:
        said = str(error)
        told = Path(path).name in said  # most name the recording
        click.echo(f"literatim: {said}" if told else f"literatim: {path}: {said}", err=True)
        raise click.exceptions.Exit(1) from error
    for warning in found.warnings:
        click.echo(f"{path}: {warning}", err=True)
    return found


def _beside(
    network: SpeakerModel, pair: list[Embedding], theirs: SpeakerModel, other: list[Embedding]
) -> dict[str, Any]:
    """Cosines of A and B by each front end, and of each recording's two vectors."""
    return {
        "frontends": {
            network.frontend: network.compare(*pair).cosine,
            theirs.frontend: theirs.compare(*other).cosine,
        },
        "between_frontends": [network.compare(mine, yours).cosine for mine, yours in zip(pair, other, strict=True)],
    }


def _lines(out: dict[str, Any], paths: tuple[str, str]) -> list[str]:
    by_each = [f"{cosine:.4f}  by {name}'s front end" for name, cosine in out["frontends"].items()]
    apart = zip(out["between_frontends"], paths, strict=True)
    return [*by_each, *(f"{cosine:.4f}  {path}: one front end's vector beside the other's" for cosine, path in apart)]
