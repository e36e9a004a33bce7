"""Recordings with their words: from files beside them, and from a manifest of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from literatim.bench.wer import beside, read_reference
from literatim.errors import AudioNotFound, OptionError
from literatim.text.languages import normalise

MANIFESTS = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Case:
    """A recording and its words. `id` names it in reports, `source` the file that the words are from."""

    audio: Path
    id: str
    text: str
    language: str | None = None
    speaker: str | None = None
    source: str | None = None


@dataclass
class Found:
    """Recordings that can be used, and a sentence for each line or file that cannot."""

    cases: list[Case] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Append another's."""
        self.cases += other.cases
        self.problems += other.problems


def read_manifest(path: Path) -> Found:
    """Recordings of JSON lines with the keys `audio` and `text`, if wanted `language`, `id` and `speaker`.

    Paths are relative to the manifest; an `id` not given is `audio` as it is written. A line that cannot be used is a
    problem with its number. Raises AudioNotFound where there is no such file and OptionError where it is not UTF-8.
    """
    if not path.is_file():
        raise AudioNotFound(f"there is no manifest {path}")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise OptionError(f"the manifest {path} is not UTF-8 ({error}); write it anew as UTF-8") from error
    found = Found()
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = _case(line, path)
            if case.id in seen:
                raise ValueError(f"the id {case.id!r} is that of line {seen[case.id]}")
        except (ValueError, RecursionError) as error:  # not JSON, or not as it should be
            found.problems.append(f"{path}, line {number}: {error}")
            continue
        seen[case.id] = number
        found.cases.append(case)
    return found


def _case(line: str, manifest: Path) -> Case:
    """ValueError says what is wrong with the line."""
    try:
        item = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from error
    if not isinstance(item, dict):
        raise ValueError("not a JSON object")
    audio, text = _string(item, "audio", required=True), item.get("text")
    if not isinstance(text, str):
        raise ValueError("the key text is missing or no string")
    file = manifest.parent / audio
    if not file.is_file():
        raise ValueError(f"there is no recording {file}")
    language = _string(item, "language")
    return Case(
        file, _string(item, "id") or audio, text, code(language), _string(item, "speaker") or None, manifest.name
    )


def _string(item: dict[str, Any], key: str, *, required: bool = False) -> str:
    """The text (or whole number) under `key`, empty where there is none and none is needed."""
    value = item.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise ValueError(f"the key {key} is missing or no string")
    return value


def code(language: str | None) -> str | None:
    """Whisper's code of a language or of a regional one (`sv-SE`); one that Whisper does not know stays as it is."""
    if not language:
        return None
    for spelling in (language, language.replace("_", "-").split("-")[0]):
        try:
            return normalise(spelling)
        except OptionError:
            continue
    return language.lower()


def pair(audio: Path, reference: Path | None = None) -> Case:
    """A recording with the words of `reference`, else of the file beside it. Raises AudioNotFound or OptionError."""
    file = reference or beside(audio)
    words = read_reference(file)
    language = code(words.language) if isinstance(words.language, str) else None
    return Case(audio, audio.name, words.text, language, source=file.name)


def distinct(cases: Iterable[Case]) -> list[Case]:
    """The same with no id twice: another recording of the same name becomes `name#2`."""
    counts: dict[str, int] = {}
    made = []
    for case in cases:
        counts[case.id] = counts.get(case.id, 0) + 1
        made.append(case if counts[case.id] == 1 else replace(case, id=f"{case.id}#{counts[case.id]}"))
    return made
