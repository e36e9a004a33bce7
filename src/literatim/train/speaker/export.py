"""A training checkpoint as a folder for voices, and the cosines from which two of them are one.

    python -m literatim.train.speaker.export CHECKPOINT CORPUS OUT

The batch norms go into the convolutions; the centres of the trained voices, which only training needs, are left out.
The cosines in config.json are measured on voices drawn for that alone: neither those of training nor those of the test
sets.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from literatim.audio.fbank import centred
from literatim.models.folder import WEIGHTS
from literatim.models.speaker import SpeakerNet
from literatim.models.speaker_checkpoint import save_speaker
from literatim.models.speaker_formats import standard
from literatim.pipeline.error_rates import equal_error_threshold
from literatim.train.speaker.corpus import UTTERANCES, Corpus, Speaker

VOICES, PARTS = 80, UTTERANCES // 2  # voices that cosines are measured on, and crops of each
FRAMES, WINDOW = (150, 300), 150  # of a crop, and of a window that diarization hears
SEED = 90_000  # no process that makes a corpus has it


@torch.inference_mode()
def cosines(net: SpeakerNet) -> dict[str, float]:
    """What config.json says of cosines, measured on voices drawn for that alone.

    `threshold`: from where two recordings are one voice's; as many pairs of one are below as pairs of two are not.
    `cluster_similarity`: from where two groups of windows are, halfway between the means of pairs of one and of two.
    """
    rng, speaker = np.random.default_rng(SEED), Speaker(SEED)
    crops: list[torch.Tensor] = []
    windows: list[torch.Tensor] = []
    for number in range(VOICES):
        for part in np.array_split(speaker.voice(number)[0].astype(np.float32), PARTS):
            for kind, frames in ((crops, int(rng.integers(*FRAMES))), (windows, WINDOW)):
                kind.append(net(centred(torch.from_numpy(part[:frames]))[None])[0])
    voice = np.repeat(np.arange(VOICES), PARTS)
    first, second = np.triu_indices(len(voice), 1)
    same = voice[first] == voice[second]
    of_crops, of_windows = (_products(torch.stack(kind))[first, second] for kind in (crops, windows))
    threshold = equal_error_threshold(of_crops, same)
    assert threshold is not None
    halfway = (of_windows[same].mean() + of_windows[~same].mean()) / 2
    return {"threshold": round(threshold, 3), "cluster_similarity": round(float(halfway), 2)}


def _products(vectors: torch.Tensor) -> np.ndarray:
    unit = torch.nn.functional.normalize(vectors)
    return (unit @ unit.T).numpy()


def export(state: dict[str, torch.Tensor], folder: Path) -> None:
    """Write weights (float32) and config.json into `folder`."""
    made = standard(state)
    net = SpeakerNet(made.config).eval()
    net.load_state_dict(made.tensors)
    save_speaker(folder, made.config, made.tensors, said=cosines(net))
    (folder / WEIGHTS).chmod(0o644)  # written for its owner alone, and the folder is to be packaged


def training(state: dict[str, Any], corpus: Path) -> dict[str, str]:
    """What the card says of the training, from its checkpoint and its corpus."""
    spoken = Corpus(corpus)
    clock, work = round(state["minutes"]), round(state["worked"])
    return {
        "data": f"{spoken.hours():.0f} hours of speech in {len(spoken):,} voices",
        "calibrated": f"{VOICES}",
        "compute": f"{state['step']:,} steps in {clock} minutes, of which one CPU core worked {work}",
    }


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    state = torch.load(given.checkpoint, weights_only=True)
    export(state["model"], given.out)
    text = json.dumps(training(state, given.corpus), indent=1)
    (given.out / "training.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
