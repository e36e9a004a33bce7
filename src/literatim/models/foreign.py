"""What a folder without usable weights is instead, and what to do with it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

INSTEAD = "use the checkpoint that it was made from, such as openai/whisper-large-v3"
_LFS = b"version https://git-lfs.github.com/spec/"
# What a trainer leaves beside the weights; none of it is a model.
_STATE = re.compile(r"(optimizer|scheduler|scaler|training_args|rng_state|random_states)", re.IGNORECASE)
_PICKLE = re.compile(r"pytorch_model.*\.bin$|\.(pt|pth|ckpt)$")
_OTHER_FRAMEWORK = re.compile(r"\.(h5|msgpack|onnx|tflite)$|openvino_.*\.(xml|bin)$")


def describe(folder: Path) -> str:
    """One sentence: what `folder` holds in place of safetensors, and the remedy."""
    names = sorted(path.name for path in folder.iterdir())
    if "adapter_config.json" in names:
        return f"{folder} holds a PEFT adapter, not a whole model: {_merge(folder)}"
    if any(name.endswith(".gguf") or re.match(r"ggml.*\.bin$", name) for name in names):
        return f"{folder} holds a GGML/GGUF checkpoint of whisper.cpp: {INSTEAD}"
    if "model.bin" in names:
        return f"{folder} holds a CTranslate2 (faster-whisper) checkpoint: {INSTEAD}"
    if "weights.npz" in names or "weights.safetensors" in names:
        return describe_mlx(folder)
    pickle = _pickle(folder, names)
    if pickle is not None:
        return f"{folder} holds pickled weights only, which can run code when opened: {command(pickle)}"
    newest = _newest_checkpoint(folder)
    if newest is not None:
        return f"{folder} is a training folder with weights in its checkpoints only: use {newest}"
    other = next((name for name in names if _OTHER_FRAMEWORK.search(name)), None)
    if other is not None:
        return f"{folder} holds {other}, weights for another framework: save it as safetensors with transformers"
    return f"{folder} holds no model.safetensors: there are no weights to load; download the model again"


def describe_mlx(folder: Path) -> str:
    """The sentence for a folder of mlx-whisper, whose weights can bear transformers' file name."""
    return f"{folder} holds an MLX checkpoint (mlx-whisper): {INSTEAD}"


def describe_file(path: Path) -> str:
    """The sentence for a file given in place of a folder."""
    if _PICKLE.search(path.name):
        return f"{path} is a pickle, which can run code when opened: {command(path)}"
    if path.suffix == ".gguf" or re.match(r"ggml.*\.bin$", path.name):
        return f"{path} is a GGML/GGUF checkpoint of whisper.cpp: {INSTEAD}"
    return f"{path} is a file; give the folder that holds config.json and model.safetensors"


def command(source: Path) -> str:
    """The exact command that makes safetensors of `source`."""
    stem = source.name if source.is_dir() else source.stem
    target = source.parent / f"{stem}-safetensors"
    return f"run `literatim convert {shlex.quote(str(source))} {shlex.quote(str(target))}` and use the result"


def is_lfs_pointer(path: Path) -> bool:
    """Whether Git left a note about the file in its place (github.com/git-lfs/git-lfs, docs/spec.md)."""
    with path.open("rb") as file:
        return file.read(len(_LFS)) == _LFS


def _pickle(folder: Path, names: list[str]) -> Path | None:
    """What to give to convert: the folder where it can be taken whole, else the one file."""
    pickles = [name for name in names if _PICKLE.search(name) and not _STATE.search(name)]
    if any(name.startswith("pytorch_model") for name in pickles):
        return folder
    return folder / pickles[0] if pickles else None


def _newest_checkpoint(folder: Path) -> Path | None:
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _step(path)) and _has_weights(path)]
    return max(found)[1] if found else None


def _step(path: Path) -> re.Match[str] | None:
    return re.fullmatch(r"checkpoint-(\d+)", path.name) if path.is_dir() else None


def _has_weights(folder: Path) -> bool:
    return any(path.suffix in {".safetensors", ".bin"} and not _STATE.search(path.name) for path in folder.iterdir())


def _merge(folder: Path) -> str:
    try:
        content: Any = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        base = str(content["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError, OSError):
        base = "its base model"
    return f"merge it into {base} with PeftModel.merge_and_unload() and save_pretrained(), and use the result"
