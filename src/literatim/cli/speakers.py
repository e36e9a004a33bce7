"""`literatim speakers`: named voices, kept and found again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from literatim.cli.embed import VOICES_HELP
from literatim.cli.flags import chosen, flags
from literatim.errors import LiteratimError, OptionError, SpeakerBookError
from literatim.options import AudioOptions, HubOptions
from literatim.speaker_options import SpeakerLoadOptions
from literatim.text import atomic

if TYPE_CHECKING:
    from literatim.pipeline.speaker_book import Match, SpeakerBook
    from literatim.types import Embedding
    from literatim.voices import SpeakerModel

Command = Callable[..., None]
BOOK = click.option(
    "--speaker_book",
    "--speaker-book",
    "--book",
    "path",
    type=click.Path(path_type=Path),
    help="The file of the voices [default: $LITERATIM_SPEAKER_BOOK, else literatim/speakers.db among your data].",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print for a machine to read.")
MODEL = click.option("--model", help=VOICES_HELP)


@click.group()
def speakers() -> None:
    """Keep named voices, and find them again.

    A voiceprint is personal data: keep one only of who agreed to it. The file can be read by its owner alone, and what
    is removed is overwritten.
    """


@speakers.command()
@click.argument("name")
@click.argument("audio", nargs=-1, required=True)
@BOOK
@MODEL
@JSON
@flags(SpeakerLoadOptions, AudioOptions, HubOptions)
def enroll(
    name: str, audio: tuple[str, ...], path: Path | None, model: str | None, as_json: bool, **values: Any
) -> None:
    """Add recordings in which NAME alone speaks; several of some seconds are better than one.

    AUDIO are files, folders or patterns. A recording that cannot be read is reported and left out, and the exit code is
    then 1; the others are kept.
    """
    from literatim.pipeline.speaker_book import checked_name

    called = checked_name(name)
    book, voices = _opened(path, model, values)
    heard, failed = _heard(voices, audio, values)
    if not heard:
        raise click.exceptions.Exit(1)
    _doubts(book, called, heard, voices.threshold)
    voice = book.enroll(called, [vector for _, vector in heard], [Path(file).name for file, _ in heard])
    _told(book)
    if as_json:
        click.echo(json.dumps({**voice.to_dict(), "book": str(book.path)}, ensure_ascii=False))
    else:
        click.echo(f"{called}: {_samples(len(voice.samples))}, {len(heard)} of them new, in {book.path}")
    raise click.exceptions.Exit(int(failed))


@speakers.command()
@click.argument("audio", nargs=-1, required=True)
@BOOK
@MODEL
@JSON
@flags(SpeakerLoadOptions, AudioOptions, HubOptions)
def identify(audio: tuple[str, ...], path: Path | None, model: str | None, as_json: bool, **values: Any) -> None:
    """Say whose voice is in each of AUDIO, or that it is nobody's who is known.

    A voice is somebody's if its cosine with theirs is the highest and at least the threshold (--threshold).
    """
    book, voices = _opened(path, model, values, must_exist=True)
    heard, failed = _heard(voices, audio, values)
    matches = book.identify_many([vector for _, vector in heard], voices.threshold) if heard else []
    _told(book)
    for (file, _), match in zip(heard, matches, strict=True):
        said = json.dumps({"file": file, **match.to_dict()}, ensure_ascii=False) if as_json else _sentence(file, match)
        click.echo(said)
    raise click.exceptions.Exit(int(failed))


@speakers.command(name="list")
@BOOK
@click.option("--samples", is_flag=True, help="With each sample: its number, when it was added and from which file.")
@JSON
def list_voices(path: Path | None, samples: bool, as_json: bool) -> None:
    """List the voices of the book."""
    book = _book(path)
    voices = book.voices()
    _told(book)
    if as_json:
        click.echo(json.dumps([voice.to_dict() for voice in voices], ensure_ascii=False))
        return
    for voice in voices:
        click.echo(f"{voice.name}: {_samples(len(voice.samples))}")
        for item in voice.samples if samples else ():
            click.echo(f"  {item.id}  {item.added}  {item.source}")
    count = "1 voice" if len(voices) == 1 else f"{len(voices)} voices"
    click.echo(f"{count} in {book.path}", err=True)


@speakers.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@BOOK
@click.option("--sample", type=int, help="This sample of NAME alone, by its number in `list --samples`.")
def remove(names: tuple[str, ...], path: Path | None, sample: int | None) -> None:
    """Delete voices for good: what is removed is overwritten in the file.

    Copies of the file, backups among them, are not reached.
    """
    book = _book(path)
    if sample is not None:
        if len(names) > 1:
            raise OptionError("--sample is of one voice; give one NAME")
        left = book.remove_sample(names[0], sample)
        click.echo(f"{left.name}: {_samples(len(left.samples))} left")
        return
    unknown = False
    for name in names:
        try:
            gone = book.remove(name)
            click.echo(f"removed {gone.name}, {_samples(len(gone.samples))}")
        except SpeakerBookError as error:
            if not book.exists:
                raise
            click.echo(f"literatim: {error}", err=True)
            unknown = True
    raise click.exceptions.Exit(int(unknown))


@speakers.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@BOOK
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write [default: standard output]."
)
def export(names: tuple[str, ...], path: Path | None, out: Path | None) -> None:
    """Write all that is kept of NAME (default: of all voices) as JSON, vectors included."""
    book = _book(path)
    text = json.dumps(book.export(names), ensure_ascii=False) + "\n"
    if out is None:
        click.echo(text, nl=False)
        return
    if out.exists() and out.samefile(book.path):
        raise OptionError(f"{out} is the book itself; choose another --out")
    try:
        atomic.replace(out, [text], private=True)
    except OSError as error:
        raise OptionError(f"{out} cannot be written: {error.strerror}; choose another --out") from error
    click.echo(f"wrote {out}", err=True)


def _book(path: Path | None, model: Any = None) -> SpeakerBook:
    from literatim.pipeline.speaker_book import SpeakerBook, default_book

    return SpeakerBook(path or default_book(), model)


def _opened(
    path: Path | None, model: str | None, values: dict[str, Any], must_exist: bool = False
) -> tuple[SpeakerBook, SpeakerModel]:
    """The book and the network, which belong together; what stands in the way is said before anything is heard."""
    from literatim.cli.recognizer import load_voices

    if must_exist or _book(path).exists:
        _book(path).voices()
    voices = load_voices(model, {**chosen(SpeakerLoadOptions, values), **chosen(HubOptions, values)})
    book = _book(path, voices)
    if book.exists:
        book.voices()
    return book, voices


def _heard(
    voices: SpeakerModel, audio: Iterable[str], values: dict[str, Any]
) -> tuple[list[tuple[str, Embedding]], bool]:
    """File and vector of each recording that can be heard, and whether one could not."""
    from literatim.cli import inputs

    files = [item.path for item in inputs.find(tuple(audio))]
    found, failed = [], False
    for number, result in voices.embed_many(files, **chosen(AudioOptions, values)):
        if isinstance(result, LiteratimError):
            click.echo(f"Skipping {files[number]}: {result}", err=True)
            failed = True
            continue
        for warning in result.warnings:
            click.echo(f"{files[number]}: {warning}", err=True)
        found.append((files[number], result))
    return found, failed


def _doubts(book: SpeakerBook, name: str, heard: list[tuple[str, Embedding]], threshold: float) -> None:
    """What speaks against samples being of one voice, and of this one; they are kept all the same."""
    from literatim.pipeline.speaker_book import agreement

    vectors = [vector for _, vector in heard]
    for (file, _), score in zip(heard, agreement(vectors), strict=True):
        if score < threshold:
            click.echo(f"{file}: unlike the other recordings given (cosine {score:.2f}); is it {name}?", err=True)
    if not book.exists or not book.voices():
        return
    known = {voice.name for voice in book.voices()}
    for (file, _), match in zip(heard, book.identify_many(vectors, threshold), strict=True):
        if match.name is not None and match.name != name:
            click.echo(f"{file}: sounds like {match.name}, whom the book has (cosine {match.score:.2f})", err=True)
        elif match.name is None and name in known:
            click.echo(f"{file}: unlike the {name} that the book has; is it the same voice?", err=True)


def _sentence(file: str, match: Match) -> str:
    second = "" if match.second is None else f"; next {match.second} {match.second_score:.2f}"
    if match.name is None:
        return f"{file}: nobody who is known (nearest {match.nearest} {match.score:.2f}, below {match.threshold:.2f})"
    return f"{file}: {match.name} ({match.score:.2f}{second})"


def _samples(count: int) -> str:
    return f"{count} sample" if count == 1 else f"{count} samples"


def _told(book: SpeakerBook) -> None:
    for warning in book.warnings:
        click.echo(f"literatim: {warning}", err=True)
