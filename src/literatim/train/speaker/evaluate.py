"""Measure the speaker model on its frozen test sets.

    python -m literatim.train.speaker.evaluate FOLDER --out FILE.json

Every utterance goes through the network on its own, in float32. Rates are shares, not per cent. The same folder gives
the same file.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from literatim.models.speaker_checkpoint import load_speaker_net
from literatim.pipeline.error_rates import equal_error_rate, min_dcf
from literatim.pipeline.voice import VoiceEncoder
from literatim.train.speaker import sets

Trial = tuple[bool, str, str]


def read_trials(kind: str) -> list[Trial]:
    """Whether two utterances of a set are of one voice, and their names."""
    rows = (line.split() for line in sets.trials_path(kind).read_text("utf-8").splitlines())
    return [(same == "1", first, second) for same, first, second in rows]


def score(vectors: dict[str, np.ndarray], trials: list[Trial], threshold: float) -> dict[str, Any]:
    """All numbers of one set, from the vectors (E,) of its utterances."""
    unit = {name: vector / np.linalg.norm(vector) for name, vector in vectors.items()}
    cosines = np.array([float(unit[first] @ unit[second]) for _, first, second in trials])
    same = np.array([one for one, _, _ in trials])
    eer, cost = equal_error_rate(cosines, same), min_dcf(cosines, same)
    assert eer is not None
    assert cost is not None
    return {
        "utterances": len(vectors),
        "trials": len(trials),
        "same": int(same.sum()),
        "eer": round(eer, 5),
        "min_dcf": round(cost, 5),
        "missed": round(float((cosines[same] < threshold).mean()), 5),
        "mistaken": round(float((cosines[~same] >= threshold).mean()), 5),
        "cosine_same": round(float(cosines[same].mean()), 4),
        "cosine_different": round(float(cosines[~same].mean()), 4),
    }


def measure(folder: Path, kind: str, threads: int) -> dict[str, Any]:
    """All numbers of one set, spoken in a process of its own."""
    torch.set_num_threads(threads)
    encoder = VoiceEncoder(load_speaker_net(folder, torch.float32, torch.device("cpu")))
    threshold = json.loads((folder / "config.json").read_text("utf-8"))["threshold"]
    vectors, seconds = dict[str, np.ndarray](), 0.0
    for row, samples in sets.render(kind):
        vectors[row.name] = encoder.embed([samples])[0]
        seconds += len(samples) / 16_000
    return {"seconds": round(seconds, 1), **score(vectors, read_trials(kind), threshold)}


def evaluate(folder: Path, threads: int) -> dict[str, Any]:
    """Every frozen set."""
    results = dict[str, dict[str, Any]]()
    for kind in sets.SOURCES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results[kind] = pool.apply(measure, (folder, kind, threads))
        sys.stderr.write(f"{kind}: EER {results[kind]['eer']:.2%}\n")
    threshold = json.loads((folder / "config.json").read_text("utf-8"))["threshold"]
    return {"threshold": threshold, "sets": results, "versions": {"torch": torch.__version__}}


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    result = evaluate(given.folder, given.threads)
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
