"""Word and character error rates: what is counted, after which normaliser, and how sure the rate is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from literatim.bench import stats
from literatim.errors import AudioNotFound, OptionError
from literatim.needs import need

NORMALIZERS = ("none", "basic", "english", "medasr")
GENERAL = NORMALIZERS[:3]  # what `all` stands for
MOST_NORMALISED = ("medasr", "english", "basic", "none")
# Written without spaces between words: those of Radford et al. 2022 (appendix C: Chinese, Japanese, Thai, Lao,
# Burmese) and, for the same reason, Cantonese and Khmer (class SA of Unicode's UAX #14).
SPACELESS = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})
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
        return Counts(**{item.name: getattr(self, item.name) + getattr(other, item.name) for item in fields(self)})

    @property
    def errors(self) -> int:
        """Words replaced, left out or put in."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float | None:
        """Errors by words of the reference; None where the reference has no word."""
        return self.errors / self.words if self.words else None

    @property
    def cer(self) -> float | None:
        """The same over characters."""
        return self.character_errors / self.characters if self.characters else None

    def to_dict(self) -> dict[str, Any]:
        """The counts with both rates."""
        return {**asdict(self), "wer": self.wer, "cer": self.cer}

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Counts:
        """The counts of `to_dict`; KeyError where one is missing."""
        return cls(**{item.name: int(found[item.name]) for item in fields(cls)})


@dataclass(frozen=True)
class Reference:
    """The words of a recording, and their language where it is known."""

    text: str
    language: str | None


def count(reference: str, hypothesis: str, *, spaceless: bool = False) -> Counts:
    """jiwer's counts for two texts, which are compared as they are.

    Characters include the spaces between words; `spaceless` takes all spaces out before characters are counted, for
    languages that have none.
    """
    jiwer = need("jiwer", "eval", "the word error rate")
    words = jiwer.process_words(reference, hypothesis)
    if spaceless:
        reference, hypothesis = "".join(reference.split()), "".join(hypothesis.split())
    letters = jiwer.process_characters(reference, hypothesis)
    return Counts(
        words=words.hits + words.substitutions + words.deletions,
        substitutions=words.substitutions,
        deletions=words.deletions,
        insertions=words.insertions,
        characters=letters.hits + letters.substitutions + letters.deletions,
        character_errors=letters.substitutions + letters.deletions + letters.insertions,
    )


def score(reference: str, heard: str, language: str, rules: dict[str, Normalizer]) -> dict[str, Counts]:
    """Counts by normaliser; the English one is left out for another language."""
    return {
        name: count(normalise(reference), normalise(heard), spaceless=language in SPACELESS)
        for name, normalise in rules.items()
        if name != "english" or language == "en"
    }


def spelling(folder: Path) -> dict[str, str]:
    """British spellings to American ones: the checkpoint's normalizer.json, {} where it brings none."""
    file = folder / "normalizer.json"
    content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return content if isinstance(content, dict) else {}


def normalizers(wanted: str, mapping: dict[str, str]) -> dict[str, Normalizer]:
    """Functions by name, for `none`, `basic`, `english` (`all` of these) or `medasr`.

    `basic` and `english` are transformers' copies of openai/whisper's (Radford et al. 2022, appendix C), so that rates
    can be compared with published ones. `mapping` is the spelling table of the English one.
    """
    names = GENERAL if wanted == "all" else (wanted,)
    made: dict[str, Normalizer] = {}
    for name in names:
        if name == "none":
            made[name] = str.strip
            continue
        if name == "medasr":
            made[name] = medasr
            continue
        rules = need("transformers.models.whisper.english_normalizer", "eval", f"the {name} normaliser")
        made[name] = rules.BasicTextNormalizer() if name == "basic" else rules.EnglishTextNormalizer(mapping)
    return made


def medasr(text: str) -> str:
    """As Google counts for MedASR: special tokens out, lower case, nothing but a-z, 0-9 and apostrophes.

    Spoken commands are words that were said: `{period}` and a reference's `period.` are both the word period.
    """
    return " ".join(re.sub(r"[^a-z0-9']", " ", re.sub(r"<[^<>\s]*>", " ", text.lower())).split())


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


def headline(languages: Iterable[str]) -> str:
    """`wer`, `cer` where no language has spaces between its words, or `mixed`."""
    without = {language in SPACELESS for language in languages}
    return "mixed" if len(without) > 1 else "cer" if True in without else "wer"


def rates(counted: Sequence[Counts]) -> dict[str, Any]:
    """Recordings together: sums of counts, both rates, and an interval of 95 % for each.

    The intervals are bootstrapped over recordings (Bisani and Ney, "Bootstrap estimates for confidence intervals in
    ASR performance evaluation", ICASSP 2004); None where there is one recording.
    """
    whole = sum(counted, Counts())
    return {
        "recordings": len(counted),
        **whole.to_dict(),
        "wer_interval": _interval([(item.errors, item.words) for item in counted]),
        "cer_interval": _interval([(item.character_errors, item.characters) for item in counted]),
    }


def _interval(rows: list[tuple[int, int]]) -> list[float] | None:
    """Of the sum of errors by the sum of units."""
    if len(rows) < 2 or not any(units for _, units in rows):
        return None
    return list(stats.bootstrap(np.array(rows), lambda drawn: _rate(*drawn.sum(axis=0))))


def _rate(errors: float, units: float) -> float:
    return errors / units if units else float("nan")
