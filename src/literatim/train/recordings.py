"""The bundled sample recordings: meetings that were never held, in voices kept out of training.

    python -m literatim.train.recordings src/literatim/demo/recordings

The sentences are the grammars' `held-out sentences`, written for this purpose and in no template. Beside each
recording lies its reference, NAME.json, with the true times of every sentence and word.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from literatim.train import grammar, sounds, voices
from literatim.train.speech import Espeak, Manner

RATE = 16_000
PAUSES = (0.25, 0.9)  # seconds between sentences
SNR_DB = 15.0
SPEECH_VARIANCE = 0.006  # of an utterance with a peak of 0.5
FADE = 800  # samples over which noise comes and goes

Sound = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Speaker:
    """Who speaks: a name for the reference, a voice, and how loud it is."""

    name: str
    manner: Manner
    level: float


@dataclass(frozen=True)
class Plan:
    """A recording to be: each sentence's speaker by letter, and the sounds between blocks of sentences.

    `breaks` maps a number of sentences to the sound after them and its seconds; None is digital silence. `overlaps`
    maps a number of sentences to the seconds by which the next one begins before they end. `lines` are other sentences
    than the grammar's; `module` is what makes the recording.
    """

    name: str
    language: str
    first: int  # of the grammar's held-out sentences
    turns: str
    speakers: dict[str, Speaker]
    breaks: dict[int, tuple[Sound | None, float]] = field(default_factory=dict)
    noisy: bool = False
    overlaps: dict[int, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    module: str = "literatim.train.recordings"


_ENGLISH = {
    "A": Speaker("Speaker A", Manner("en-us+m5", 160, 40, 50), 1.0),
    "B": Speaker("Speaker B", Manner("en-us+f4", 165, 55, 60), 0.75),
}
_DUTCH = {
    "A": Speaker("Speaker A", Manner("nl+f4", 160, 55, 55), 0.9),
    "B": Speaker("Speaker B", Manner("nl+m5", 155, 40, 50), 0.7),
}
_NOISY = {"A": Speaker("Speaker A", Manner("en-us+Andy", 155, 45, 50), 0.8)}
PLANS = (
    Plan("meeting", "en", 0, "ABABBABAABABABABAB", _ENGLISH),
    Plan("vergadering", "nl", 0, "ABABABABBAB", _DUTCH),
    Plan(
        "noisy",
        "en",
        23,
        "AAAAAAA",
        _NOISY,
        {2: (None, 5.0), 4: (sounds.hum, 6.0), 6: (sounds.noise, 6.0)},
        noisy=True,
    ),
)


@dataclass(frozen=True)
class Word:
    """A word and where it is, in seconds."""

    word: str
    start: float
    end: float


@dataclass(frozen=True)
class Said:
    """A sentence, who said it, and where it is, in seconds."""

    start: float
    end: float
    text: str
    speaker: str
    voice: str
    words: tuple[Word, ...]


class Tape:
    """A recording in the making: samples put one after the other."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, np.ndarray]] = []
        self.length = 0

    def add(self, samples: np.ndarray, overlap: float = 0.0) -> float:
        """Append, `overlap` seconds of it over what is there; returns the seconds at which `samples` begin."""
        start = self.length - int(overlap * RATE)
        self._parts.append((start, samples.astype(np.float32)))
        self.length = max(self.length, start + len(samples))
        return start / RATE

    def samples(self) -> np.ndarray:
        """Everything so far, float32 (S,)."""
        mixed = np.zeros(self.length, np.float32)
        for start, part in self._parts:
            mixed[start : start + len(part)] += part
        return mixed


def _faded(samples: np.ndarray) -> np.ndarray:
    ramp = np.linspace(0, 1, FADE)
    envelope = np.concatenate([ramp, np.ones(len(samples) - 2 * FADE), ramp[::-1]])
    return np.asarray(samples * envelope, np.float32)


