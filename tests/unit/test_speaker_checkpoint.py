"""Speaker folders as they are found: every naming, both layouts, and those that cannot be right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from literatim import demo
from literatim.errors import ModelFormatError
from literatim.models.speaker_checkpoint import load_speaker_net
from literatim.models.speaker_config import SpeakerConfig, is_speaker
from literatim.models.speaker_formats import as_mlx, standard
from medasr_builders import random_lasr_folder
from speaker_builders import SMALL, random_speaker_folder, random_wespeaker

CPU = torch.device("cpu")
SOUND = torch.randn(2, 70, 80, generator=torch.Generator().manual_seed(0))
# config.json of aufklarer/WeSpeaker-ResNet34-LM-MLX
PUBLISHED = {
    "model_type": "wespeaker-resnet34-lm",
    "sample_rate": 16000,
    "n_mels": 80,
    "embedding_dim": 256,
    "layers": [3, 4, 6, 3],
    "channels": [32, 64, 128, 256],
    "pooling_output_dim": 5120,
}


def vectors(folder: Path) -> Tensor:
    return load_speaker_net(folder, torch.float32, CPU)(SOUND)


def write(folder: Path, tensors: dict[str, Tensor]) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


def edit(folder: Path, **entries: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_the_published_config() -> None:
    """It loads as it is, and is written as it is."""
    config = SpeakerConfig.from_dict(PUBLISHED)
    assert config == SpeakerConfig()
    assert config.to_dict() | {"model_type": PUBLISHED["model_type"]} == PUBLISHED
    assert SpeakerConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("layers", [(3, 4, 6, 3), (3, 4, 23, 3), (6, 16, 48, 3), (10, 20, 64, 3)])
def test_deep_configs(layers: tuple[int, ...]) -> None:
    config = SpeakerConfig(layers=layers, block="bottleneck")
    assert SpeakerConfig.from_dict(config.to_dict()) == config
    assert config.pooled == 20_480


@pytest.mark.parametrize(
    "renamed",
    [
        lambda name: name,
        lambda name: f"module.{name}",
        lambda name: f"resnet.{name}",
        lambda name: f"model.resnet.{name}",
    ],
    ids=["wespeaker", "several devices", "pyannote", "pyannote in a wrapper"],
)
def test_batch_norms_and_names(tmp_path: Path, renamed: Callable[[str], str]) -> None:
    folder = random_speaker_folder(tmp_path, 1)
    wanted = vectors(folder)
    write(folder, {renamed(name): tensor for name, tensor in random_wespeaker(1).items()})
    assert torch.equal(vectors(folder), wanted)


def test_mlx_and_back(tmp_path: Path) -> None:
    """The layout is seen from the tensors; turned and turned back they are the same bits."""
    ours, theirs = random_speaker_folder(tmp_path / "a", 1), random_speaker_folder(tmp_path / "b", 1, layout="mlx")
    assert torch.equal(vectors(ours), vectors(theirs))
    mlx = load_file(theirs / "model.safetensors")
    assert mlx["conv1.weight"].shape == (4, 3, 3, 1)
    read = standard(mlx)
    assert read.layout == "mlx"
    again = as_mlx(read.tensors)
    assert again.keys() == mlx.keys()
    assert all(torch.equal(again[name].view(torch.int32), mlx[name].view(torch.int32)) for name in mlx)


def test_names_of_the_port(tmp_path: Path) -> None:
    """Fused and in torch's layout, under WeSpeaker's names of what is not a batch norm."""
    folder = random_speaker_folder(tmp_path, 1)
    wanted = vectors(folder)
    tensors = load_file(folder / "model.safetensors")
    write(
        folder,
        {
            name.replace("embedding", "seg_1").replace("shortcut", "shortcut.0"): tensor
            for name, tensor in tensors.items()
        },
    )
    assert torch.equal(vectors(folder), wanted)


def drop(name: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {here: tensor for here, tensor in tensors.items() if here != name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop("bn1.running_var"), "lack bn1.running_var"),
        (drop("layer3.0.conv2.weight"), "lack layer3.0.conv2.weight"),
        (drop("layer2.0.conv1.weight"), "lack layer2.0.conv1.weight"),
        (drop("seg_1.weight"), "seg_1.weight"),
        (drop("conv1.weight"), "lack conv1.weight"),
        (lambda t: t | {"pool.linear1.weight": torch.ones(3)}, "pool.linear1.weight"),
        (lambda t: t | {"seg_2.weight": torch.ones(3, 3), "seg_bn_1.weight": torch.ones(3)}, "seg_2.weight"),
        (lambda t: t | {"layer1.0.conv1.bias": torch.ones(4)}, "layer1.0.conv1.bias beside a batch norm"),
        (lambda t: t | {"resnet.conv1.weight": t["conv1.weight"].clone()}, "two tensors for one place"),
        (lambda t: t | {"conv1.weight": torch.ones(4, 1, 5, 5)}, "(4, 1, 5, 5)"),
        (lambda t: t | {"seg_1.weight": torch.ones(24, 199)}, "(24, 199)"),
        (lambda t: t | {"seg_1.weight": torch.full((24, 200), torch.nan)}, "embedding.weight"),
        (lambda t: t | {"layer2.1.conv2.weight": torch.ones(6, 6, 3, 1)}, "layer2.1.conv2.weight (6, 6, 3, 1)"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], said: str
) -> None:
    folder = random_speaker_folder(tmp_path, 1)
    write(folder, change(random_wespeaker(1)))
    with pytest.raises(ModelFormatError) as told:
        vectors(folder)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"layers": [1, 2, 1, 2]}, "layers is (1, 2, 1, 2) there and (1, 2, 1, 1) here"),
        ({"embedding_dim": 25}, "embedding_dim"),
        ({"n_mels": 81}, "multiple of 8"),
        ({"n_mels": -8}, "n_mels is -8"),
        ({"pooling_output_dim": 5120}, "pooling_output_dim is 5120"),
        ({"block": "dense"}, "'dense'"),
        ({"channels": [4, 6, 8]}, "4 numbers"),
        ({"layers": [1, 2, 1, True]}, "layers is True"),
        ({"sample_rate": 8000}, "8000"),
        ({"model_type": "whisper"}, "'whisper'"),
    ],
)
def test_configs_that_cannot_be_right(tmp_path: Path, entries: dict[str, Any], said: str) -> None:
    folder = random_speaker_folder(tmp_path, 1)
    edit(folder, **entries)
    with pytest.raises(ModelFormatError) as told:
        vectors(folder)
    assert said in str(told.value)


def test_columns_of_trained_weights() -> None:
    """The bundled network's are seen to be straight, and to be turned."""
    trained = load_file(demo.model_path("demo-speaker") / "model.safetensors")
    config = standard(trained).config
    with pytest.raises(ModelFormatError, match="band by band"):
        standard(trained | {"embedding.weight": by_bands(trained["embedding.weight"], config)})


