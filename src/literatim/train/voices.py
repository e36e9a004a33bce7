"""Which espeak-ng voices are trained on, and which are kept for testing."""

from __future__ import annotations

import random

from literatim.train.speech import Manner

HELD_OUT = ("m5", "f4", "Andy")  # chosen before the first training run
TRAINED = (
    *("", "m1", "m2", "m3", "m4", "m6", "m7", "m8", "f1", "f2", "f3", "f5", "Alex", "Annie", "Michael", "adam"),
    *("anika", "belinda", "david", "linda", "paul", "steph", "victor", "max", "rob", "edward"),
)
ACCENTS = {
    "en": ("en-us", "en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-us-nyc"),
    "nl": ("nl",),
}
HELD_OUT_ACCENTS = {"en": ("en-us", "en"), "nl": ("nl",)}


def choose(rng: random.Random, language: str, held_out: bool) -> Manner:
    """A voice at random, with its rate, pitch and pitch range."""
    accents = (HELD_OUT_ACCENTS if held_out else ACCENTS)[language]
    variant = rng.choice(HELD_OUT if held_out else TRAINED)
    voice = rng.choice(accents) + (f"+{variant}" if variant else "")
    return Manner(voice, rng.randint(130, 200), rng.randint(20, 80), rng.randint(30, 80))
