"""Utterances on disk: log-mel power, text, phonemes and word times, made in parallel by espeak-ng.

python -m literatim.train.corpus OUT --hours-english 55 --hours-dutch 35
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from literatim.audio import mel
from literatim.train import grammar, voices
from literatim.train.speech import Espeak

N_MELS = 80
LONGEST, SHORTEST = 7.4, 0.25  # seconds of an utterance
SHARD = 2000  # utterances a file


@dataclass(frozen=True)
class Spoken:
    """One utterance of the corpus: (frames, 80) float16 log10 mel power, and what was said."""

    power: np.ndarray
    text: str
    language: str
    phonemes: str
    word_starts: tuple[float, ...]
    free: bool


def log_power(samples: np.ndarray) -> np.ndarray:
    """(F, 80) float32 log10 mel power of 16 kHz samples, one row per 10 ms."""
    wave = torch.from_numpy(samples)
    return mel.frames_of(wave, 0, len(samples) // mel.HOP_LENGTH, N_MELS).T.numpy()


def write_shard(folder: Path, name: str, powers: list[np.ndarray], rows: list[dict[str, Any]]) -> None:
    """Utterances (frames, bands) one after the other, and a row of what was said for each."""
    np.save(folder / f"{name}.npy", np.concatenate(powers))
    (folder / f"{name}.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")


def make_shards(folder: Path, language: str, seconds: float, seed: int) -> float:
    """Speak until `seconds` of audio are on disk; returns the seconds made. One process."""
    torch.set_num_threads(1)
    rng, espeak, made = random.Random(f"{language}-{seed}"), Espeak(), 0.0
    powers: list[np.ndarray] = []
    rows: list[dict[str, Any]] = []
    shard = 0
    while made < seconds:
        manner = voices.choose(rng, language, held_out=False)
        for _ in range(8):  # changing the voice is slow
            text, free = grammar.trained(language, rng)
            spoken = espeak.say(text, manner)
            if spoken is None or not SHORTEST <= len(spoken.samples) / 16000 <= LONGEST:
                continue
            power = log_power(spoken.samples)
            starts = [round(start, 3) for start in spoken.word_starts]
            powers.append(power.astype(np.float16))
            rows.append(
                {
                    "frames": len(power),
                    "text": text,
                    "voice": manner.voice,
                    "phonemes": espeak.phonemes(text),
                    "starts": starts,
                    "free": free,
                }
            )
            made += len(power) / 100
        if len(rows) >= SHARD or made >= seconds:
            write_shard(folder, f"{language}-{seed}-{shard}", powers, rows)
            powers, rows, shard = [], [], shard + 1
    return made


def in_processes(work: Callable[..., Any], jobs: Iterable[tuple[Any, ...]], processes: int) -> None:
    """`work(*job)` for each job, so many at a time, each process begun anew; the first error ends them all."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for _ in pool.imap_unordered(_called, [(work, job) for job in jobs]):
            pass


def _called(call: tuple[Callable[..., Any], tuple[Any, ...]]) -> None:
    work, job = call
    work(*job)


def make(folder: Path, hours: dict[str, float], processes: int) -> None:
    """Fill `folder` with the corpus of each language."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        (folder, language, amount * 3600 / processes, seed)
        for language, amount in hours.items()
        for seed in range(processes)
    ]
    in_processes(make_shards, jobs, processes)


class Corpus:
    """All utterances of a folder, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self._powers: list[np.ndarray] = []
        self._rows: list[tuple[int, int, dict[str, Any]]] = []
        self.indices: dict[tuple[str, bool], list[int]] = {}
        for path in sorted(folder.glob("*.json")):
            language = path.name.split("-")[0]
            self._powers.append(np.load(path.with_suffix(".npy"), mmap_mode="r"))
            start = 0
            for row in json.loads(path.read_text("utf-8")):
                self.indices.setdefault((language, row["free"]), []).append(len(self._rows))
                self._rows.append((len(self._powers) - 1, start, {**row, "language": language}))
                start += row["frames"]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Spoken:
        shard, start, row = self._rows[index]
        power = np.asarray(self._powers[shard][start : start + row["frames"]])
        return Spoken(power, row["text"], row["language"], row["phonemes"], tuple(row["starts"]), row["free"])

    def phoneme_set(self) -> list[str]:
        """Every phoneme symbol of the corpus, sorted."""
        return sorted({symbol for _, _, row in self._rows for symbol in row["phonemes"]} - {" "})

    def texts(self) -> list[str]:
        """Every text, in corpus order."""
        return [row["text"] for _, _, row in self._rows]


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours-english", type=float, default=55)
    parser.add_argument("--hours-dutch", type=float, default=35)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    make(given.folder, {"en": given.hours_english, "nl": given.hours_dutch}, given.processes)


if __name__ == "__main__":
    main()
