"""A training checkpoint as a folder for voices, and the cosine from which two of them are one.

    python -m literatim.train.speaker.export CHECKPOINT CORPUS OUT

The batch norms go into the convolutions; the centres of the trained voices, which only training needs, are left out.
The threshold in config.json is where both kinds of error are equally frequent on voices drawn for that alone: neither
those of training nor those of the test sets.
"""

from __future__ import annotations

import argparse
import itertools
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

VOICES, FRAMES = 80, (150, 300)  # voices of the threshold, frames of their crops
SEED = 90_000  # no process that makes a corpus has it


@torch.inference_mode()
def threshold(net: SpeakerNet) -> float:
    """The cosine at which as many pairs of one voice are told apart as pairs of two are taken for one."""
    rng, speaker = np.random.default_rng(SEED), Speaker(SEED)
    vectors: list[torch.Tensor] = []
    names: list[int] = []
    for number in range(VOICES):
        frames, _ = speaker.voice(number)
        for part in np.array_split(frames, UTTERANCES // 2):
            crop = torch.from_numpy(part[: int(rng.integers(*FRAMES))].astype(np.float32))
            vectors.append(torch.nn.functional.normalize(net(centred(crop)[None])[0], dim=0))
            names.append(number)
    cosines = torch.stack(vectors) @ torch.stack(vectors).T
    pairs = list(itertools.combinations(range(len(names)), 2))
    found = equal_error_threshold([float(cosines[a, b]) for a, b in pairs], [names[a] == names[b] for a, b in pairs])
    assert found is not None
    return found


def export(state: dict[str, torch.Tensor], folder: Path) -> None:
    """Write weights (float32) and config.json into `folder`."""
    made = standard(state)
    net = SpeakerNet(made.config).eval()
    net.load_state_dict(made.tensors)
    save_speaker(folder, made.config, made.tensors, said={"threshold": round(threshold(net), 3)})
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
