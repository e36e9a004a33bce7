"""Speakers who are known, by their names: what a book of voices makes of the turns of a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from literatim.types import Diarization, Turn


def with_names(found: Diarization, names: Mapping[str, str]) -> Diarization:
    """Speakers by `names` (label to name) where they have one.

    Those of one name are one speaker: their turns are joined where they touch, their vectors are the unit mean.
    """
    turns: list[Turn] = []
    for turn in found.turns:
        named = replace(turn, speaker=names.get(turn.speaker, turn.speaker))
        if turns and turns[-1].speaker == named.speaker and turns[-1].end >= named.start:
            turns[-1] = replace(turns[-1], end=max(turns[-1].end, named.end))
        else:
            turns.append(named)
    voices: dict[str, list[tuple[float, ...]]] = {}
    for label, voice in zip(found.speakers, found.voices, strict=True):
        voices.setdefault(names.get(label, label), []).append(voice)
    means = {name: np.mean(some, axis=0) for name, some in voices.items()}
    units = (mean / (np.linalg.norm(mean) or 1.0) for mean in means.values())
    return replace(
        found, turns=tuple(turns), speakers=tuple(means), voices=tuple(tuple(map(float, unit)) for unit in units)
    )
