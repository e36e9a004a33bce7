"""The bundled clips: some windows of the frozen test sets, so that decoding can be measured on words without espeak-ng.

    python -m literatim.train.clips src/literatim/demo/clips

73 of them, as many as in the published experiment with speculative decoding that `literatim bench spec` repeats.
`clips.jsonl` beside them has what is said in each, as `literatim bench wer` reads it, and each word's start and end in
seconds, as espeak-ng tells them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from literatim.train import evaluate, sets
from literatim.train.recordings import write_flac
from literatim.train.vocabulary import LANGUAGES

CLIPS = 73
TAIL = 4800  # samples after the last word; the rest of a window would be silence
STEP = 8 / 32767  # samples are multiples of it, 13 bits: the lowest three would be a quarter of a file


def windows() -> Iterator[tuple[str, str, evaluate.Window]]:
    """A name, a language and a window: the first of each set, as many of each as can be."""
    kinds = [(language, kind) for kind in sets.KINDS for language in LANGUAGES]
    for number, (language, kind) in enumerate(kinds):
        count = len(range(number, CLIPS, len(kinds)))
        for index, window in enumerate(islice(evaluate.windows(language, kind, None), count)):
            yield f"{language}-{kind}-{index}", language, window


def cut(window: evaluate.Window) -> np.ndarray:
    """The sound up to a little after the last word, in few bits."""
    end = round(window.spans[-1][1] * 16_000) + TAIL
    rounded: np.ndarray = np.round(window.samples[:end] / STEP) * STEP
    return np.asarray(np.clip(rounded, -1 + STEP, 1 - STEP), np.float32)


def make(folder: Path) -> None:
    """Write the clips and their words into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, language, window in windows():
        write_flac(folder / f"{name}.flac", cut(window))
        text = " ".join(text for _, _, text in window.spans)
        line: dict[str, Any] = {
            "audio": f"{name}.flac",
            "text": text,
            "language": language,
            "speaker": window.voice,
            "id": name,
        }
        line["words"] = [[round(start, 3), round(end, 3), word] for start, end, word in window.words]
        lines.append(json.dumps(line, ensure_ascii=False))
    (folder / "clips.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    make(parser.parse_args().folder)


if __name__ == "__main__":
    main()
