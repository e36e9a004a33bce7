"""How far the times of words are from the true ones, on the bundled clips and recordings.

espeak-ng, which speaks in them, told where each word begins. A word's end is the beginning of the next one in its
sentence. Only words that were heard right can be measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from literatim import demo
from literatim.api import Recognizer
from literatim.audio.decode import decode
from literatim.bench.live import Spoken, matches, spoken
from literatim.bench.spec_clips import FOLDER
from literatim.bench.table import Table, percent
from literatim.provenance.fingerprint import fingerprint

NEAR = 0.25  # seconds
SETS = ("clips", "clips with noise", "recordings", "recording with noise")
TOGETHER = {"clean": ("clips", "recordings"), "noisy": ("clips with noise", "recording with noise")}


@dataclass(frozen=True)
class Known:
    """A recording (S,) whose words have known times, and the set that it belongs to."""

    name: str
    kind: str
    samples: NDArray[np.float32]
    words: Sequence[Spoken]
    language: str


@dataclass
class Errors:
    """Seconds between the times of words and the true ones, and how many words there were."""

    starts: list[float]
    ends: list[float]
    spoken: int = 0

    def __add__(self, other: Errors) -> Errors:
        return Errors(self.starts + other.starts, self.ends + other.ends, self.spoken + other.spoken)

    def to_dict(self) -> dict[str, Any]:
        """Medians and 95th percentiles of the distances, and the share of starts and ends that are near."""
        found: dict[str, Any] = {"words": self.spoken, "words_heard_right": len(self.starts)}
        for name, values in (("start", self.starts), ("end", self.ends), ("both", self.starts + self.ends)):
            away = np.abs(values)
            if len(away):
                levels = {f"p{level}": round(float(np.percentile(away, level)), 4) for level in (50, 95)}
                found[name] = {**levels, "near": float((away <= NEAR).mean())}
        return found


def known() -> Iterator[Known]:
    """The bundled clips and recordings. Raises OptionError."""
    for line in map(json.loads, (FOLDER / "clips.jsonl").read_text("utf-8").splitlines()):
        words = [Spoken(word, start, end) for start, end, word in line["words"]]
        kind = "clips with noise" if "noise" in line["id"] else "clips"
        yield Known(line["id"], kind, decode(FOLDER / line["audio"]).samples[0], words, line["language"])
    for file in demo.recordings():
        kind = "recording with noise" if "noisy" in file.stem else "recordings"
        yield Known(file.stem, kind, decode(file).samples[0], *spoken(file.with_suffix(".json")))


def run(recognizer: Recognizer, recordings: Sequence[Known], tell: Callable[[str], None]) -> dict[str, Any]:
    """The report: by set, and sets together."""
    found = {kind: Errors([], []) for kind in SETS}
    for recording in recordings:
        tell(recording.name)
        found[recording.kind] += measured(recognizer, recording)
    sums = {name: sum((found[kind] for kind in kinds), Errors([], [])) for name, kinds in TOGETHER.items()}
    return {
        "kind": "literatim bench words",
        "model": recognizer.name,
        "near": NEAR,
        "sets": {kind: errors.to_dict() for kind, errors in (found | sums).items()},
        "environment": fingerprint(str(recognizer.device), [str(recognizer.dtype).removeprefix("torch.")], ()),
    }


def measured(recognizer: Recognizer, recording: Known) -> Errors:
    """Of one recording."""
    heard = recognizer.transcribe(recording.samples, language=recording.language, word_timestamps=True)
    words = [word for segment in heard.segments for word in segment.words or ()]
    errors = Errors([], [], len(recording.words))
    pairs = matches([item.word for item in recording.words], [item.word.strip() for item in words])
    for true, told in ((recording.words[ours], words[theirs]) for ours, theirs in pairs):
        errors.starts.append(told.start - true.start)
        errors.ends.append(told.end - true.end)
    return errors


def table(report: dict[str, Any]) -> Table:
    """A line for each set."""
    columns = ("set", "words", "heard right", "start p50", "p95", "end p50", "p95", f"within {1000 * NEAR:.0f} ms")
    rows = []
    for kind, found in report["sets"].items():
        if "both" in found:
            times = [f"{1000 * found[name][level]:.0f} ms" for name in ("start", "end") for level in ("p50", "p95")]
            counts = (str(found["words"]), str(found["words_heard_right"]))
            rows.append((kind, *counts, *times, percent(found["both"]["near"])))
    return Table(f"Times of words, {report['model']}", columns, tuple(rows))
