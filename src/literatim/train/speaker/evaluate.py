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

from literatim.bench.trials import Trials, cosines, read_trials, summary
from literatim.models.speaker_checkpoint import load_speaker_net
from literatim.pipeline.error_rates import PRIOR
from literatim.pipeline.voice import VoiceEncoder
from literatim.train.speaker import sets


def score(vectors: dict[str, np.ndarray], trials: Trials, threshold: float) -> dict[str, Any]:
    """All numbers of one set, from the vectors (E,) of its utterances."""
    same, scores = trials.same, cosines(np.stack([vectors[name] for name in trials.names]), trials.pairs)
    found = summary(scores, same, PRIOR, threshold)
    return {
        "utterances": len(vectors),
        "trials": len(same),
        "same": int(same.sum()),
        "eer": round(found["eer"], 5),
        "min_dcf": round(found["min_dcf"], 5),
        "missed": round(found["at"]["refused"], 5),
        "mistaken": round(found["at"]["taken"], 5),
        "cosine_same": round(float(scores[same].mean()), 4),
        "cosine_different": round(float(scores[~same].mean()), 4),
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
    return {"seconds": round(seconds, 1), **score(vectors, read_trials(sets.trials_path(kind)), threshold)}


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
