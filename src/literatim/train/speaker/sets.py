"""The frozen test sets of the speaker model: which voice says what and how, and the trials over them.

    python -m literatim.train.speaker.sets write
    python -m literatim.train.speaker.sets render drawn FOLDER

The first made the files in `train/sets/` before the first training run; nothing is tuned on them. Every voice and every
sentence is held out: `drawn` has voices drawn as those of training are, `variants` those that espeak-ng comes with.
`noisy` is `drawn` with noise at 10 dB, every other utterance through a telephone's band; `short` is `variants`, of each
utterance the first 1.5 s. The second writes a set as sound, with its trials in VoxCeleb's format beside it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfilt

from literatim.train import grammar, sounds
from literatim.train.recordings import write_flac
from literatim.train.speaker import voices
from literatim.train.speech import Espeak, Manner

FOLDER = Path(__file__).parent.parent / "sets"
SOURCES = {"drawn": "drawn", "noisy": "drawn", "variants": "variants", "short": "variants"}
"""Each set, and the one whose utterances and trials it has."""
DRAWN, UTTERANCES, DIFFERENT = 60, 5, 2400  # voices, utterances of each, trials of two voices
SHORTEST = int(2.5 * sounds.RATE)  # samples of an utterance
CUT = int(1.5 * sounds.RATE)
SNR_DB = 10.0
TELEPHONE = butter(4, (300, 3400), "bandpass", fs=sounds.RATE, output="sos")


@dataclass(frozen=True)
class Row:
    """An utterance: its name, its voice, the rules it is read by, what is said and how."""

    name: str
    voice: str
    accent: str
    text: str
    rate: int
    pitch: int
    pitch_range: int
    gain: float


class Cast:
    """Speaks the rows of a set."""

    def __init__(self, drawn: dict[str, voices.Voice]) -> None:
        self._drawn, self._espeak = drawn, Espeak()
        self._files = voices.Files(self._espeak)

    def say(self, row: Row) -> np.ndarray:
        """The utterance, (S,) float32 at 16 kHz."""
        drawn = self._drawn.get(row.voice)
        rules = row.accent.partition("/")[2].lower()
        voice = self._files.path(drawn, row.accent) if drawn else f"{rules}+{row.voice}"
        spoken = self._espeak.say(row.text, Manner(voice, row.rate, row.pitch, row.pitch_range))
        assert spoken is not None
        said: np.ndarray = spoken.samples * np.float32(row.gain)
        return said


def _path(name: str) -> Path:
    return FOLDER / f"speaker-{name}.jsonl"


def trials_path(kind: str) -> Path:
    """The trials of a set: lines of `1 A B` (one voice) and `0 A B` (two)."""
    return FOLDER / f"speaker-{SOURCES[kind]}.trials"


def read_drawn() -> dict[str, voices.Voice]:
    """The drawn voices of the sets, by name."""
    rows = map(json.loads, _path("voices").read_text("utf-8").splitlines())
    return {row["name"]: voices.Voice(row["name"], tuple(row["lines"])) for row in rows}


def _plan(cast: Cast, names: list[str], rng: random.Random) -> Iterator[Row]:
    for name, number in itertools.product(names, range(UTTERANCES)):
        accent = rng.choice(voices.TESTED)
        how, text = voices.manner(rng, name), ""
        while True:
            text += " " * bool(text) + grammar.tested(
                voices.ACCENTS[accent], rng.choice(["templates", "random-words"]), rng
            )
            gain = round(rng.uniform(0.3, 1), 3)
            row = Row(f"{name}-{number}.flac", name, accent, text, how.rate, how.pitch, how.pitch_range, gain)
            if len(cast.say(row)) >= SHORTEST:
                break
        yield row


def _trials(rows: list[Row], rng: random.Random) -> Iterator[str]:
    """Every pair of one voice, and some of two."""
    pairs = list(itertools.combinations(rows, 2))
    yield from (f"1 {a.name} {b.name}" for a, b in pairs if a.voice == b.voice)
    yield from (
        f"0 {a.name} {b.name}" for a, b in rng.sample([p for p in pairs if p[0].voice != p[1].voice], DIFFERENT)
    )


def _write_lines(path: Path, lines: list[str]) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def write(seed: int = 4242) -> None:
    """Draw the sets; refuses to replace them."""
    rng = random.Random(f"speaker-{seed}")
    drawn = [voices.draw(rng, f"test{number:02}") for number in range(DRAWN)]
    _write_lines(_path("voices"), [json.dumps(asdict(voice)) for voice in drawn])
    cast = Cast(read_drawn())
    for kind, names in (("drawn", [voice.name for voice in drawn]), ("variants", list(voices.VARIANTS))):
        rows = list(_plan(cast, names, rng))
        _write_lines(_path(kind), [json.dumps(asdict(row), ensure_ascii=False) for row in rows])
        _write_lines(trials_path(kind), list(_trials(rows, rng)))


def render(kind: str) -> Iterator[tuple[Row, np.ndarray]]:
    """The utterances of a set and their sound, (S,) float32 at 16 kHz, of 16 bits as in its files.

    espeak-ng goes on where it stopped, with its noise for one: a set is the same where it is a process's first.
    """
    cast = Cast(read_drawn())
    for number, line in enumerate(_path(SOURCES[kind]).read_text("utf-8").splitlines()):
        row = Row(**json.loads(line))
        samples = cast.say(row)
        if kind == "short":
            samples = samples[:CUT]
        if kind == "noisy":
            if number % 2:
                samples = sosfilt(TELEPHONE, samples).astype(np.float32)
            noise = sounds.noise(np.random.default_rng(number), len(samples))
            samples = samples + noise * np.sqrt((samples**2).mean()) * np.float32(10 ** (-SNR_DB / 20))
        yield row, (np.round(samples * 32767) / 32768).astype(np.float32)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write")
    rendering = commands.add_parser("render")
    rendering.add_argument("kind", choices=SOURCES)
    rendering.add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.command == "write":
        write()
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    for row, samples in render(given.kind):
        write_flac(given.folder / row.name, samples)
    (given.folder / "trials.txt").write_text(trials_path(given.kind).read_text("utf-8"), "utf-8")


if __name__ == "__main__":
    main()
