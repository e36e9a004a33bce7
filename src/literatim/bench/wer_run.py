"""A model over recordings whose words are known, one at a time or many together, and the report of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from literatim import device as devices
from literatim import hub
from literatim.bench.manifest import Case
from literatim.bench.wer import NORMALIZERS, Counts, Normalizer, headline, rates, score
from literatim.errors import LiteratimError, OptionError
from literatim.provenance.fingerprint import fingerprint
from literatim.text.languages import LANGUAGES

if TYPE_CHECKING:
    from literatim.api import Recognizer

OWN_LANGUAGE = "reference"  # in place of a language: each recording's own


@dataclass(frozen=True)
class Result:
    """One recording: what was heard in `duration` seconds of sound, and the counts by normaliser.

    `seconds` is the work on it alone, None where others were decoded with it. `elapsed` is the time since the result
    before it: the sum over all is the time of the whole.
    """

    case: Case
    language: str
    duration: float
    text: str
    scores: dict[str, Counts]
    elapsed: float
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For the report; files by name alone."""
        return {
            "id": self.case.id,
            "file": self.case.audio.name,
            "reference": self.case.source,
            "speaker": self.case.speaker,
            "language": self.language,
            "duration": self.duration,
            "seconds": self.seconds,
            "elapsed": self.elapsed,
            "rtfx": self.duration / self.seconds if self.seconds else None,
            "expected": self.case.text,
            "text": self.text,
            "scores": {name: counts.to_dict() for name, counts in self.scores.items()},
        }

    @classmethod
    def from_dict(cls, case: Case, found: dict[str, Any]) -> Result:
        """The result that `to_dict` was made of; KeyError, TypeError or ValueError where it is none."""
        return cls(
            case=case,
            language=str(found["language"]),
            duration=float(found["duration"]),
            text=str(found["text"]),
            scores={name: Counts.from_dict(counts) for name, counts in found["scores"].items()},
            elapsed=float(found["elapsed"]),
            seconds=None if found["seconds"] is None else float(found["seconds"]),
        )


@dataclass(frozen=True)
class Failure:
    """A recording that could not be read."""

    case: Case
    error: LiteratimError


def warm_up(recognizer: Recognizer, options: dict[str, Any]) -> None:
    """A second of silence, so that the first recording does not pay for what happens once."""
    if options.get("language") == OWN_LANGUAGE:
        options = {**options, "language": None}
    recognizer.transcribe(np.zeros(16_000, dtype=np.float32), **options)


def run(
    recognizer: Recognizer,
    cases: Sequence[Case],
    rules: dict[str, Normalizer],
    options: dict[str, Any],
    batch_size: int = 1,
) -> Iterator[Result | Failure]:
    """Transcribe and count, each recording alone or `batch_size` together; these come as they are finished.

    `options` are those of `Recognizer.transcribe`; with the language `reference` it is each recording's own, one
    language after another. A recording that cannot be read is a Failure.
    """
    for language, group in _by_language(cases, options.get("language")):
        told = {**options, "language": language}
        if batch_size == 1:
            yield from _alone(recognizer, group, rules, told)
        else:
            yield from _together(recognizer, group, rules, {**told, "batch_size": batch_size})


def check_languages(cases: Iterable[Case], language: str | None) -> None:
    """OptionError where the recordings' own languages are asked for and Whisper does not know one."""
    if language != OWN_LANGUAGE:
        return
    unknown = sorted({case.language for case in cases if case.language is not None} - set(LANGUAGES))
    if unknown:
        raise OptionError(
            f"--language {OWN_LANGUAGE}: the references are in {', '.join(unknown)}, which Whisper does not know; "
            f"name the language that is nearest, or leave the option out"
        )


def _by_language(cases: Sequence[Case], language: str | None) -> Iterator[tuple[str | None, list[Case]]]:
    if language != OWN_LANGUAGE:
        yield language, list(cases)
        return
    for own in dict.fromkeys(case.language for case in cases):
        yield own, [case for case in cases if case.language == own]


def _alone(
    recognizer: Recognizer, cases: list[Case], rules: dict[str, Normalizer], options: dict[str, Any]
) -> Iterator[Result | Failure]:
    for case in cases:
        start = time.perf_counter()
        try:
            transcript = recognizer.transcribe(case.audio, **options)
        except LiteratimError as error:
            yield Failure(case, error)
            continue
        seconds = time.perf_counter() - start
        yield _result(case, transcript, rules, seconds, seconds)


def _together(
    recognizer: Recognizer, cases: list[Case], rules: dict[str, Normalizer], options: dict[str, Any]
) -> Iterator[Result | Failure]:
    mark = time.perf_counter()
    for outcome in recognizer.transcribe_many([case.audio for case in cases], **options):
        case = cases[outcome.index]
        if outcome.transcript is None:
            yield Failure(case, outcome.error or LiteratimError("it could not be read"))
            continue
        elapsed = time.perf_counter() - mark
        yield _result(case, outcome.transcript, rules, elapsed, None)
        mark = time.perf_counter()  # counting edits and writing results is not the model's time


def _result(case: Case, transcript: Any, rules: dict[str, Normalizer], elapsed: float, seconds: float | None) -> Result:
    language = case.language or transcript.language
    scores = score(case.text, transcript.text, language, rules)
    return Result(case, language, transcript.duration, transcript.text, scores, elapsed, seconds)


def total(results: Iterable[Result]) -> dict[str, Any]:
    """All recordings together: sums of seconds and counts, `recordings` counted by each normaliser."""
    found = list(results)
    duration, seconds = sum(r.duration for r in found), sum(r.elapsed for r in found)
    languages = [result.language for result in found]
    scores = {}
    for name in NORMALIZERS:
        counted = [result.scores[name] for result in found if name in result.scores]
        if counted:
            scores[name] = rates(counted)
    return {
        "recordings": len(found),
        "languages": {language: languages.count(language) for language in sorted(set(languages))},
        "headline": headline(languages),
        "duration": duration,
        "seconds": seconds,
        "rtfx": duration / seconds if seconds else None,
        "scores": scores,
    }


def summary(
    name: str, folder: Path | None, recognizer: Recognizer, results: list[Result], settings: dict[str, Any]
) -> dict[str, Any]:
    """The report that `--out` writes; `name` and `folder` are the model's."""
    device, dtype = str(recognizer.device), str(recognizer.dtype).removeprefix("torch.")
    bundled = name in hub.BUNDLED
    packages = ["torch", "transformers", "jiwer", "av", "soxr"]
    with devices.precision(recognizer.precision, recognizer.device):  # the flags are to be those of the work
        environment = fingerprint(device, [dtype], packages, folder)
    return {
        "schema": 2,
        "kind": "wer",
        "model": name if bundled or not Path(name).exists() else Path(name).name,
        "weights": "bundled" if bundled else "given",
        "device": device,
        "dtype": dtype,
        "environment": environment,
        "settings": {**settings, "precision": recognizer.precision},
        "files": [result.to_dict() for result in results],
        "total": total(results),
    }
