"""Options of what is done with voices, as those of `options.py` are declared."""

from __future__ import annotations

from dataclasses import dataclass

from literatim.declare import as_in, option
from literatim.options import LoadOptions

FRONT_ENDS = ("kaldi", "librosa")


@dataclass(frozen=True)
class SpeakerLoadOptions:
    """Where a network for voices runs, in which numbers, and what it hears."""

    device: str = as_in(LoadOptions, "device")
    device_index: str | None = option(None, "which device of that kind, from 0")
    dtype: str = as_in(LoadOptions, "dtype")
    precision: str = as_in(LoadOptions, "precision")
    frontend: str = option(
        "kaldi",
        "what log-mel frames are made by: kaldi, which the published networks were trained on, or librosa, as some "
        "ports do; vectors of one are not for comparing with the other's",
        choices=FRONT_ENDS,
    )
    threshold: float | None = option(
        None,
        "cosine from which two voices are one speaker's (default: the model's own, else 0.5)",
        minimum=-1,
        maximum=1,
    )
