"""The bundled clips: which there are, their features, and the word error rate of what was made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from literatim import demo
from literatim.audio import mel
from literatim.audio.decode import decode
from literatim.bench import wer
from literatim.bench.manifest import Case, read_manifest
from literatim.errors import OptionError
from literatim.models.config import WhisperConfig

FOLDER = Path(demo.__file__).parent / "clips"
MARGINS = FOLDER / "margins.json"


@dataclass(frozen=True)
class Clip:
    """A recording of one window, with its words: `features` (M, T), `samples` (S,)."""

    case: Case
    samples: Tensor
    features: Tensor

    @property
    def language(self) -> str:
        """Its code."""
        return self.case.language or "en"


def cases() -> list[Case]:
    """The clips of this installation; OptionError where it has none."""
    manifest = FOLDER / "clips.jsonl"
    if not manifest.is_file():
        raise OptionError("this installation lacks the bundled clips; reinstall literatim, or measure a --shape")
    return read_manifest(manifest).cases


def read(found: Sequence[Case], config: WhisperConfig) -> list[Clip]:
    """Decode them, each filled up to a window; OptionError where one is longer than a window of this model."""
    size = config.window_frames * 160
    clips = []
    for case in found:
        samples = torch.from_numpy(decode(case.audio).samples[0])
        if len(samples) > size:
            seconds = config.source_positions / 50
            raise OptionError(f"{case.id} is longer than a window of this model ({seconds:g} s); measure a --shape")
        filled = torch.nn.functional.pad(samples, (0, size - len(samples)))
        clips.append(Clip(case, filled, mel.log_mel(filled[None], config.n_mels)[0]))
    return clips


class Scorer:
    """Word error rates of texts for the clips, by the normalisers of `bench wer`."""

    def __init__(self, clips: Sequence[Clip], folder: Path) -> None:
        self._clips = clips
        self._rules = wer.normalizers("all", wer.spelling(folder))

    def score(self, texts: Sequence[str]) -> dict[str, Any]:
        """Over all clips and by language: `wer` after the basic normaliser, which knows no language."""
        by_language: dict[str, list[wer.Counts]] = {}
        for clip, text in zip(self._clips, texts, strict=True):
            counts = wer.score(clip.case.text, text, clip.language, self._rules)
            by_language.setdefault(clip.language, []).append(counts["basic"])
        every = [counts for found in by_language.values() for counts in found]
        rates = {language: wer.rates(found)["wer"] for language, found in by_language.items()}
        return {"normalizer": "basic", "wer": wer.rates(every)["wer"], "by_language": rates}
