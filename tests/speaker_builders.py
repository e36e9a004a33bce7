"""Speaker networks with random weights, as WeSpeaker saves them, that are alive: other sound gives another vector."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from literatim.models.speaker_checkpoint import save_speaker
from literatim.models.speaker_config import SpeakerConfig
from literatim.models.speaker_formats import shapes, standard

SMALL = SpeakerConfig(n_mels=80, embedding_dim=24, layers=(1, 2, 1, 1), channels=(4, 6, 8, 10))
DEEP = SpeakerConfig(n_mels=40, embedding_dim=16, layers=(2, 1, 1, 2), channels=(4, 4, 6, 8), block="bottleneck")


def random_wespeaker(seed: int, config: SpeakerConfig = SMALL) -> dict[str, Tensor]:
    """`avg_model.pt`'s tensors: batch norms beside convolutions without bias, `seg_1`, and the training's classes."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for name, shape in shapes(config).items():
        module, _, leaf = name.rpartition(".")
        if module == "embedding":
            spread = (2 / shape[-1]) ** 0.5 if leaf == "weight" else 0.1
            state[f"seg_1.{leaf}"] = spread * torch.randn(shape, generator=random)
        elif leaf == "weight":
            theirs = f"{module}.0" if module.endswith("shortcut") else module
            fan = shape[1] * shape[2] * shape[3]
            state[f"{theirs}.weight"] = (2 / fan) ** 0.5 * torch.randn(shape, generator=random)
            norm = f"{module}.1" if module.endswith("shortcut") else module.replace("conv", "bn")
            state |= _norm(norm, shape[0], random)
    state["projection.weight"] = torch.randn(7, config.embedding_dim, generator=random)
    return state


def _norm(name: str, channels: int, random: torch.Generator) -> dict[str, Tensor]:
    return {
        f"{name}.weight": 0.5 + torch.rand(channels, generator=random),
        f"{name}.bias": 0.2 * torch.randn(channels, generator=random),
        f"{name}.running_mean": 0.2 * torch.randn(channels, generator=random),
        f"{name}.running_var": 0.5 + torch.rand(channels, generator=random),
        f"{name}.num_batches_tracked": torch.tensor(1000),
    }


def random_speaker_folder(folder: Path, seed: int, config: SpeakerConfig = SMALL, layout: str = "torch") -> Path:
    """A whole folder: config.json and model.safetensors."""
    save_speaker(folder, config, standard(random_wespeaker(seed, config)).tensors, layout=layout)
    return folder
