"""Which files of a repository make a model: what lies beside the weights, and one set of weights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from literatim.errors import ModelFormatError

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
SIDE_FILES = (
    CONFIG,
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "normalizer.json",
    "vocabulary.safetensors",  # of a draft: the ids that it proposes
)
# Files that give a checkpoint of another kind away, the most telling first.
_FOREIGN = (
    (r"^adapter_model\.\w+$", "a PEFT adapter: merge it into its base model and save that with transformers"),
    (r"ggml[^/]*\.bin$|\.gguf$", "a whisper.cpp (GGML) checkpoint: use the model that it was made from"),
    (r"^model\.bin$", "a CTranslate2 (faster-whisper) checkpoint: use the model that it was made from"),
    (r"^weights\.(npz|safetensors)$", "an MLX checkpoint: use the model that it was made from"),
    (r"\.(bin|pt|pth|ckpt)$", "pickled weights only: download them, then run `literatim convert IN OUT`"),
    (
        r"\.(h5|msgpack|onnx)$",
        "weights for another framework only: save them as safetensors with transformers",
    ),
)


def choose(repo: str, files: Iterable[str]) -> list[str]:
    """The names to fetch, weights or their index last; ModelFormatError says what `repo` holds instead."""
    there = set(files)
    weights = next((name for name in (WEIGHTS, INDEX) if name in there), None)
    if weights is None:
        for pattern, what in _FOREIGN:
            if any(re.search(pattern, name) for name in there):
                raise ModelFormatError(f"{repo} has no {WEIGHTS}; it holds {what}")
        raise ModelFormatError(f"{repo} has neither {WEIGHTS} nor {INDEX}: there are no weights to load")
    if CONFIG not in there:
        raise ModelFormatError(f"{repo} has no {CONFIG}; use a model that was saved by transformers")
    return [*(name for name in SIDE_FILES if name in there), weights]


def shards(index: Path) -> list[str]:
    """The names of the weight files that an index lists."""
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFormatError(f"{index} is not an index of weights ({error!r}); use another model") from error


def complete(folder: Path) -> bool:
    """Whether `folder` holds a configuration and one whole set of weights."""
    if not (folder / CONFIG).is_file():
        return False
    if (folder / WEIGHTS).is_file():
        return True
    index = folder / INDEX
    try:
        return index.is_file() and all((folder / shard).is_file() for shard in shards(index))
    except ModelFormatError:
        return False