def _say(espeak: Espeak, text: str, speaker: Speaker, tape: Tape, overlap: float) -> Said:
    spoken = espeak.say(text, speaker.manner)
    assert spoken is not None
    start = tape.add(spoken.samples * speaker.level, overlap)
    ends = [*spoken.word_starts[1:], len(spoken.samples) / RATE]
    words = tuple(
        Word(word, round(start + first, 3), round(start + last, 3))
        for word, first, last in zip(text.split(), spoken.word_starts, ends, strict=True)
    )
    end = round(start + len(spoken.samples) / RATE, 3)
    return Said(round(start, 3), end, text, speaker.name, speaker.manner.voice, words)


def _noise_level(plan: Plan) -> float:
    """Amplitude of noise at SNR_DB below the first speaker."""
    return float(plan.speakers["A"].level * np.sqrt(SPEECH_VARIANCE) * 10 ** (-SNR_DB / 20))


def speak(plan: Plan, espeak: Espeak, seed: int) -> tuple[np.ndarray, list[Said]]:
    """The recording as float32 samples at 16 kHz, and what is said in it."""
    rng, tape, said = np.random.default_rng(seed), Tape(), list[Said]()
    noise: list[tuple[int, int]] = []  # stretches of speech that get noise under them
    sentences = plan.lines or grammar.load(plan.language).meeting[plan.first :]
    began = tape.length
    tape.add(np.zeros(RATE // 2))
    for number, letter in enumerate(plan.turns, 1):
        overlap = plan.overlaps.get(number - 1, 0.0)
        said.append(_say(espeak, sentences[number - 1], plan.speakers[letter], tape, overlap))
        if number not in plan.overlaps:
            tape.add(np.zeros(int(RATE * rng.uniform(*PAUSES))))
        if number in plan.breaks:
            noise.append((began, tape.length))
            sound, seconds = plan.breaks[number]
            count = int(seconds * RATE)
            tape.add(np.zeros(count) if sound is None else _faded(sound(rng, count) * _noise_level(plan)))
            began = tape.length
    noise.append((began, tape.length))
    samples = tape.samples()
    if plan.noisy:
        for first, last in noise:
            samples[first:last] += _faded(sounds.noise(rng, last - first) * _noise_level(plan))
    return samples, said


def write_flac(path: Path, samples: np.ndarray) -> None:
    """16-bit mono FLAC at 16 kHz of float samples below full scale."""
    pcm = np.round(samples * 32767).astype(np.int16)[None]
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono", options={"compression_level": "12"})
        for start in range(0, pcm.shape[1], RATE):
            block = np.ascontiguousarray(pcm[:, start : start + RATE])
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def reference(plan: Plan, samples: np.ndarray, said: list[Said], seed: int) -> dict[str, Any]:
    """What NAME.json holds."""
    return {
        "text": " ".join(sentence.text for sentence in said),
        "language": plan.language,
        "duration": round(len(samples) / RATE, 3),
        "segments": [asdict(sentence) for sentence in said],
        "made": (
            "Synthetic speech of espeak-ng voices that the demo Whisper was not trained on; "
            f"sentences written for this recording. python -m {plan.module}, seed {seed}."
            + (f" Noise {SNR_DB:g} dB below the speech; silence, hum and noise alone between." * plan.noisy)
        ),
    }


def make(folder: Path, plan: Plan, espeak: Espeak, seed: int) -> None:
    """Write a recording and its reference into `folder`."""
    assert all(s.manner.voice.split("+")[1] in voices.HELD_OUT for s in plan.speakers.values())
    folder.mkdir(parents=True, exist_ok=True)
    samples, said = speak(plan, espeak, seed)
    write_flac(folder / f"{plan.name}.flac", samples)
    content = json.dumps(reference(plan, samples, said, seed), ensure_ascii=False, indent=1)
    (folder / f"{plan.name}.json").write_text(content + "\n", "utf-8")


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    espeak = Espeak()
    for plan in PLANS:
        make(given.folder, plan, espeak, given.seed)


if __name__ == "__main__":
    main()
