"""`literatim bench der`: diarization error rates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim import device as devices
from literatim.cli.bench_common import JSON, OUT, deliver, show, skipped
from literatim.cli.flags import chosen, flags
from literatim.cli.recognizer import load_voices
from literatim.errors import LiteratimError, OptionError
from literatim.options import HubOptions
from literatim.speaker_options import DiarizeOptions, SpeakerLoadOptions

if TYPE_CHECKING:
    from literatim.bench.turns_known import Known


@click.command()
@click.argument("audio", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--model",
    help="Network for voices: short name, id or folder [default: demo-speaker for the bundled recordings].",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Turns of an AUDIO file, in its order, RTTM or JSON [default: NAME.rttm, else NAME.json, beside it].",
)
@click.option(
    "--sound",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the recordings of a corpus lie, if not beside its RTTM.",
)
@click.option("--split", help="Part of a corpus: test, dev, train or all [default: test, else all].")
@click.option("--known_number", "--known-number", is_flag=True, help="Tell each recording how many people speak in it.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many recordings.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, file_okay=False),
    help="Draw the turns of each recording, known and found, into NAME.svg in this folder.",
)
@JSON
@OUT
@flags(DiarizeOptions, SpeakerLoadOptions, HubOptions)
def der(audio: tuple[Path, ...], model: str | None, plot: Path | None, **values: Any) -> None:
    """Diarization error rates on recordings whose turns are known, by default the bundled ones.

    AUDIO is a file with NAME.rttm or NAME.json beside it, or the folder of VoxConverse or AMI. Overlap is scored, with
    collars of 0 and 0.25 s, as NIST's md-eval does. Exit code 1 if a recording could not be used.
    """
    from literatim.bench import der_run
    from literatim.declare import build
    from literatim.needs import need

    options = chosen(DiarizeOptions, values)
    build(DiarizeOptions, options)
    if values["known_number"] and any(options[name] for name in ("num_speakers", "min_speakers", "max_speakers")):
        raise OptionError("--known_number gives each recording its own number; leave the others out")
    need("scipy.optimize", "diarize", "counting diarization errors")
    if plot is not None:
        need("matplotlib", "bench", "a drawing of turns")
    known, problems = _known(audio, values)
    for problem in problems:
        click.echo(f"Skipping {problem}", err=True)
    known = known[: values["limit"]]
    if not known:
        raise OptionError("there are no recordings to measure on; name an AUDIO")
    devices.import_torch()
    how = {**chosen(SpeakerLoadOptions, values), **chosen(HubOptions, values)}
    voices = load_voices(model or (None if audio else "demo-speaker"), how)

    def tell(one: Known, error: LiteratimError | None) -> None:
        if error is None:
            click.echo(one.name, err=True)
        else:
            skipped(one.audio, error)

    report, found = der_run.run(voices, known, options, values["known_number"], tell)
    if report["files"]:
        show(der_run.table(report))
    deliver(report, values["out"], values["as_json"])
    if plot is not None:
        _draw(known, found, plot)
    raise click.exceptions.Exit(1 if problems or len(found) < len(known) else 0)


def _known(audio: tuple[Path, ...], values: dict[str, Any]) -> tuple[list[Known], list[str]]:
    """The recordings asked for, and a sentence for each that cannot be used."""
    from literatim.bench import turns_known

    folders = [path for path in audio if path.is_dir()]
    files = [path for path in audio if path not in folders]
    references = values["references"]
    if (values["sound"] or values["split"]) and not folders:
        raise OptionError("--sound and --split need the folder of a corpus")
    if references and len(references) != len(files):
        raise OptionError(f"{len(files)} AUDIO and {len(references)} --reference; give one for each, in order")
    if not audio:
        return list(turns_known.bundled()), []
    known: list[Known] = []
    problems: list[str] = []
    for folder in folders:
        more, wrong = turns_known.corpus(folder, values["sound"], values["split"])
        known += more
        problems += wrong
    for number, file in enumerate(files):
        try:
            known.append(turns_known.beside(file, references[number] if references else None))
        except LiteratimError as error:
            problems.append(f"{file}: {error}")
    return known, problems


def _draw(known: list[Known], found: dict[str, Any], folder: Path) -> None:
    from literatim.bench.turns_draw import draw

    folder.mkdir(parents=True, exist_ok=True)
    for one in known:
        if one.name in found:
            turns = found[one.name]
            path = folder / f"{one.name}.svg"
            draw([("known", one.turns), ("found", turns.turns)], turns.duration, path, title=one.name)
            click.echo(f"wrote {path}", err=True)
