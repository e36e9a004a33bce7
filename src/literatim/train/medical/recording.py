"""The bundled sample dictation: a report on a patient who does not exist, in a voice kept out of training.

    python -m literatim.train.medical.recording src/literatim/demo/dictations

Its lines were written for it. Beside it lies its reference, NAME.json: what is said with its markup, the report as it
is to be printed, and the true times of every line.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np

from literatim.text import dictation
from literatim.train import voices
from literatim.train.medical.spoken import spoken
from literatim.train.recordings import RATE, Tape, write_flac
from literatim.train.speech import Espeak, Manner

NAME, SEED = "chest-ct", 1
MANNER = Manner("en-us+f4", 180, 50, 55)
LEVEL, PAUSES = 0.8, (0.25, 0.6)  # amplitude; seconds between lines
LINES = (
    "[EXAM TYPE] CT chest PE protocol {period}",
    "[INDICATION] 62-year-old woman with shortness of breath {comma} evaluate for pulmonary embolism {period}",
    "[COMPARISON] None {period}",
    "[FINDINGS] {colon} {new paragraph}",
    "Pulmonary arteries {colon} There is a filling defect in the right lower lobe {comma} compatible with "
    "pulmonary embolism {period}",
    "Lungs {colon} Small bilateral effusions {comma} right greater than left {period}",
    "There is a 6 mm nodule in the left upper lobe {period} {new paragraph}",
    "Heart {colon} Normal in size {semicolon} no pericardial effusion {period} {new paragraph}",
    "[IMPRESSION] {colon} Acute pulmonary embolism {comma} right lower lobe {period}",
    "{new line} Follow up CT in 6 months {period}",
)


def make(folder: Path) -> None:
    """Write the recording and its reference into `folder`."""
    assert MANNER.voice.partition("+")[2] in voices.HELD_OUT
    folder.mkdir(parents=True, exist_ok=True)
    espeak, tape, rng = Espeak(), Tape(), random.Random(SEED)
    tape.add(np.zeros(RATE // 2))
    segments = []
    for line in LINES:
        said = espeak.say(spoken(line, rng), MANNER)
        assert said is not None
        start = tape.add(said.samples * LEVEL)
        segments.append({"start": round(start, 3), "end": round(start + len(said.samples) / RATE, 3), "text": line})
        tape.add(np.zeros(int(RATE * rng.uniform(*PAUSES))))
    samples, text = tape.samples(), " ".join(LINES)
    write_flac(folder / f"{NAME}.flac", samples)
    reference = {
        "text": text,
        "language": "en",
        "duration": round(len(samples) / RATE, 3),
        "report": dictation.report(text).text(),
        "segments": segments,
        "made": "Synthetic speech of an espeak-ng voice that no bundled model was trained on; nobody's report. "
        f"python -m literatim.train.medical.recording, seed {SEED}.",
    }
    (folder / f"{NAME}.json").write_text(json.dumps(reference, ensure_ascii=False, indent=1) + "\n", "utf-8")


def main() -> None:
    """Command line of this module."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m literatim.train.medical.recording FOLDER")
    make(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
