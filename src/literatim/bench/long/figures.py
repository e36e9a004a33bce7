"""What came out of a long recording: errors, coverage, and words where nobody spoke."""

from __future__ import annotations

from typing import Any

from literatim.bench import wer


def words(text: str) -> list[str]:
    """Words after the basic normaliser of Radford et al. 2022: lower case, without punctuation."""
    (normalise,) = wer.normalizers("basic", {}).values()
    return normalise(text).split()


def score(reference: str, heard: str) -> dict[str, Any]:
    """Word error rate and coverage: the share of the reference's words that came out, at their place."""
    found = wer.count(" ".join(words(reference)), " ".join(words(heard)))
    right = found.words - found.substitutions - found.deletions
    counts = {name: getattr(found, name) for name in ("words", "substitutions", "deletions", "insertions")}
    return {**counts, "wer": found.wer, "coverage": right / found.words if found.words else None}
