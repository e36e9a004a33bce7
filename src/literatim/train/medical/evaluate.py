"""Measure the medical model on its frozen test sets: greedy by transformers, with its n-gram model by Literatim.

    python -m literatim.train.medical.evaluate FOLDER --out FILE.json

Every window is decoded on its own, in float32. Rates are shares, not per cent. The same folder gives the same file.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import jiwer
import torch
import transformers
from transformers import LasrForCTC, LasrProcessor

from literatim.api import load
from literatim.bench.wer import medasr
from literatim.train.medical import language_model, sets
from literatim.train.medical.grammar import MARKUP


def bare(text: str) -> str:
    """As `medasr`, of the words that are no commands and no headings."""
    return medasr(MARKUP.sub(" ", text))


def error_rate(references: Sequence[str], texts: Sequence[str]) -> float:
    """Word error rate over all texts together; those without a word in their reference are left out."""
    kept = [(reference, text) for reference, text in zip(references, texts, strict=True) if reference]
    return round(float(jiwer.wer([reference for reference, _ in kept], [text for _, text in kept])), 5)


class Model:
    """The model under test."""

    def __init__(self, folder: Path) -> None:
        self._processor = LasrProcessor.from_pretrained(folder)
        self._model = LasrForCTC.from_pretrained(folder, dtype=torch.float32).eval()

    def hear(self, heard: sets.Heard) -> str:
        """The text of one window, with its markup."""
        inputs = self._processor(audio=heard.samples, sampling_rate=16_000)
        made = self._model.generate(**inputs)
        text: str = self._processor.tokenizer.decode(made[0].tolist(), skip_special_tokens=True)
        return re.sub(r"\s+", " ", text).strip()


def score(asked: Sequence[sets.Heard], texts: Sequence[str], searched: Sequence[str]) -> dict[str, Any]:
    """All numbers of one set: of the greedy texts, and a rate of those that an n-gram model helped to."""
    references = [window.text for window in asked]
    rules: dict[str, Callable[[str], str]] = {"wer": medasr, "wer_without_commands": bare, "wer_as_written": str}
    rates = {
        name: error_rate([rule(text) for text in references], [rule(text) for text in texts])
        for name, rule in rules.items()
    }
    voices = {
        variant: [index for index, window in enumerate(asked) if window.variant == variant]
        for variant in sorted({window.variant for window in asked})
    }
    return {
        "windows": len(asked),
        "seconds": round(sum(len(window.samples) for window in asked) / 16_000, 1),
        "words": sum(len(medasr(text).split()) for text in references),
        **rates,
        "wer_with_language_model": error_rate(*([medasr(text) for text in group] for group in (references, searched))),
        "wer_by_voice": {
            variant: error_rate([medasr(references[i]) for i in rows], [medasr(texts[i]) for i in rows])
            for variant, rows in voices.items()
        },
    }


@torch.inference_mode()
def evaluate(folder: Path, limit: int | None) -> dict[str, Any]:
    """Every frozen set, or its first `limit` windows."""
    model, ours, results = Model(folder), load(folder, device="cpu", dtype="float32"), dict[str, dict[str, Any]]()
    for kind in sets.KINDS:
        asked = list(islice(sets.render(kind), limit))
        searched = [ours.transcribe(window.samples, language_model=language_model.FILE).text for window in asked]
        results[kind] = row = score(asked, [model.hear(window) for window in asked], searched)
        sys.stderr.write(f"{kind}: WER {row['wer']:.2%}, {row['wer_with_language_model']:.2%} with an n-gram model\n")
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "jiwer": version("jiwer")}
    return {"sets": results, "versions": versions}


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="windows of each set")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    transformers.logging.set_verbosity_error()
    result = evaluate(given.folder, given.limit)
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
