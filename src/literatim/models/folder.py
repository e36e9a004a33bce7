"""A checkpoint folder of transformers' kind: its JSON files and one set of weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from literatim.errors import ModelFormatError, ModelNotFound
from literatim.models import foreign

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_GIT_LFS = "is a Git-LFS pointer, not the file itself: run `git lfs pull` in its repository"


@dataclass(frozen=True)
class CheckpointFolder:
    """What lies in a folder. `weights` are the files of one set, `model_type` is config.json's.

    `generation_config` and `preprocessor` are empty where the folder has none.
    """

    config: dict[str, Any]
    generation_config: dict[str, Any]
    preprocessor: dict[str, Any]
    weights: tuple[Path, ...]
    model_type: str


def read_folder(folder: Path) -> CheckpointFolder:
    """Read a folder's configuration and choose its weights; no tensor is read.

    Raises ModelNotFound where there is no such folder, and ModelFormatError where it holds something else,
    with what that is and what to do.
    """
    if not folder.exists():
        raise ModelNotFound(f"there is no folder {folder}; `literatim models list` shows the names that can be used")
    if not folder.is_dir():
        raise ModelFormatError(foreign.describe_file(folder))
    config = read_json(folder / "config.json")
    if "n_audio_state" in config:
        raise ModelFormatError(foreign.describe_mlx(folder))
    weights = _choose_weights(folder)
    if not config:
        raise ModelFormatError(f"{folder} has no config.json; copy it there from the model this one was made from")
    return CheckpointFolder(
        config=config,
        generation_config=read_json(folder / "generation_config.json"),
        preprocessor=_preprocessor(folder),
        weights=weights,
        model_type=_model_type(folder, config),
    )


def alignment_heads(folder: CheckpointFolder) -> tuple[tuple[int, int], ...] | None:
    """(layer, head) pairs whose cross-attention follows the time; None where they are not known.

    Some published generation_config.json carry the heads of the model theirs was distilled from, in layers
    it no longer has: those are not known either.
    """
    layers, heads = folder.config.get("decoder_layers", 0), folder.config.get("decoder_attention_heads", 0)
    listed = folder.generation_config.get("alignment_heads")
    if not isinstance(listed, list) or not listed:
        return None
    pairs = [tuple(pair) for pair in listed if isinstance(pair, list) and len(pair) == 2]
    within = [pair for pair in pairs if _within(pair[0], layers) and _within(pair[1], heads)]
    return tuple((layer, head) for layer, head in within) if len(within) == len(listed) else None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, {} where there is no file; ModelFormatError where it holds anything else."""
    if not path.is_file():
        return {}
    if foreign.is_lfs_pointer(path):
        raise ModelFormatError(f"{path} {_GIT_LFS}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path} is not JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise ModelFormatError(f"{path} does not hold a JSON object; download it again")
    return content


def _within(value: Any, bound: Any) -> bool:
    return isinstance(value, int) and isinstance(bound, int) and 0 <= value < bound


def _choose_weights(folder: Path) -> tuple[Path, ...]:
    """model.safetensors, else its index's shards: large-v3 has a second, float32 set that is left alone."""
    if _is_there(folder / WEIGHTS):
        files: tuple[Path, ...] = (folder / WEIGHTS,)
    elif _is_there(folder / INDEX):
        files = _shards(folder)
    else:
        raise ModelFormatError(foreign.describe(folder))
    for file in files:
        if foreign.is_lfs_pointer(file):
            raise ModelFormatError(f"{file} {_GIT_LFS}")
    return files


def _is_there(path: Path) -> bool:
    """Whether a file is there; a link to nothing is an error, for its folder once was whole."""
    if path.is_symlink() and not path.exists():
        raise ModelFormatError(f"{path} links to a file that is gone; download the model again")
    return path.is_file()


def _shards(folder: Path) -> tuple[Path, ...]:
    index = folder / INDEX
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise ModelFormatError(f"{index} has no weight_map from tensors to files; download it again")
    names = sorted(set(weight_map.values()))
    if not names:
        raise ModelFormatError(f"{index} names no files; download it again")
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise ModelFormatError(f"{index} names files outside its folder ({', '.join(outside[:5])}); do not use it")
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        raise ModelFormatError(f"{index} names {shown}, not in the folder: download the missing files")
    return tuple(folder / name for name in names)


def _preprocessor(folder: Path) -> dict[str, Any]:
    """The feature extractor's settings, which transformers 5 nests in processor_config.json."""
    settings = read_json(folder / "preprocessor_config.json")
    if not settings:
        nested = read_json(folder / "processor_config.json").get("feature_extractor")
        settings = nested if isinstance(nested, dict) else {}
    # old files embed the filters, which follow from the other settings
    return {name: value for name, value in settings.items() if name != "mel_filters"}


def _model_type(folder: Path, config: dict[str, Any]) -> str:
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise ModelFormatError(f"{folder / 'config.json'} names no model_type; use a model saved by transformers")
    return model_type