def by_bands(matrix: Tensor, config: SpeakerConfig) -> Tensor:
    """Columns channel by channel -> band by band, as a conversion for a program that flattens so has them."""
    bands = config.n_mels // 8
    return matrix.view(len(matrix), 2, -1, bands).transpose(2, 3).flatten(1)


@pytest.mark.parametrize("config", [SMALL, SpeakerConfig()], ids=["small", "resnet34"])
def test_columns_that_were_turned_are_seen(config: SpeakerConfig) -> None:
    """Where bands differ, as they do in trained networks; where nothing tells the two orders apart, both are taken."""
    state = random_wespeaker(1, config)
    plain = state["seg_1.weight"]
    standard(state | {"seg_1.weight": by_bands(plain, config)})
    bands = config.n_mels // 8
    trained = plain * torch.linspace(0.5, 2, bands).repeat(plain.shape[1] // bands)
    standard(state | {"seg_1.weight": trained})
    with pytest.raises(ModelFormatError, match="band by band"):
        standard(state | {"seg_1.weight": by_bands(trained, config)})


def test_what_kind_a_folder_is(tmp_path: Path) -> None:
    assert is_speaker(random_speaker_folder(tmp_path / "a", 1))
    assert not is_speaker(random_lasr_folder(tmp_path / "b", 1))
    assert SMALL.to_dict()["model_type"] == "wespeaker-resnet"


def test_float16_that_does_not_fit(tmp_path: Path) -> None:
    folder = random_speaker_folder(tmp_path, 1)
    tensors = load_file(folder / "model.safetensors")
    write(folder, tensors | {"embedding.bias": torch.full((24,), 1e6)})
    with pytest.raises(ModelFormatError, match="ask for float32"):
        load_speaker_net(folder, torch.float16, CPU)
