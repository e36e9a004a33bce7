"""Windows on disk, to train a draft on: tokens, encoder states, and the main model's hidden states where it spoke.

Encoder states are kept because computing them again in each pass over the data would be most of the training; they
take 2 S D bytes a window (3.8 MB for a large Whisper, half a gigabyte an hour).

    windows.jsonl   one line a window: recording, seek, prompt, said
    states.f16      (windows, S, D) float16
    hidden.f16      (all tokens said, D) float16
    progress.json   how much of these files counts: it is replaced, at once, after each group of recordings
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from literatim.train.hear import Heard

_STATES, _HIDDEN, _LINES, _PROGRESS = "states.f16", "hidden.f16", "windows.jsonl", "progress.json"
_FILES = (_STATES, _HIDDEN, _LINES)


@dataclass(frozen=True)
class Progress:
    """How many recordings were heard or left out, seconds of sound heard, and the sizes of the files in bytes."""

    recordings: int = 0
    left_out: int = 0
    seconds: float = 0.0
    states: int = 0
    hidden: int = 0
    lines: int = 0
    finished: bool = False


def write_json(path: Path, content: Any) -> None:
    """Replace `path` at once: a process that is killed leaves the old file or the new one."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def read_progress(folder: Path) -> Progress:
    """What counts in a folder; nothing where nothing was begun."""
    path = folder / _PROGRESS
    return Progress(**json.loads(path.read_text("utf-8"))) if path.is_file() else Progress()


class Store:
    """The files of a folder, to add to."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self.progress = folder, read_progress(folder)
        sizes = (self.progress.states, self.progress.hidden, self.progress.lines)
        self._files = [(folder / name).open("ab") for name in _FILES]
        for file, size in zip(self._files, sizes, strict=True):  # what came after the last commit is forgotten
            file.truncate(size)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(self, heard: Heard, spoken: Tensor) -> None:
        """Append a window with the hidden states (tokens said, D); it counts after `commit`."""
        states, hidden, lines = self._files
        states.write(_bytes(heard.states))
        hidden.write(_bytes(spoken))
        row = {"recording": heard.recording, "seek": heard.seek, "prompt": heard.prompt, "said": heard.said}
        lines.write(json.dumps(row).encode() + b"\n")

    def commit(self, recordings: int, left_out: int, seconds: float, finished: bool) -> None:
        """What was added counts, and so many recordings are done."""
        for file in self._files:
            file.flush()
        states, hidden, lines = ((self._folder / name).stat().st_size for name in _FILES)
        self.progress = Progress(recordings, left_out, round(seconds, 3), states, hidden, lines, finished)
        write_json(self._folder / _PROGRESS, asdict(self.progress))


def _bytes(values: Tensor) -> bytes:
    return values.to("cpu", torch.float16).contiguous().numpy().tobytes()


@dataclass(frozen=True)
class Batch:
    """Windows to train on: `states` (B, S, D), `tokens` (B, K) fed, and at the P places of `spoken` (B, K), true
    where the next token was said: that token, `said` (P,), and the main model's hidden state, `hidden` (P, D).
    """

    states: Tensor
    tokens: Tensor
    spoken: Tensor
    said: Tensor
    hidden: Tensor


class Windows:
    """The files of a folder, to read, memory-mapped."""

    def __init__(self, folder: Path, steps: int, width: int) -> None:
        """`steps` S and `width` D of the encoder's states."""
        text = (folder / _LINES).read_text("utf-8")
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
        count = len(self.rows)
        shape = (count, steps, width)
        self._states = np.memmap(folder / _STATES, np.float16, "r", shape=shape) if count else np.empty(shape)
        self._ends = np.cumsum([0, *(len(row["said"]) for row in self.rows)])
        spoken = (int(self._ends[-1]), width)
        self._hidden = np.memmap(folder / _HIDDEN, np.float16, "r", shape=spoken) if count else np.empty(spoken)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: list[int], device: torch.device) -> Batch:
        """Some windows, their texts padded on the right."""
        rows = [self.rows[index] for index in indices]
        texts = [[*row["prompt"], *row["said"]][:-1] for row in rows]  # nothing follows the last token said
        width = max(map(len, texts))
        tokens = torch.tensor([[*text, *[text[-1]] * (width - len(text))] for text in texts])
        starts = torch.tensor([[len(row["prompt"]) - 1] for row in rows])
        ends = torch.tensor([[len(text)] for text in texts])
        places = torch.arange(width)[None]
        hidden = [self._hidden[self._ends[index] : self._ends[index + 1]] for index in indices]
        return Batch(
            states=torch.from_numpy(np.stack([self._states[index] for index in indices])).to(device),
            tokens=tokens.to(device),
            spoken=((places >= starts) & (places < ends)).to(device),
            said=torch.tensor([token for row in rows for token in row["said"]]).to(device),
            hidden=torch.from_numpy(np.concatenate(hidden)).to(device),
        )
