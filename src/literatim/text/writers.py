"""A transcript as txt, srt, vtt, tsv or json, in the shapes openai/whisper writes (whisper/utils.py), or as a report.

Deviations: a cue's text is kept on one line and cannot be taken for a timing line; vtt text is escaped as its
standard asks (w3.org/TR/webvtt1, 4.2.2); segments without text are left out of txt, srt and vtt, whose
readers differ on empty cues, but tsv and json keep them.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from literatim.errors import LiteratimError, OptionError
from literatim.options import SubtitleOptions
from literatim.text import atomic, dictation
from literatim.text.cues import cues, line
from literatim.types import Segment, Transcript

PLAIN = SubtitleOptions()


def write(transcript: Transcript, format: str, stream: TextIO, subtitles: SubtitleOptions = PLAIN) -> None:
    """Write `transcript` to an open text stream, srt and vtt as `subtitles` says.

    Raises OptionError for an unknown format.
    """
    stream.writelines(_writer(format)(transcript, subtitles))


def save(
    transcript: Transcript, stem: str, output_dir: Path, formats: Iterable[str], subtitles: SubtitleOptions = PLAIN
) -> list[Path]:
    """Write `<output_dir>/<stem>.<suffix>` for each format and return the paths.

    A file appears whole or not at all, and what it replaces stays until then. Raises OptionError for an
    unknown format or a stem that is no file name, LiteratimError where the folder cannot be written.
    """
    wanted = {format: _writer(format) for format in formats}
    if not stem or stem != Path(stem).name:
        raise OptionError(f"{stem!r} cannot be part of a file name; give a name without folders")
    paths = []
    for format, render in wanted.items():
        path = output_dir / f"{stem}.{suffix(format)}"
        try:
            output_dir.mkdir(parents=True, exist_ok=True)
            atomic.replace(path, render(transcript, subtitles))
        except OSError as error:
            raise LiteratimError(f"cannot write {path}: {error.strerror}; choose another output_dir") from error
        paths.append(path)
    return paths


def suffix(format: str) -> str:
    """What a file's name ends in: the format itself, or `report.txt`, `report.md`, `report.json`."""
    return SUFFIXES.get(format, format)


def format_time(seconds: float, *, hours: bool, marker: str) -> str:
    """`HH:MM:SS,mmm`; without `hours` they are left out while they are zero."""
    minutes, rest = divmod(milliseconds(seconds), 60_000)
    whole, minutes = divmod(minutes, 60)
    prefix = f"{whole:02d}:" if hours or whole else ""
    return f"{prefix}{minutes:02d}:{rest // 1000:02d}{marker}{rest % 1000:03d}"


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, rounded once so that 59.9996 s carries into the minutes; nothing lies before 0."""
    return max(0, round(seconds * 1000))


def _txt(transcript: Transcript, _: SubtitleOptions) -> Iterator[str]:
    for segment in transcript.segments:
        if text := _labelled(segment):
            yield f"{text}\n"


def _srt(transcript: Transcript, subtitles: SubtitleOptions) -> Iterator[str]:
    for number, cue in enumerate(cues(transcript, subtitles), start=1):
        start, end = (format_time(time, hours=True, marker=",") for time in (cue.start, cue.end))
        label = f"[{line(cue.speaker)}]: " if cue.speaker else ""
        yield f"{number}\n{start} --> {end}\n{label}{_without_arrows(cue.text(str))}\n\n"


def _without_arrows(text: str) -> str:
    """SubRip has no escapes: the arrow is shortened, as often as it takes to leave none."""
    return re.sub("-{2,}>", "->", text)


def _vtt(transcript: Transcript, subtitles: SubtitleOptions) -> Iterator[str]:
    yield "WEBVTT\n\n"
    for cue in cues(transcript, subtitles):
        start, end = (format_time(time, hours=False, marker=".") for time in (cue.start, cue.end))
        voice = f"<v {html.escape(line(cue.speaker), quote=False)}>" if cue.speaker else ""
        yield f"{start} --> {end}\n{voice}{cue.text(partial(html.escape, quote=False))}\n\n"


def _tsv(transcript: Transcript, _: SubtitleOptions) -> Iterator[str]:
    yield "start\tend\ttext\n"
    for segment in transcript.segments:
        text = line(segment.text).replace("\t", " ")
        yield f"{milliseconds(segment.start)}\t{milliseconds(segment.end)}\t{text}\n"


def _json(transcript: Transcript, _: SubtitleOptions) -> Iterator[str]:
    yield json.dumps(_finite(transcript.to_dict()), ensure_ascii=False, allow_nan=False) + "\n"


def _report(transcript: Transcript, _: SubtitleOptions) -> Iterator[str]:
    yield f"{dictation.report(transcript).text()}\n"


def _report_md(transcript: Transcript, _: SubtitleOptions) -> Iterator[str]:
    yield f"{dictation.report(transcript).markdown()}\n"


def _report_json(transcript: Transcript, _: SubtitleOptions) -> Iterator[str]:
    yield json.dumps(_finite(dictation.report(transcript).to_dict()), ensure_ascii=False, allow_nan=False) + "\n"


Writer = Callable[[Transcript, SubtitleOptions], Iterator[str]]
WRITERS: dict[str, Writer] = {
    "txt": _txt,
    "vtt": _vtt,
    "srt": _srt,
    "tsv": _tsv,
    "json": _json,
    "report": _report,
    "report-md": _report_md,
    "report-json": _report_json,
}
SUFFIXES = {"report": "report.txt", "report-md": "report.md", "report-json": "report.json"}


def _writer(format: str) -> Writer:
    if format not in WRITERS:
        raise OptionError(f"unknown output format {format!r}; choose one of {', '.join(WRITERS)}")
    return WRITERS[format]


def _labelled(segment: Segment) -> str:
    text = line(segment.text)
    return f"[{line(segment.speaker)}]: {text}" if segment.speaker and text else text


def _finite(value: Any) -> Any:
    """JSON has no infinities and no NaN: they become null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
