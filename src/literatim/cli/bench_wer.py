"""`literatim bench wer`: word and character error rates."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim.cli.bench_common import JSON, OUT, deliver, show, skipped
from literatim.cli.flags import chosen, flags
from literatim.cli.recognizer import load
from literatim.errors import LiteratimError, OptionError
from literatim.options import HubOptions, LoadOptions

if TYPE_CHECKING:
    from literatim.api import Recognizer
    from literatim.bench.manifest import Case, Found
    from literatim.bench.resume import Part
    from literatim.bench.wer_run import Result

LAYOUTS = ("auto", "librispeech", "voxpopuli", "commonvoice", "aishell")


@click.command()
@click.argument("audio", nargs=-1, type=click.Path(path_type=Path))
@click.option("--model", help="Short name, Hugging Face id, folder or demo [default: demo for the bundled recordings].")
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Words of an AUDIO file, in its order [default: NAME.txt, else NAME.json with the key text, beside it].",
)
@click.option("--layout", type=click.Choice(LAYOUTS), default="auto", show_default=True, help="Corpus in a folder.")
@click.option("--split", help="Part of a corpus: test, dev, train, all ... [default: test, else all].")
@click.option(
    "--normalizer",
    type=click.Choice(("english", "basic", "none", "medasr", "all")),
    default="all",
    show_default=True,
    help="What is done to both texts before they are compared; all: the first three.",
)
@click.option("--language", help="Code or English name, or reference for each one's own [default: detected].")
@click.option(
    "--batch_size",
    "--batch-size",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many are decoded together.",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first so many recordings.")
@click.option("--worst", type=click.IntRange(0), default=10, show_default=True, help="Recordings shown in the table.")
@JSON
@OUT
@flags(LoadOptions, HubOptions)
def wer(audio: tuple[Path, ...], model: str | None, **values: Any) -> None:
    """Word and character error rates on recordings whose words are known, by default the bundled ones.

    AUDIO is a file with its words beside it, a manifest (NAME.jsonl: a line {"audio": ..., "text": ...} a recording,
    paths from the manifest's folder, if wanted language, id and speaker), or the folder of LibriSpeech, VoxPopuli,
    Common Voice or AISHELL-1. With --out, results are kept as they come in OUT.part, and the same command goes on
    from there if it was interrupted. Exit code 1 if a recording or a line could not be used.
    """
    from literatim import hub
    from literatim.bench import wer, wer_run
    from literatim.bench.wer_report import wer_table
    from literatim.declare import build

    _check_device(values["device"], values["device_index"])
    name = model or ("demo" if not audio else hub.default_model())
    where = chosen(HubOptions, values)
    folder = hub.resolve(name, build(HubOptions, where))
    mapping = wer.spelling(folder)
    rules = wer.normalizers(values["normalizer"], mapping)
    wer.count("", "")  # a missing package shows now, not after an hour of work
    found = _cases(audio, folder, values)
    wer_run.check_languages(found.cases, values["language"])
    settings = {key: values[key] for key in ("normalizer", "language", "batch_size", "limit")}
    settings |= {"spellings": len(mapping), "recordings": len(found.cases)}
    recognizer = load(name, {**where, **chosen(LoadOptions, values)})
    part = _part(values["out"], found.cases, recognizer, folder, settings)
    results, failed = _measure(recognizer, found.cases, rules, values, part)
    report = wer_run.summary(name, folder, recognizer, results, settings)
    if results:
        show(wer_table(report, values["worst"]))
    deliver(report, values["out"], values["as_json"])
    if part is not None:
        part.remove()
    raise click.exceptions.Exit(1 if failed or found.problems else 0)


def _check_device(name: str, indices: str | None) -> None:
    """One, and one that is there: said before anything is downloaded, read or counted."""
    from literatim import device as devices

    devices.import_torch()
    if len(devices.several(name, indices)) > 1:
        raise OptionError(f"--device_index {indices}: rates are measured on one device; give one index")


def _cases(audio: tuple[Path, ...], folder: Path, values: dict[str, Any]) -> Found:
    """The recordings asked for; each that cannot be used is told on standard error."""
    from literatim.bench.manifest import distinct

    found = _sources(audio, folder, values)
    for problem in found.problems:
        click.echo(f"Skipping {problem}", err=True)
    found.cases = distinct(found.cases)[: values["limit"]]
    if not found.cases and not found.problems:
        raise OptionError("there are no recordings to measure on; name an AUDIO")
    return found


def _sources(audio: tuple[Path, ...], folder: Path, values: dict[str, Any]) -> Found:
    from literatim.bench.layouts import read_layout
    from literatim.bench.manifest import MANIFESTS, Found, read_manifest

    found, files = Found(), []
    folders = [path for path in audio if path.is_dir()]
    if (values["layout"] != "auto" or values["split"]) and not folders:
        raise OptionError("--layout and --split need the folder of a corpus")
    for path in audio:
        if path in folders:
            found.add(read_layout(path, values["layout"], values["split"]))
        elif path.suffix.lower() in MANIFESTS:
            found.add(read_manifest(path))
        else:
            files.append(path)
    if values["references"] and not files:
        raise OptionError("--reference needs the AUDIO file it belongs to")
    if not audio:
        files = _bundled(folder)
    found.add(_pairs(files, values["references"]))
    return found


def _bundled(folder: Path) -> list[Path]:
    """Recordings of the kind that the model in a folder hears."""
    from literatim import demo
    from literatim.models.medasr_config import is_medasr

    kind = "dictations" if is_medasr(folder) else "recordings"
    found = [file for file in demo.recordings(kind) if file.with_suffix(".json").is_file()]
    if not found:
        raise OptionError("this installation has no bundled recordings; name an AUDIO")
    return found


def _pairs(files: list[Path], references: tuple[Path, ...]) -> Found:
    """Files with the words named or beside them."""
    from literatim.bench.manifest import Found, pair

    if references and len(references) != len(files):
        raise OptionError(f"{len(files)} AUDIO and {len(references)} --reference; give one for each, in order")
    found = Found()
    for at, file in enumerate(files):
        try:
            found.cases.append(pair(file, references[at] if references else None))
        except LiteratimError as error:
            found.problems.append(f"{file}: {error}")
    return found


def _part(
    out: Path | None, cases: Iterable[Case], recognizer: Recognizer, folder: Path, settings: dict[str, Any]
) -> Part | None:
    """What an earlier run of the same left; said on standard error, as is why it cannot be used."""
    if out is None:
        return None
    from literatim import __version__
    from literatim.bench.resume import Part, part_of
    from literatim.provenance.model_hash import model_hash

    depends_on = {
        "model": model_hash(folder)["sha256"],
        "device": str(recognizer.device),
        "dtype": str(recognizer.dtype).removeprefix("torch."),
        "precision": recognizer.precision,
        "literatim": __version__,
        **{key: settings[key] for key in ("normalizer", "language", "batch_size", "spellings")},
    }
    part = Part.open(part_of(out), depends_on, cases)
    if part.differs:
        what = "; ".join(f"{name} was {before!r} and is {now!r}" for name, (before, now) in part.differs.items())
        click.echo(f"starting anew: {part.path} is of another run ({what})", err=True)
    elif part.results:
        click.echo(f"going on from {part.path}: {len(part.results)} recordings are done", err=True)
    return part


def _measure(
    recognizer: Recognizer, cases: list[Case], rules: dict[str, Any], values: dict[str, Any], part: Part | None
) -> tuple[list[Result], int]:
    """All results in the order of the recordings, and how many recordings failed."""
    from literatim.bench import wer_run

    done = dict(part.results) if part is not None else {}
    left = [case for case in cases if case.id not in done]
    options, failed = {"language": values["language"]}, 0
    if left:
        wer_run.warm_up(recognizer, options)
    length, hidden = len(cases), not sys.stderr.isatty()
    try:
        with click.progressbar(length=length, label="measuring", file=sys.stderr, hidden=hidden, show_pos=True) as bar:
            bar.update(len(done))
            for outcome in wer_run.run(recognizer, left, rules, options, values["batch_size"]):
                bar.update(1)
                if isinstance(outcome, wer_run.Failure):
                    skipped(outcome.case.audio, outcome.error)
                    failed += 1
                    continue
                done[outcome.case.id] = outcome
                if part is not None:
                    part.keep(outcome)
    except KeyboardInterrupt:
        if part is not None:
            click.echo(f"{len(done)} results are kept in {part.path}; the same command goes on from there", err=True)
        raise
    return [done[case.id] for case in cases if case.id in done], failed
