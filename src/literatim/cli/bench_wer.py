"""`literatim bench wer`: word and character error rates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim.cli.bench_common import JSON, OUT, deliver, show, skipped
from literatim.cli.flags import chosen, flags
from literatim.errors import LiteratimError, OptionError
from literatim.options import HubOptions, LoadOptions

if TYPE_CHECKING:
    from literatim.bench.wer import Case


@click.command()
@click.argument("audio", nargs=-1, type=click.Path(path_type=Path))
@click.option("--model", help="Short name, Hugging Face id, folder or demo [default: demo for the bundled recordings].")
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Words of an AUDIO, in its order [default: NAME.txt, else NAME.json with the key text, beside it].",
)
@click.option(
    "--normalizer",
    type=click.Choice(("english", "basic", "none", "all")),
    default="all",
    show_default=True,
    help="What is done to both texts before they are compared.",
)
@click.option("--language", help="Language spoken, code or English name [default: detected].")
@JSON
@OUT
@flags(LoadOptions, HubOptions)
def wer(audio: tuple[Path, ...], model: str | None, **values: Any) -> None:
    """Word and character error rates on AUDIO files whose words are known, or on the bundled recordings.

    RTFx is seconds of sound by seconds of work, reading the file included. Exit code 1 if a file could not be read.
    """
    from literatim import hub
    from literatim.api import load
    from literatim.bench import wer
    from literatim.bench.wer_report import wer_table
    from literatim.options import build

    if not audio and values["references"]:
        raise OptionError("--reference needs the AUDIO it belongs to")
    name = model or ("demo" if not audio else hub.default_model())
    where = chosen(HubOptions, values)
    folder = hub.resolve(name, build(HubOptions, where))
    mapping = wer.spelling(folder)
    rules = wer.normalizers(values["normalizer"], mapping)
    wer.count("", "")  # a missing package shows now, not after an hour of work
    cases, failed = _cases(audio, values["references"])
    recognizer = load(name, **where, **chosen(LoadOptions, values))
    options = {"language": values["language"]}
    wer.warm_up(recognizer, options)
    results = []
    for outcome in wer.run(recognizer, cases, rules, options):
        if isinstance(outcome, wer.Failure):
            skipped(outcome.case.audio, outcome.error)
            failed += 1
        else:
            results.append(outcome)
    found = wer.summary(name, recognizer, results, {"normalizer": values["normalizer"], "spellings": len(mapping)})
    if results:
        show(wer_table(found))
    deliver(found, values["out"], values["as_json"])
    raise click.exceptions.Exit(1 if failed else 0)


def _cases(audio: tuple[Path, ...], references: tuple[Path, ...]) -> tuple[list[Case], int]:
    """Recordings with their references, and how many recordings have none."""
    from literatim import demo
    from literatim.bench.wer import Case, beside

    if not audio:
        found = [file for file in demo.recordings() if file.with_suffix(".json").is_file()]
        if not found:
            raise OptionError("this installation has no bundled recordings; name an AUDIO")
        return [Case(file, file.with_suffix(".json")) for file in found], 0
    if references:
        if len(references) != len(audio):
            raise OptionError(f"{len(audio)} AUDIO and {len(references)} --reference; give one for each, in order")
        return [Case(*pair) for pair in zip(audio, references, strict=True)], 0
    cases = []
    for file in audio:
        try:
            cases.append(Case(file, beside(file)))
        except LiteratimError as error:
            skipped(file, error)
    return cases, len(audio) - len(cases)
