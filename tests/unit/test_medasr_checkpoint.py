"""MedASR folders as they are found: other layouts, other spellings, and those that cannot be right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from literatim.errors import ModelFormatError
from literatim.models.medasr_checkpoint import load_medasr
from literatim.models.medasr_config import MedasrConfig
from medasr_builders import random_lasr_folder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As transformers saves it."""
    return random_lasr_folder(tmp_path_factory.mktemp("medasr"), 3)


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(original, tmp_path / "model"))


def logits(folder: Path) -> Tensor:
    model = load_medasr(folder, torch.float32, CPU)
    return model(torch.randn(2, 90, 128, generator=torch.Generator().manual_seed(0)))


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in change(load_file(path)).items()}, path)


def edit(folder: Path, **entries: Any) -> None:
    """Change entries of the encoder's part of config.json; None takes one away."""
    path = folder / "config.json"
    content = json.loads(path.read_text())
    encoder = content["encoder_config"] | entries
    content["encoder_config"] = {name: value for name, value in encoder.items() if value is not None}
    path.write_text(json.dumps(content))


def test_as_mlx_has_it(folder: Path, original: Path) -> None:
    """Convolutions with the kernel in the middle, and a head without its third axis."""

    def turned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        moved = {name: t.transpose(1, 2) if t.dim() == 3 else t for name, t in tensors.items()}
        return moved | {"ctc_head.weight": tensors["ctc_head.weight"][..., 0]}

    rewrite(folder, turned)
    assert torch.equal(logits(folder), logits(original))


def test_counts_and_positions_are_left_unread(folder: Path, original: Path) -> None:
    """How often batch norms were trained, rotary positions, and a prefix that some exports have."""
    assert any(name.endswith("num_batches_tracked") for name in load_file(original / "model.safetensors"))
    more = {"encoder.rotary_emb.inv_freq": torch.ones(4)}
    rewrite(folder, lambda tensors: {f"model.{name}": tensor for name, tensor in (tensors | more).items()})
    assert torch.equal(logits(folder), logits(original))


def test_rope_theta_wherever_it_is(folder: Path) -> None:
    """Nested, by itself, or nowhere."""
    edit(folder, rope_parameters={"rope_type": "default", "rope_theta": 300.0})
    nested = logits(folder)
    edit(folder, rope_parameters=None, rope_theta=300.0)
    assert torch.equal(logits(folder), nested)
    edit(folder, rope_theta=None)
    assert MedasrConfig.from_dict(json.loads((folder / "config.json").read_text())).rope_theta == 10_000
    assert not torch.equal(logits(folder), nested)


def test_what_is_not_said_is_the_released_model() -> None:
    """105 million parameters, 40 ms a step."""
    config = MedasrConfig.from_dict({"model_type": "lasr_ctc"})
    assert (config.width, config.layers, config.heads, config.head_channels, config.vocab_size) == (512, 17, 8, 64, 512)
    assert (config.steps(1998), config.frames(497), config.frames_per_step) == (497, 1997, 4)
    assert [config.steps(frames) for frames in (0, 4, 12, 13, 16, 17)] == [0, 0, 0, 1, 1, 2]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"num_key_value_heads": 2}, "num_key_value_heads is 2"),
    ({"rope_parameters": {"rope_type": "linear", "factor": 2.0}}, "type 'linear'"),
    ({"hidden_act": "tanh"}, "hidden_act is 'tanh'"),
    ({"hidden_size": 30}, "no multiple of 4 heads"),
    ({"hidden_size": "32"}, "hidden_size is '32'"),
    ({"head_dim": 7}, "heads of 7 channels"),
    ({"conv_residual_weights": [1.0]}, "two numbers"),
    ({"layer_norm_eps": 0}, "above 0"),
    ({"attention_bias": 1}, "true or false"),
    ({"num_hidden_layers": 3}, "the weights have 2"),
    ({"intermediate_size": 49}, "do not belong together"),
    ({"attention_bias": True}, "the weights lack"),
]


@pytest.mark.parametrize(("entries", "why"), WRONG)
def test_configurations_that_cannot_be(folder: Path, entries: dict[str, Any], why: str) -> None:
    """Each is refused in words, before any memory is taken for the network."""
    edit(folder, **entries)
    with pytest.raises(ModelFormatError, match=why):
        load_medasr(folder, torch.float32, CPU)


@pytest.mark.parametrize(("name", "value"), [("feature_size", 80), ("hop_length", 128), ("sampling_rate", 8000)])
def test_features_of_another_model(folder: Path, name: str, value: int) -> None:
    """Settings that contradict the network are not passed over."""
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(ModelFormatError, match=f"preprocessor's {name} is {value}"):
        load_medasr(folder, torch.float32, CPU)


def test_other_things_in_a_folder(folder: Path) -> None:
    """A blank outside the vocabulary, tensors of something else, values that are no numbers, another model."""
    config = folder / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"pad_token_id": 51}))
    with pytest.raises(ModelFormatError, match="CTC's blank"):
        load_medasr(folder, torch.float32, CPU)
    config.write_text(json.dumps(content | {"model_type": "whisper"}))
    with pytest.raises(ModelFormatError, match="a MedASR model is needed"):
        load_medasr(folder, torch.float32, CPU)
    config.write_text(json.dumps(content))
    rewrite(folder, lambda tensors: tensors | {"decoder.weight": torch.ones(2)})
    with pytest.raises(ModelFormatError, match="MedASR does not have"):
        load_medasr(folder, torch.float32, CPU)
    rewrite(folder, lambda tensors: {name: t * torch.inf for name, t in tensors.items() if name != "decoder.weight"})
    with pytest.raises(ModelFormatError, match="infinite or undefined"):
        load_medasr(folder, torch.float32, CPU)
