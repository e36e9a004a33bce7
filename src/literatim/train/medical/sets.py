"""The frozen test sets of the medical model: what is said in each window, by which voice, with which noise.

`python -m literatim.train.medical.sets write` made the files in `train/sets/` before the first training run; nothing
is tuned on them. Voices, lines of trained templates, new templates and word sequences are all held out.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from literatim.train import sets, voices
from literatim.train.medical import grammar
from literatim.train.medical.spoken import spoken
from literatim.train.sets import FOLDER, add_noise
from literatim.train.speech import Espeak, Manner

KINDS = sets.KINDS
WINDOWS = 200
LONGEST = 16 * 16_000  # samples of a window


@dataclass(frozen=True)
class Line:
    """One line of a window: its start in samples, its text, the words that are said, and how."""

    start: int
    text: str
    said: str
    manner: Manner


@dataclass(frozen=True)
class Heard:
    """A window as sound, 16 kHz, with its text and its voice's variant."""

    samples: np.ndarray
    text: str
    variant: str


def path(kind: str) -> Path:
    """The file of a set."""
    return FOLDER / f"medical-{kind}.jsonl"


def plan(kind: str, seed: int = 4242) -> Iterator[dict[str, object]]:
    """Draw the windows of a set; needs espeak-ng to know how long a line takes."""
    rng, espeak = random.Random(f"medical-{kind}-{seed}"), Espeak()
    text_kind = "templates" if kind == "noise-15db" else kind
    for number in range(WINDOWS):
        manner = voices.choose(rng, "en", held_out=True)
        at, lines = rng.randint(1000, 8000), list[Line]()
        while not lines or len(lines) < rng.randint(1, 4):
            text = grammar.tested(text_kind, rng)
            said = spoken(text, rng)
            utterance = espeak.say(said, manner)
            if utterance is None or at + len(utterance.samples) > LONGEST:
                continue
            lines.append(Line(at, text, said, manner))
            at += len(utterance.samples) + rng.randint(1500, 9000)
        gain = round(rng.uniform(0.3, 1), 3)
        yield {"gain": gain, "noise": number if kind == "noise-15db" else None, "lines": [asdict(x) for x in lines]}


def render(kind: str) -> Iterator[Heard]:
    """The windows of a set as sound."""
    espeak = Espeak()
    for row in map(json.loads, path(kind).read_text("utf-8").splitlines()):
        samples = np.zeros(LONGEST + 8000, np.float32)
        end = 0
        for line in row["lines"]:
            utterance = espeak.say(line["said"], Manner(**line["manner"]))
            assert utterance is not None
            end = line["start"] + len(utterance.samples)
            samples[line["start"] : end] = utterance.samples
        samples = samples[: end + 4000]
        if row["noise"] is not None:
            add_noise(samples, row["noise"])
        text = " ".join(line["text"] for line in row["lines"])
        variant = row["lines"][0]["manner"]["voice"].partition("+")[2]
        yield Heard(samples * np.float32(row["gain"]), text, variant)


def main() -> None:
    """Write the sets; refuses to replace them."""
    if sys.argv[1:] != ["write"]:
        raise SystemExit("usage: python -m literatim.train.medical.sets write")
    for kind in KINDS:
        with path(kind).open("x", encoding="utf-8") as file:
            for row in plan(kind):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
