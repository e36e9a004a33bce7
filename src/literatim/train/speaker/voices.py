"""Voices that are drawn: files of espeak-ng's voice format, each a speaker to tell from the others.

What belongs to the voice is in the file: its range of pitch, its formants (where they lie, how strong and how wide
they are), flutter, roughness, how strong voiced sounds and consonants are, breath, tone and the way it is synthesised.
What does not is drawn anew for each utterance: language, rate, a shift of the pitch, its range, text, and the channel.
"""

from __future__ import annotations

import math
import random
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path

from literatim.train import voices as variants
from literatim.train.speech import Espeak, Manner

ACCENTS = {  # files of espeak-ng's `lang/`, and the language of the texts they read
    "gmw/en-US": "en",
    "gmw/en": "en",
    "gmw/en-GB-scotland": "en",
    "gmw/nl": "nl",
    "gmw/de": "nl",
    "gmq/sv": "nl",
    "roa/es": "en",
    "roa/it": "en",
    "zlw/pl": "en",
}
WEIGHTS = (6, 2, 1, 5, 1, 1, 1, 1, 1)  # how often each is spoken in training
TESTED = ("gmw/en-US", "gmw/nl")
RATES, PITCHES, RANGES = (130, 200), (40, 60), (30, 80)

# espeak-ng's own variants, none of which is trained on: those of the sample recordings and others, one of each family,
# without whispers, robots and those that are another's with a new name.
VARIANTS = (
    *variants.HELD_OUT,
    *("m1", "m2", "m3", "m4", "m6", "m7", "m8", "f1", "f2", "f3", "f5", "Alex", "Alicia", "Annie", "Denis", "Gene"),
    *("Hugo", "Jacky", "Lee", "Michael", "adam", "anika", "belinda", "benjamin", "boris", "caleb", "david", "ed"),
    *("edward", "grandma", "grandpa", "iven", "linda", "max", "norbert", "paul", "quincy", "rob", "steph", "victor"),
)


@dataclass(frozen=True)
class Voice:
    """A speaker: a name, and lines of an espeak-ng voice file."""

    name: str
    lines: tuple[str, ...]


def _around(rng: random.Random, middle: float, deviation: float, low: float, high: float) -> int:
    """A whole number, log-normal around `middle`, within `low` and `high`."""
    return round(min(high, max(low, middle * math.exp(rng.gauss(0, deviation)))))


def _formants(rng: random.Random, lowest_pitch: float) -> list[str]:
    """Vocal tracts are shorter where voices are higher, but not in step; each formant differs besides."""
    tract = 100 * (lowest_pitch / 95) ** 0.22 * math.exp(rng.gauss(0, 0.05))
    dull = rng.random() < 0.15  # little above the third formant
    lines = []
    for number in range(9):
        place = _around(rng, tract, 0.055 if number < 4 else 0.07, 65, 150)
        height = _around(rng, 30 if dull and number > 3 else 95, 0.2, 5, 170)
        lines.append(f"formant {number} {place} {height} {_around(rng, 112, 0.25, 50, 220)}")
    return lines


def draw(rng: random.Random, name: str) -> Voice:
    """A speaker at random."""
    lowest = math.exp(rng.uniform(math.log(58), math.log(205)))
    lines = [f"pitch {lowest:.0f} {lowest * rng.uniform(1.12, 1.75):.0f}", *_formants(rng, lowest)]
    lines.append(f"flutter {rng.choice([0, 1, 2, 2, 2, 3, 5, 10, 20])}")
    lines.append(f"voicing {_around(rng, 95, 0.25, 35, 160)}")
    lines.append(f"consonants {_around(rng, 95, 0.3, 40, 200)} {_around(rng, 95, 0.3, 40, 200)}")
    if rng.random() < 0.3:
        lines.append(f"roughness {rng.randint(0, 4)}")
    if rng.random() < 0.15:
        lines.append(f"klatt {rng.randint(1, 6)}")
    if rng.random() < 0.15:
        lines.append("breath " + " ".join(str(rng.randint(0, 8)) for _ in range(8)))
        lines.append("breathw 150 150 200 200 400 400 600 600")
    if rng.random() < 0.1:
        lines.append(f"echo {rng.randint(20, 180)} {rng.randint(5, 35)}")
    if rng.random() < 0.4:
        heights = (_around(rng, middle, 0.3, 40, 255) for middle in (170, 140, 115, 100))
        lines.append(
            "tone " + " ".join(f"{at} {height}" for at, height in zip((600, 1200, 2000, 3200), heights, strict=True))
        )
    if rng.random() < 0.3:
        lines.append("stressAmp " + " ".join(str(rng.randint(14, 30)) for _ in range(8)))
    if rng.random() < 0.3:
        lines.append(f"intonation {rng.randint(1, 4)}")
    return Voice(name, tuple(lines))


def manner(rng: random.Random, voice: str) -> Manner:
    """How this voice says something now."""
    return Manner(voice, rng.randint(*RATES), rng.randint(*PITCHES), rng.randint(*RANGES))


class Files:
    """Voice files of drawn voices in a temporary folder: espeak-ng reads a file only by a short path in lower case."""

    def __init__(self, espeak: Espeak) -> None:
        self._espeak = espeak
        self._folder = Path(tempfile.mkdtemp(prefix="voices"))
        weakref.finalize(self, shutil.rmtree, self._folder)

    def path(self, voice: Voice, accent: str) -> str:
        """The file of a voice with the rules of a language (a key of `ACCENTS`)."""
        path = self._folder / f"{voice.name}.{accent.partition('/')[2].lower()}"
        if not path.exists():
            rules = (self._espeak.data / "lang" / accent).read_text("utf-8")
            path.write_text("\n".join([rules, *voice.lines, ""]), "utf-8")
        return str(path)
