"""Lists of trials, pairs of recordings of one speaker or of two: read, scored, normalised by a cohort, and summed up.

A line is one of VoxCeleb's (`1 a.wav b.wav`, 0 for two speakers), Kaldi's (`a.wav b.wav target`, or `nontarget`), or a
scored one as WeSpeaker writes them (`a.wav b.wav 0.71 target`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from literatim.errors import OptionError
from literatim.pipeline.error_rates import equal_error_rate, equal_error_threshold, min_dcf

TOP = 300  # of a cohort, as WeSpeaker's recipes
_SAME = {"1": True, "0": False, "target": True, "nontarget": False}
_BLOCK = 1 << 14  # trials at a time
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trials:
    """P pairs (P, 2) of numbers of N names, which are of one speaker (P,), and scores (P,) where they are given."""

    names: tuple[str, ...]
    pairs: NDArray[np.int64]
    same: NDArray[np.bool_]
    scores: Floats | None = None

    def among(self, usable: NDArray[np.bool_]) -> Trials:
        """Those trials both of whose recordings (N,) can be used."""
        kept = usable[self.pairs].all(1)
        return Trials(self.names, self.pairs[kept], self.same[kept])


def read_trials(path: Path) -> Trials:
    """A list of trials. Raises OptionError with the line that is none."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: cannot be read as a list of trials ({error}); give a text file") from error
    numbers: dict[str, int] = {}
    pairs, same, scores = [], [], []
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        first, second, one, score = _trial(line, f"{path}, line {at}")
        pairs.append((numbers.setdefault(first, len(numbers)), numbers.setdefault(second, len(numbers))))
        same.append(one)
        if score is not None:
            scores.append(score)
    if not pairs:
        raise OptionError(f"{path}: no trials in it; a line is `1 a.wav b.wav`, or 0 for two speakers")
    if scores and len(scores) < len(pairs):
        raise OptionError(f"{path}: {len(scores)} of {len(pairs)} trials have a score; give all of them one, or none")
    return Trials(tuple(numbers), np.array(pairs), np.array(same), np.array(scores) if scores else None)


def _trial(line: str, where: str) -> tuple[str, str, bool, float | None]:
    parts = [part.strip() for part in line.split("\t")] if "\t" in line else line.split()
    if len(parts) == 3 and parts[0] in _SAME:
        return parts[1], parts[2], _SAME[parts[0]], None
    if len(parts) == 3 and parts[2] in _SAME:
        return parts[0], parts[1], _SAME[parts[2]], None
    if len(parts) == 4 and parts[3] in _SAME:
        try:
            score = float(parts[2])
        except ValueError:
            score = math.nan
        if math.isfinite(score):
            return parts[0], parts[1], _SAME[parts[3]], score
    raise OptionError(f"{where}: {line.strip()!r} is no trial; write `1 a.wav b.wav`, or 0 for two speakers")


def unit(vectors: NDArray[Any]) -> Floats:
    """Vectors (N, E) at length 1; zeros stay zeros."""
    wide = np.asarray(vectors, np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    units: Floats = np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)
    return units


def cosines(vectors: NDArray[Any], pairs: NDArray[np.int64]) -> Floats:
    """Scores (P,) of pairs among vectors (N, E)."""
    units = unit(vectors)
    parts = (pairs[at : at + _BLOCK] for at in range(0, len(pairs), _BLOCK))
    return np.concatenate([(units[part[:, 0]] * units[part[:, 1]]).sum(1) for part in parts])


def as_norm(scores: Floats, pairs: NDArray[np.int64], statistics: tuple[Floats, Floats]) -> Floats:
    """Adaptive symmetric normalisation (Matejka et al., 2017): each score as deviations from what its two sides get."""
    mean, deviation = statistics
    sides = [(scores - mean[pairs[:, side]]) / deviation[pairs[:, side]] for side in (0, 1)]
    normalised: Floats = (sides[0] + sides[1]) / 2
    return normalised


def cohort_statistics(vectors: NDArray[Any], cohort: NDArray[Any], top: int = TOP) -> tuple[Floats, Floats]:
    """For each of N vectors mean and deviation (N,) of its `top` highest cosines with a cohort (C, E).

    Raises OptionError for a cohort that is too small to have any.
    """
    count = min(top, len(cohort))
    if count < 2:
        raise OptionError(f"a cohort of {len(cohort)} says nothing of how scores spread; give hundreds of speakers")
    others = unit(cohort)
    highest = []
    for block in np.array_split(unit(vectors), max(1, len(vectors) // 256)):
        scores = block @ others.T
        highest.append(np.partition(scores, len(others) - count, axis=1)[:, -count:])
    best = np.concatenate(highest)
    deviation = best.std(1)
    if not (deviation > 0).all():
        raise OptionError("the cohort's vectors are all alike; give recordings of different speakers")
    return best.mean(1), deviation


def summary(scores: Floats, same: NDArray[np.bool_], prior: float, threshold: float | None = None) -> dict[str, Any]:
    """Equal error rate and its threshold, the least detection cost, and the two rates at a threshold that is given."""
    found: dict[str, Any] = {
        "eer": equal_error_rate(scores, same),
        "eer_threshold": equal_error_threshold(scores, same),
        "min_dcf": min_dcf(scores, same, prior),
        "prior": prior,
    }
    if threshold is not None and same.any() and not same.all():
        found["at"] = {
            "threshold": threshold,
            "refused": float((scores[same] < threshold).mean()),
            "taken": float((scores[~same] >= threshold).mean()),
        }
    return found
