"""Where the text of a recording goes: files of some formats, the terminal, or JSON lines."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from literatim.cli.flags import chosen
from literatim.cli.inputs import Item
from literatim.cli.places import files_of, make_folders
from literatim.declare import build
from literatim.errors import OptionError
from literatim.models.medasr_config import MODEL_TYPE
from literatim.options import OUTPUT_FORMATS, REPORT_FORMATS, SubtitleOptions
from literatim.text import dictation, writers
from literatim.types import Segment, Speculation, Transcript


@dataclass(frozen=True)
class Output:
    """What is asked for; without a folder no file is written."""

    formats: tuple[str, ...]
    folder: Path | None
    verbose: bool
    as_json: bool
    titled: bool
    subtitles: SubtitleOptions = writers.PLAIN
    raw: bool = False  # spoken markup as it was said
    dictated: bool = False  # whether there is any
    named: bool = False  # whether segments have speakers, who are known when all is heard

    @classmethod
    def chosen(cls, values: dict[str, Any], recordings: int) -> Output:
        """From a command's values. Raises OptionError for an unknown format, and for what has no effect."""
        subtitles = build(SubtitleOptions, chosen(SubtitleOptions, values))
        subtitles.check(values["word_timestamps"])
        wanted, folder = values["output_format"], values["output_dir"]
        names = tuple(name.strip() for name in wanted.split(",")) if wanted else ()
        known = (*OUTPUT_FORMATS, *REPORT_FORMATS)
        unknown = sorted(set(names) - {*known, "all"})
        if unknown:
            raise OptionError(f"output format {unknown[0]!r} is unknown; choose {', '.join(known)} or all")
        if "all" in names or (folder is not None and not names):
            names = (*OUTPUT_FORMATS, *(name for name in names if name in REPORT_FORMATS))
        if names and folder is None:
            folder = Path()
        shown = cls(names, folder, values["verbose"], values["as_json"], recordings > 1, subtitles, values["raw"])
        return replace(shown, named=values["diarize"])

    def of(self, model_type: str) -> Output:
        """For this kind of model. Raises OptionError for what only dictations have."""
        dictated = model_type == MODEL_TYPE
        if not dictated and self.raw:
            raise OptionError("raw keeps MedASR's spoken markup, and this model says none; leave raw out")
        if not dictated and self.reports:
            raise OptionError(f"{self.reports[0]} is made of MedASR's spoken markup, and this model says none")
        return replace(self, dictated=dictated)

    @property
    def reports(self) -> tuple[str, ...]:
        """The formats that are made of spoken markup."""
        return tuple(format for format in self.formats if format in REPORT_FORMATS)

    @property
    def streams(self) -> bool:
        """Whether segments are printed as soon as they are ready."""
        return self.verbose and not (self.as_json or self.titled or self.reports or self.named)

    def files(self, item: Item) -> list[Path]:
        """All files of a recording, whether they exist or not."""
        return files_of(self.folder, item, map(writers.suffix, self.formats))

    def prepare(self, items: list[Item]) -> None:
        """Make the folders that they lie in. Raises LiteratimError where that fails."""
        make_folders(path for item in items for path in self.files(item))

    def show(self, item: Item, transcript: Transcript) -> None:
        """Text to standard output, files into the folder, warnings to standard error."""
        name = item.path
        for warning in transcript.warnings:
            click.echo(f"{name}: {warning}", err=True)
        if self.as_json:
            click.echo(json.dumps({"file": name, **self.written(transcript).to_dict()}, ensure_ascii=False))
        elif self.reports:
            if self.titled:
                click.echo(f"== {name}")
            click.echo(dictation.report(transcript).text())
        elif not self.verbose:
            click.echo(self.written(transcript).text.strip())
        elif self.titled or self.named:
            if self.titled:
                click.echo(f"== {name}")
            for segment in transcript.segments:
                self.show_segment(segment)
        if self.verbose and not self.as_json and transcript.speculation is not None:
            click.echo(f"{name}: {figures(transcript.speculation)}", err=True)
        self.save(item, transcript)

    def save(self, item: Item, transcript: Transcript) -> None:
        """The files alone."""
        if self.folder is not None:
            place = self.folder / item.place
            plain = tuple(format for format in self.formats if format not in REPORT_FORMATS)
            where = place.name, place.parent
            paths = writers.save(self.written(transcript), *where, plain, self.subtitles)
            first, *more = [*paths, *writers.save(transcript, *where, self.reports, self.subtitles)]
            click.echo(f"wrote {', '.join([str(first), *(path.suffix for path in more)])}", err=True)

    def written(self, transcript: Transcript) -> Transcript:
        """As it is shown and written: spoken markup as punctuation, unless it is to be kept."""
        return dictation.rendered(transcript) if self.dictated and not self.raw else transcript

    def show_segment(self, segment: Segment) -> None:
        """Print a segment as it is written."""
        show_segment(dictation.rendered_segment(segment) if self.dictated and not self.raw else segment)


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
