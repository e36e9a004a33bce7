"""The clips that a model is verified on: windows of sound with the prompts that they are decoded with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from literatim import demo
from literatim.audio import mel
from literatim.audio.decode import decode
from literatim.errors import OptionError
from literatim.models.config import WhisperConfig
from literatim.models.folder import read_folder
from literatim.text.tokenizer import WhisperTokenizer
from literatim.verify.subject import Clip

BUNDLED = Path(demo.__file__).parent / "clips"
BEFORE = " And so it went on, as it had been said before, until the end of the day."


def clips(folder: Path, audio: Sequence[Any], batch: int) -> list[Clip]:
    """`batch` windows: of the given recordings the first ones of each, else of bundled clips in several languages.

    Their prompts are of different lengths, since earlier text stands before some: caches and positions then differ
    from row to row, as they do in transcription. Raises AudioError, or OptionError where there are too few.
    """
    found = read_folder(folder)
    config = WhisperConfig.from_dict(found.config)
    tokenizer = WhisperTokenizer.from_folder(folder, found.generation_config, found.config)
    known = [(str(item), item, None, None) for item in audio] if audio else _bundled(tokenizer)
    if not known:
        raise OptionError("this installation lacks the bundled clips; name recordings by --audio")
    chosen = [known[at % len(known)] for at in range(batch if not audio else max(batch, len(known)))]
    return [_clip(config, tokenizer, at, *item) for at, item in enumerate(chosen)]


def _bundled(tokenizer: WhisperTokenizer) -> list[tuple[str, Any, str | None, str | None]]:
    """Name, file, language and words: by turns from the languages that the model knows."""
    manifest = BUNDLED / "clips.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.is_file() else []
    by_language: dict[str, list[tuple[str, Any, str | None, str | None]]] = {}
    for line in lines:
        case = json.loads(line)
        if case["language"] in (tokenizer.languages or {"en": 0}):
            item = (case["id"], BUNDLED / case["audio"], case["language"], case["text"])
            by_language.setdefault(case["language"], []).append(item)
    turns = zip(*by_language.values(), strict=False)
    return [item for turn in turns for item in turn]


def _clip(
    config: WhisperConfig, tokenizer: WhisperTokenizer, at: int, name: str, file: Any, language: Any, words: Any
) -> Clip:
    samples = torch.from_numpy(decode(file).samples[0])[: config.window_frames * mel.HOP_LENGTH]
    filled = F.pad(samples, (0, config.window_frames * mel.HOP_LENGTH - len(samples)))
    features = mel.log_mel(filled[None], config.n_mels)[0]  # (M, T)
    timestamps = tokenizer.timestamp_begin != tokenizer.timestamp_end
    start = tokenizer.prompt(language or next(iter(tokenizer.languages), None), "transcribe", timestamps)
    before = tuple(tokenizer.encode(BEFORE)[: 3 * at])
    if before and tokenizer.startofprev is not None:
        start = (tokenizer.startofprev, *before, *start)
    return Clip(name if words is not None else Path(name).name, features, start, None, words)
