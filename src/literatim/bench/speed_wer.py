"""The word error rate beside a speed: the same runners, in the same run, on recordings whose words are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from literatim.bench import wer
from literatim.bench.manifest import Case
from literatim.errors import DependencyError

RULES = "english for English, basic for other languages and where it is not known"


@dataclass(frozen=True)
class Scorer:
    """Recordings and the rules by which texts are compared; where there are none, the reason."""

    cases: tuple[Case, ...]
    rules: dict[str, wer.Normalizer]
    reason: str | None = None

    @classmethod
    def make(cls, cases: list[Case], folder: Path, none: str, wanted: bool) -> Scorer:
        """Before anything is measured; `none` is the reason where there are no recordings with words.

        A missing package is an error where the user `wanted` a rate, else a reason.
        """
        if not cases:
            return cls((), {}, none)
        try:
            wer.count("a", "a")
            rules = wer.normalizers("all", wer.spelling(folder))
        except DependencyError as error:
            if wanted:
                raise
            return cls((), {}, f"no WER: {error}")
        return cls(tuple(cases), rules)

    def score(self, transcribe: Callable[[Path, str | None], str]) -> dict[str, Any]:
        """The rate of one runner over all recordings; `transcribe` is given a file and its language."""
        if self.reason is not None:
            return {"wer": None, "reason": self.reason}
        counted = []
        for case in self.cases:
            heard = transcribe(case.audio, case.language)
            found = wer.score(case.text, heard, case.language or "", self.rules)
            counted.append(found.get("english") or found["basic"])
        return {**wer.rates(counted), "normalizer": RULES, "reason": None}
