"""Word and character error rates of a model on recordings whose words are known."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from literatim import hub
from literatim.bench.environment import fingerprint
from literatim.bench.needs import need
from literatim.errors import AudioNotFound, LiteratimError, OptionError

if TYPE_CHECKING:
    from literatim.api import Recognizer

NORMALIZERS = ("none", "basic", "english")
Normalizer = Callable[[str], str]


@dataclass(frozen=True)
class Counts:
    """Edits between a reference and what was heard; sums of them give the rates of several recordings."""

    words: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    characters: int = 0
    character_errors: int = 0

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})

    @property
    def wer(self) -> float | None:
        """Errors by words of the reference; None where the reference has no word."""
        return (self.substitutions + self.deletions + self.insertions) / self.words if self.words else None

    @property
    def cer(self) -> float | None:
        """The same over characters, spaces included."""
        return self.character_errors / self.characters if self.characters else None

    def to_dict(self) -> dict[str, Any]:
        """The counts with both rates."""
        return {**asdict(self), "wer": self.wer, "cer": self.cer}


@dataclass(frozen=True)
class Reference:
    """The words of a recording, and their language where it is known."""

    text: str
    language: str | None


@dataclass(frozen=True)
class Case:
    """A recording and the file with its words."""

    audio: Path
    reference: Path


@dataclass(frozen=True)
class Result:
    """One recording: `seconds` of work for `duration` seconds of sound, and the counts by normaliser."""

    case: Case
    language: str
    duration: float
    seconds: float
    text: str
    scores: dict[str, Counts]

    def to_dict(self) -> dict[str, Any]:
        """For the report; files by name alone."""
        return {
            "file": self.case.audio.name,
            "reference": self.case.reference.name,
            "language": self.language,
            "duration": self.duration,
            "seconds": self.seconds,
            "rtfx": self.duration / self.seconds,
            "text": self.text,
            "scores": {name: counts.to_dict() for name, counts in self.scores.items()},
        }


@dataclass(frozen=True)
class Failure:
    """A recording or reference that could not be read."""

    case: Case
    error: LiteratimError


def count(reference: str, hypothesis: str) -> Counts:
    """jiwer's counts for two texts, which are compared as they are."""
    jiwer = need("jiwer", "eval", "the word error rate")
    words = jiwer.process_words(reference, hypothesis)
    letters = jiwer.process_characters(reference, hypothesis)
    return Counts(
        words=words.hits + words.substitutions + words.deletions,
        substitutions=words.substitutions,
        deletions=words.deletions,
        insertions=words.insertions,
        characters=letters.hits + letters.substitutions + letters.deletions,
        character_errors=letters.substitutions + letters.deletions + letters.insertions,
    )


def spelling(folder: Path) -> dict[str, str]:
    """British spellings to American ones: the checkpoint's normalizer.json, {} where it brings none."""
    file = folder / "normalizer.json"
    content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return content if isinstance(content, dict) else {}


def normalizers(wanted: str, mapping: dict[str, str]) -> dict[str, Normalizer]:
    """Functions by name, for `none`, `basic`, `english` or `all`.

    They are transformers' copies of openai/whisper's (Radford et al. 2022, appendix C), so that rates can be
    compared with published ones. `mapping` is the spelling table of the English one.
    """
    names = NORMALIZERS if wanted == "all" else (wanted,)
    made: dict[str, Normalizer] = {}
    for name in names:
        if name == "none":
            made[name] = str.strip
            continue
        rules = need("transformers.models.whisper.english_normalizer", "eval", f"the {name} normaliser")
        made[name] = rules.BasicTextNormalizer() if name == "basic" else rules.EnglishTextNormalizer(mapping)
    return made


def beside(audio: Path) -> Path:
    """NAME.txt or NAME.json next to the recording; AudioNotFound where there is neither."""
    for suffix in (".txt", ".json"):
        file = audio.with_suffix(suffix)
        if file.is_file():
            return file
    raise AudioNotFound(f"{audio} has no {audio.stem}.txt or {audio.stem}.json beside it; name one by --reference")


def read_reference(path: Path) -> Reference:
    """The words in a text file, or under `text` in a JSON file. Raises AudioNotFound or OptionError."""
    if not path.is_file():
        raise AudioNotFound(f"there is no reference {path}")
    try:
        content = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() != ".json":
            return Reference(content, None)
        found = json.loads(content)
    except ValueError as error:  # not UTF-8, or not JSON
        raise OptionError(f"the reference {path} cannot be read ({error}); it must be UTF-8 text or JSON") from error
    text = found.get("text") if isinstance(found, dict) else None
    if not isinstance(text, str):
        raise OptionError(f"the reference {path} has no text; a JSON reference is an object with the key text")
    return Reference(text, found.get("language"))


def warm_up(recognizer: Recognizer, options: dict[str, Any]) -> None:
    """A second of silence, so that the first recording does not pay for what happens once."""
    recognizer.transcribe(np.zeros(16_000, dtype=np.float32), **options)


def run(
    recognizer: Recognizer, cases: Iterable[Case], rules: dict[str, Normalizer], options: dict[str, Any]
) -> Iterator[Result | Failure]:
    """Transcribe each recording alone and count; `options` are those of `Recognizer.transcribe`.

    The English normaliser is left out for recordings in another language. A recording or reference that cannot
    be read is a Failure.
    """
    for case in cases:
        try:
            reference = read_reference(case.reference)
            start = time.perf_counter()
            transcript = recognizer.transcribe(case.audio, **options)
            seconds = time.perf_counter() - start
        except LiteratimError as error:
            yield Failure(case, error)
            continue
        language = reference.language or transcript.language
        scores = {
            name: count(normalise(reference.text), normalise(transcript.text))
            for name, normalise in rules.items()
            if name != "english" or language == "en"
        }
        yield Result(case, language, transcript.duration, seconds, transcript.text, scores)


def total(results: Iterable[Result]) -> dict[str, Any]:
    """All recordings together: sums of seconds and counts, `recordings` counted by each normaliser."""
    found = list(results)
    duration, seconds = sum(r.duration for r in found), sum(r.seconds for r in found)
    scores = {}
    for name in NORMALIZERS:
        counted = [result.scores[name] for result in found if name in result.scores]
        if counted:
            scores[name] = {"recordings": len(counted), **sum(counted, Counts()).to_dict()}
    return {
        "recordings": len(found),
        "duration": duration,
        "seconds": seconds,
        "rtfx": duration / seconds if seconds else None,
        "scores": scores,
    }


def summary(model: str, recognizer: Recognizer, results: list[Result], settings: dict[str, Any]) -> dict[str, Any]:
    """The report that `--out` writes."""
    device, dtype = str(recognizer.device), str(recognizer.dtype).removeprefix("torch.")
    bundled = model in hub.BUNDLED
    return {
        "schema": 1,
        "kind": "wer",
        "model": model if bundled or not Path(model).exists() else Path(model).name,
        "weights": "bundled" if bundled else "given",
        "device": device,
        "dtype": dtype,
        "environment": fingerprint(device, [dtype], ["torch", "transformers", "jiwer", "av", "soxr"]),
        "settings": settings,
        "files": [result.to_dict() for result in results],
        "total": total(results),
    }
