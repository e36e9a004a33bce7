"""Which model a figure belongs to: a SHA-256 over its weights and configuration."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from literatim.errors import ModelError
from literatim.models.folder import read_folder

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".onnx")
# What a result depends on besides the weights; cards, licences and training logs are left out.
_CONFIG = (
    "added_tokens.json",
    "config.json",
    "config.yaml",
    "generation_config.json",
    "merges.txt",
    "normalizer.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
_BLOCK = 1 << 20


def model_hash(folder: Path) -> dict[str, Any]:
    """`sha256`, the names of the `files` it covers and their `bytes` together.

    It is that of the text which `sha256sum` prints for these files, so `sha256sum FILES | sha256sum` in the folder
    gives it too. Where a folder has several sets of weights, those that would be loaded count.
    """
    files = _files(folder)
    lines, size = [], 0
    for file in files:
        about = file.stat()
        lines.append(f"{_digest(str(file.resolve()), about.st_size, about.st_mtime_ns)}  {file.name}\n")
        size += about.st_size
    listing = "".join(lines).encode()
    return {"sha256": hashlib.sha256(listing).hexdigest(), "files": [file.name for file in files], "bytes": size}


def _files(folder: Path) -> list[Path]:
    """Weights and configuration, sorted by name."""
    config = [folder / name for name in _CONFIG if (folder / name).is_file()]
    try:
        weights = list(read_folder(folder).weights)
    except ModelError:  # a model of another kind: all that looks like weights
        weights = [file for file in folder.iterdir() if file.suffix in _WEIGHTS]
    return sorted([*config, *weights], key=lambda file: file.name)


@lru_cache(maxsize=256)
def _digest(path: str, _size: int, _changed: int) -> str:
    """Kept for the life of the process, until the file has another size or time."""
    found = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
