"""Choose the decoder heads whose cross-attention follows the words, and name them in generation_config.json.

    python -m literatim.train.alignment FOLDER

espeak-ng tells when each word begins, so each head's error can be measured. A head's word starts are found as
openai/whisper finds them (`timing.py`: z-score over tokens, median filter over time, mean over heads, dynamic
time warping), on windows in trained voices; nothing of the test sets is used.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from literatim.decode.align import STEP_SECONDS, sharpened, starts
from literatim.train import grammar, voices
from literatim.train.speech import Espeak
from literatim.train.vocabulary import IDS, LANGUAGES, WINDOW_SECONDS

MOST_HEADS = 6
WINDOWS = 40
RATE = 16_000

Head = tuple[int, int]  # layer, head


@dataclass(frozen=True)
class Window:
    """8 s of sound with its words and their starts in seconds."""

    samples: np.ndarray
    language: str
    words: tuple[str, ...]
    starts: tuple[float, ...]


def windows(count: int, seed: int) -> Iterator[Window]:
    """Windows of one or two sentences of the training side in trained voices, languages in turn."""
    rng, espeak = random.Random(seed), Espeak()
    for number in range(count):
        language = LANGUAGES[number % len(LANGUAGES)]
        manner = voices.choose(rng, language, held_out=False)
        samples, at = np.zeros(WINDOW_SECONDS * RATE, np.float32), rng.randint(0, RATE // 2)
        words: list[str] = []
        starts: list[float] = []
        while not words or rng.random() < 0.5:
            text, _ = grammar.trained(language, rng)
            spoken = espeak.say(text, manner)
            if spoken is None or at + len(spoken.samples) > len(samples):
                continue
            samples[at : at + len(spoken.samples)] = spoken.samples
            words += text.split()
            starts += [at / RATE + start for start in spoken.word_starts]
            at += len(spoken.samples) + rng.randint(RATE // 4, RATE)
            if at > len(samples) - 2 * RATE:
                break
        yield Window(samples, language, tuple(words), tuple(starts))


@dataclass(frozen=True)
class Attended:
    """One window as the decoder attends to it: scores (H, N, T), the row of each word, and its true start."""

    scores: np.ndarray
    rows: tuple[int, ...]
    starts: tuple[float, ...]

    def errors(self, heads: Sequence[int]) -> np.ndarray:
        """Seconds between the starts that `heads` find together and the true ones: (words,)."""
        columns = starts(self.scores[list(heads)].mean(0))
        return np.asarray(np.abs(columns[list(self.rows)] * STEP_SECONDS - np.asarray(self.starts)), float)


class Attention:
    """A model that shows its cross-attention."""

    def __init__(self, folder: Path) -> None:
        self._processor = WhisperProcessor.from_pretrained(folder)
        self._model = WhisperForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        config = self._model.config
        self.heads: list[Head] = [
            (layer, head) for layer in range(config.decoder_layers) for head in range(config.decoder_attention_heads)
        ]

    @torch.inference_mode()
    def attend(self, window: Window) -> Attended:
        """Give the decoder the window's true words."""
        start = [IDS.sot, IDS.language(window.language), IDS.transcribe]
        text: list[int] = []
        rows: list[int] = []
        for word in window.words:
            rows.append(len(text))
            text += self._processor.tokenizer.encode(" " + word, add_special_tokens=False)
        extract = self._processor.feature_extractor
        features = extract(window.samples, sampling_rate=RATE, return_tensors="pt").input_features
        output: Any = self._model(
            input_features=features,
            decoder_input_ids=torch.tensor([[*start, IDS.no_timestamps, *text, IDS.eot]]),
            output_attentions=True,
        )
        attention = torch.cat([layer[0] for layer in output.cross_attentions])  # (H of all layers, N, T)
        # the row that reads a token's predecessor is the one that finds the token
        scores = torch.stack([sharpened(head) for head in attention])
        return Attended(scores[:, len(start) : -1].numpy(), tuple(rows), window.starts)


def mean_error(attended: Sequence[Attended], heads: Sequence[int]) -> float:
    """Mean absolute error over all words, in seconds."""
    return float(np.concatenate([window.errors(heads) for window in attended]).mean())


def choose(attended: Sequence[Attended], count: int) -> tuple[list[int], dict[int, float]]:
    """The best heads together, and each head's own error in seconds.

    Heads are taken in the order of their own errors, as many (up to six) as give the smallest error together.
    """
    own = {head: mean_error(attended, [head]) for head in range(count)}
    ranked = sorted(own, key=lambda head: own[head])
    sizes = range(1, min(MOST_HEADS, count) + 1)
    best = min(sizes, key=lambda size: mean_error(attended, ranked[:size]))
    return sorted(ranked[:best]), own


def align(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Choose the heads of the model in `folder`, write them into its generation_config.json, and report."""
    model = Attention(folder)
    attended = [model.attend(window) for window in windows(count, seed)]
    chosen, own = choose(attended, len(model.heads))
    path = folder / "generation_config.json"
    content = {**json.loads(path.read_text("utf-8")), "alignment_heads": [list(model.heads[i]) for i in chosen]}
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
    errors = np.concatenate([window.errors(chosen) for window in attended])
    return {
        "windows": count,
        "words": len(errors),
        "alignment_heads": content["alignment_heads"],
        "mean_error_ms": round(float(errors.mean()) * 1000, 1),
        "median_error_ms": round(float(np.median(errors)) * 1000, 1),
        "within_200_ms": round(float((errors < 0.2).mean()), 4),
        "each_head_ms": {f"{model.heads[i][0]}.{model.heads[i][1]}": round(own[i] * 1000, 1) for i in own},
    }


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--windows", type=int, default=WINDOWS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    transformers.logging.set_verbosity_error()
    sys.stdout.write(json.dumps(align(given.folder, given.windows, given.seed), indent=1) + "\n")


if __name__ == "__main__":
    main()
