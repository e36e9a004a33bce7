"""Checkpoints of networks for voices, whatever their format, to the one folder format, or to MLX's."""

from __future__ import annotations

import math
from pathlib import Path

from literatim.errors import ModelFormatError
from literatim.models.folder import WEIGHTS, read_json
from literatim.models.speaker_checkpoint import read_files, save_speaker
from literatim.models.speaker_config import SpeakerConfig, is_speaker_type
from literatim.models.speaker_formats import is_speaker_like
from literatim.models.tensors import TensorFiles


def safetensors_of(source: Path) -> Path | None:
    """The safetensors of a network for voices that `source` is or holds; None where it is or holds none."""
    file = source / WEIGHTS if source.is_dir() else source
    if file.suffix != ".safetensors" or not file.is_file():
        return None
    with TensorFiles([file]) as files:
        return file if is_speaker_like(files.entries) else None


def rewrite(made: Path, beside: Path, layout: str) -> tuple[int, int]:
    """Turn the tensors in the folder `made`, of any format, into the one format, in `layout` (`torch` or `mlx`).

    What a config.json in `beside` says is kept, and must agree with the tensors. Returns how many tensors and how many
    parameters there are. Raises ModelFormatError.
    """
    said = read_json(beside / "config.json")
    if said and not is_speaker_type(str(said.get("model_type", ""))):
        raise ModelFormatError(
            f"{beside / 'config.json'} is of a {said.get('model_type')!r} model, and the weights beside it are a "
            "network for voices; put the weights into a folder of their own"
        )
    read = read_files([made / WEIGHTS], SpeakerConfig.from_dict(said) if said else None)
    save_speaker(made, read.config, read.tensors, layout=layout, said=said)
    parameters = sum(math.prod(tensor.shape) for tensor in read.tensors.values())
    return len(read.tensors), parameters
