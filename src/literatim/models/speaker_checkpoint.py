"""A folder with a speaker network, and our network: config.json beside model.safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from literatim.errors import ModelFormatError
from literatim.models.folder import WEIGHTS, CheckpointFolder, read_folder
from literatim.models.speaker import SpeakerNet
from literatim.models.speaker_config import SpeakerConfig, is_speaker_type
from literatim.models.speaker_formats import TRAINING, SpeakerTensors, as_mlx, standard
from literatim.models.tensors import TensorFiles, convert


def load_speaker_net(folder: Path, dtype: torch.dtype, device: torch.device) -> SpeakerNet:
    """The network of a folder, ready for inference on `device`, its weights rounded to `dtype`.

    float16 on a CPU is held and computed in float32. Any of the formats of `speaker_formats` as safetensors will do.
    Raises ModelNotFound and ModelFormatError, which name the file or the tensors and say what to do.
    """
    found = read_speaker(folder)
    read = read_files(found.weights, SpeakerConfig.from_dict(found.config))
    with torch.device("meta"):
        model = SpeakerNet(read.config)
    for name, tensor in read.tensors.items():
        path, _, leaf = name.rpartition(".")
        held = convert(tensor, dtype, device, name).to(device)
        setattr(model.get_submodule(path), leaf, nn.Parameter(held, requires_grad=False))
    # torch's stubs do not know `memory_format` without the other arguments
    return model.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload, no-any-return]


def read_speaker(folder: Path) -> CheckpointFolder:
    """`read_folder` of a network for voices; ModelFormatError for another kind of model."""
    found = read_folder(folder)
    if not is_speaker_type(found.model_type):
        raise ModelFormatError(
            f"{folder} holds a {found.model_type!r} model; a network for voices is needed here, such as WeSpeaker's "
            "ResNet34-LM (`literatim models list`)"
        )
    return found


def read_files(paths: Sequence[Path], config: SpeakerConfig | None) -> SpeakerTensors:
    """All tensors of safetensors files in the one format, held against a configuration."""
    with TensorFiles(paths, unread=TRAINING) as files:
        tensors = {name: torch.cat([piece.clone() for _, piece in files.pieces(name)]) for name in files.entries}
    return standard(tensors, config)


def save_speaker(
    folder: Path,
    config: SpeakerConfig,
    tensors: Mapping[str, Tensor],
    *,
    layout: str = "torch",
    said: Mapping[str, Any] | None = None,
) -> None:
    """Write a folder of a fused network's tensors in torch's layout, or as `mlx` has them.

    `said` are further entries of config.json, which go before those that follow from `config`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    laid = as_mlx(tensors) if layout == "mlx" else {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(laid, folder / WEIGHTS, metadata={"format": "mlx" if layout == "mlx" else "pt"})
    content = json.dumps({**config.to_dict(), **(said or {})}, indent=2)
    (folder / "config.json").write_text(f"{content}\n", encoding="utf-8")
