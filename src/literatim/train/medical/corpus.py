"""Spoken lines of reports on disk: MedASR's log-mel frames, text and phonemes, made in parallel by espeak-ng.

python -m literatim.train.medical.corpus OUT --hours 45
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LasrFeatureExtractor

from literatim.train import voices
from literatim.train.corpus import SHARD, in_processes, write_shard
from literatim.train.medical import grammar, vocabulary
from literatim.train.medical.spoken import spoken
from literatim.train.speech import Espeak

N_MELS = 128
LONGEST = 11.0  # seconds of an utterance
EACH = 8  # utterances before the voice changes, which is slow


def frames_of(extract: LasrFeatureExtractor, samples: np.ndarray) -> np.ndarray:
    """(F, 128) float32 natural log of mel power, one row per 10 ms, as the model reads it."""
    features: torch.Tensor = extract(samples, sampling_rate=16_000, return_tensors="pt").input_features
    return features[0].numpy()


def make_shards(folder: Path, seconds: float, seed: int) -> None:
    """Speak until `seconds` of audio are on disk. One process."""
    torch.set_num_threads(1)
    rng, espeak, extract = random.Random(f"medical-{seed}"), Espeak(), LasrFeatureExtractor()
    frames: list[np.ndarray] = []
    rows: list[dict[str, Any]] = []
    shard, made = 0, 0.0
    while made < seconds:
        manner = voices.choose(rng, "en", held_out=False)
        for _ in range(EACH):
            text, free = grammar.trained(rng)
            said = spoken(text, rng)
            utterance = espeak.say(said, manner)
            if utterance is None or len(utterance.samples) > LONGEST * 16_000:
                continue
            frames.append(frames_of(extract, utterance.samples).astype(np.float16))
            phonemes = espeak.phonemes(said)
            row = {"frames": len(frames[-1]), "text": text, "voice": manner.voice, "phonemes": phonemes}
            rows.append({**row, "starts": [], "free": free})
            made += len(utterance.samples) / 16_000
        if len(rows) >= SHARD or made >= seconds:
            write_shard(folder, f"en-{seed}-{shard}", frames, rows)
            frames, rows, shard = [], [], shard + 1


def make(folder: Path, hours: float, processes: int) -> None:
    """Fill `folder` with the corpus, and with the vocabulary of its texts."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(folder, hours * 3600 / processes, seed) for seed in range(processes)]
    in_processes(make_shards, jobs, processes)
    texts = [row["text"] for path in sorted(folder.glob("en-*.json")) for row in json.loads(path.read_text("utf-8"))]
    vocabulary.save(vocabulary.train(texts), folder / "pieces")


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=45)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    make(given.folder, given.hours, given.processes)


if __name__ == "__main__":
    main()
