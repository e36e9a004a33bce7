"""The frozen test sets: what is said in each window, by which voice, with which noise.

`python -m literatim.train.sets write` made the files in `sets/` before the first training run; nothing is tuned
on them. Voices, sentences of trained templates, new templates and word sequences are all held out.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from literatim.train import grammar, sounds, voices
from literatim.train.speech import Espeak, Manner
from literatim.train.vocabulary import LANGUAGES, WINDOW_SECONDS

FOLDER = Path(__file__).parent / "sets"
KINDS = ("templates", "new-templates", "random-words", "noise-15db")
WINDOWS = 300
LENGTH = WINDOW_SECONDS * 16_000  # samples


@dataclass(frozen=True)
class Line:
    """One utterance of a window: its start in samples, its text and how it is said."""

    start: int
    text: str
    manner: Manner


@dataclass(frozen=True)
class Heard:
    """A window as sound, 16 kHz, with its reference: (start, end, text) in seconds, of its segments and their words."""

    samples: np.ndarray
    segments: tuple[tuple[float, float, str], ...]
    words: tuple[tuple[float, float, str], ...]


def plan(language: str, kind: str, seed: int = 4242) -> Iterator[dict[str, object]]:
    """Draw the windows of a set; needs espeak-ng to know what fits into a window."""
    rng, espeak = random.Random(f"{language}-{kind}-{seed}"), Espeak()
    text_kind = "templates" if kind == "noise-15db" else kind
    made = 0
    while made < WINDOWS:
        manner = voices.choose(rng, language, held_out=True)
        at, lines = rng.randint(0, 8000), []
        for _ in range(rng.randint(1, 3)):
            text = grammar.tested(language, text_kind, rng)
            spoken = espeak.say(text, manner)
            if spoken is None or at + len(spoken.samples) > LENGTH:
                continue
            lines.append(Line(at, text, manner))
            at += len(spoken.samples) + rng.randint(1500, 9000)
        if lines:
            made += 1
            row = {"gain": round(rng.uniform(0.3, 1), 3), "noise": made if kind == "noise-15db" else None}
            yield {**row, "lines": [asdict(line) for line in lines]}


def render(language: str, kind: str) -> Iterator[Heard]:
    """The windows of a set as sound."""
    espeak = Espeak()
    for text in (FOLDER / f"{language}-{kind}.jsonl").read_text("utf-8").splitlines():
        row = json.loads(text)
        samples, segments = np.zeros(LENGTH, np.float32), []
        words: list[tuple[float, float, str]] = []
        for line in row["lines"]:
            spoken = espeak.say(line["text"], Manner(**line["manner"]))
            assert spoken is not None
            end = line["start"] + len(spoken.samples)
            samples[line["start"] : end] = spoken.samples[: LENGTH - line["start"]]
            segments.append((line["start"] / 16_000, end / 16_000, line["text"]))
            starts = [line["start"] / 16_000 + at for at in spoken.word_starts]
            words += zip(starts, [*starts[1:], end / 16_000], line["text"].split(), strict=True)
        if row["noise"] is not None:
            add_noise(samples, row["noise"])
        yield Heard(samples * np.float32(row["gain"]), tuple(segments), tuple(words))


def add_noise(samples: np.ndarray, seed: int) -> None:
    """15 dB below the speech, in place; between the utterances lie zeros."""
    speech = samples[samples != 0]
    noise = sounds.noise(np.random.default_rng(seed), len(samples))
    samples += noise * np.sqrt((speech**2).mean()) * 10 ** (-15 / 20)


def main() -> None:
    """Write the sets; refuses to replace them."""
    if sys.argv[1:] != ["write"]:
        raise SystemExit("usage: python -m literatim.train.sets write")
    FOLDER.mkdir(exist_ok=True)
    for language in LANGUAGES:
        for kind in KINDS:
            with (FOLDER / f"{language}-{kind}.jsonl").open("x", encoding="utf-8") as file:
                for row in plan(language, kind):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
