"""A training checkpoint as a MedASR folder of transformers' kind.

    python -m literatim.train.medical.export CHECKPOINT CORPUS OUT

Weights (bfloat16, batch normalisation in float32), configuration, feature extractor and tokenizer, each in the file and
under the names of the released google/medasr. The phoneme head, which only training needs, is left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from transformers import LasrFeatureExtractor, LasrForCTC, LasrProcessor, LasrTokenizer

from literatim.train.medical import fit
from literatim.train.medical.vocabulary import BLANK, SPECIALS, UNKNOWN


def tokenizer(pieces: Path) -> LasrTokenizer:
    """transformers' tokenizer of these pieces; the blank is its padding, as in the released model."""
    vocab = [(piece, score) for piece, score in json.loads(pieces.read_text("utf-8"))]
    return LasrTokenizer(
        vocab=vocab,
        pad_token=SPECIALS[BLANK],
        bos_token=SPECIALS[1],
        eos_token=SPECIALS[2],
        unk_token=SPECIALS[UNKNOWN],
        extra_ids=0,
    )


def export(state: dict[str, torch.Tensor], pieces: Path, folder: Path) -> None:
    """Write weights, configurations and tokenizer into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    model = LasrForCTC(fit.config())
    model.load_state_dict(state)
    model.to(torch.bfloat16)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.float()
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # written for its owner alone, and the folder is to be packaged
    extract = LasrFeatureExtractor()
    LasrProcessor(extract, tokenizer(pieces)).save_pretrained(folder)
    extract.save_pretrained(folder)


def training(state: dict[str, Any], corpus: Path) -> dict[str, str]:
    """What the card says of the training, from its checkpoint and its corpus."""
    rows = (row for path in corpus.glob("en-*.json") for row in json.loads(path.read_text("utf-8")))
    hours = sum(row["frames"] for row in rows) / 360_000
    clock, work = round(state["minutes"]), round(state["worked"])
    compute = (
        f"{state['step']:,} steps in {clock} minutes, of which one CPU core worked {work} and another composed windows"
    )
    return {"hours": f"{hours:.0f} hours", "compute": compute}


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    state = torch.load(given.checkpoint, weights_only=True)
    export(state["model"], given.corpus / "pieces", given.out)
    text = json.dumps(training(state, given.corpus), indent=1)
    (given.out / "training.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
