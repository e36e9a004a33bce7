"""Checkpoints of networks for voices: every format comes to the same vectors, and MLX's comes back bit by bit."""

from __future__ import annotations

import enum
import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from literatim.audio.fbank import centred
from literatim.cli.convert import convert as command
from literatim.errors import ModelFormatError, OptionError
from literatim.models.convert import convert
from literatim.models.speaker_checkpoint import load_speaker_net
from literatim.models.speaker_formats import standard
from reference.kaldi import kaldi
from reference.wespeaker import embedding
from speaker_builders import DEEP, SMALL, random_speaker_folder, random_wespeaker
from whisper_builders import pickled, unpickle_here

CPU = torch.device("cpu")
SOUND = (0.1 * np.random.default_rng(0).standard_normal(30_000)).astype(np.float32)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    unpickle_here(monkeypatch)


def close_to_reference(folder: Path, state: dict[str, Tensor], n_mels: int = 80) -> None:
    """The network in `folder` on Kaldi's own frames, against WeSpeaker's arithmetic."""
    frames = centred(torch.from_numpy(kaldi(SOUND, n_mels)))
    found = load_speaker_net(folder, torch.float32, CPU)(frames[None])[0].double()
    wanted = embedding(state, frames)
    assert float((found - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


@pytest.fixture
def pyannote() -> Iterator[types.ModuleType]:
    """The modules that pyannote's checkpoints name, while they are written; gone when they are read."""
    names = ("pyannote", "pyannote.audio", "pyannote.audio.core", "pyannote.audio.core.task")
    made = {name: types.ModuleType(name) for name in names}
    task = made["pyannote.audio.core.task"]
    task.Problem = enum.Enum("Problem", {"REPRESENTATION": 3}, module=task.__name__)  # type: ignore[attr-defined]
    task.Specifications = type("Specifications", (), {"__module__": task.__name__})  # type: ignore[attr-defined]
    sys.modules.update(made)
    yield task
    for name in names:
        sys.modules.pop(name, None)


def lightning(task: Any, path: Path, state: dict[str, Tensor]) -> None:
    """A file as pyannote saves one: Lightning's, with its task's classes beside the weights."""
    specifications = task.Specifications()
    specifications.problem, specifications.duration = task.Problem.REPRESENTATION, 10.0
    content = {
        "state_dict": {f"resnet.{name}": t for name, t in state.items() if not name.startswith("projection")},
        "pytorch-lightning_version": "1.8.6",
        "hyper_parameters": {"sample_rate": 16000, "num_mel_bins": 80},
        "pyannote.audio": {"specifications": specifications, "architecture": {"class": "WeSpeakerResNet34"}},
    }
    torch.save(content, path)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("config", [SMALL, DEEP], ids=["basic", "bottleneck"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_wespeakers_own(tmp_path: Path, config: Any, prefix: str, legacy: bool) -> None:
    """avg_model.pt, with the training's classes in it; its shape is told by its tensors."""
    state = random_wespeaker(1, config)
    (tmp_path / "in").mkdir()
    named = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    torch.save(named, tmp_path / "in" / "avg_model.pt", _use_new_zipfile_serialization=not legacy)
    (tmp_path / "in" / "config.yaml").write_text("model: ResNet34\n")
    for source, target in (("in", "a"), ("in/avg_model.pt", "b")):
        report = convert(tmp_path / source, tmp_path / target)
        assert (report.kind, report.files) == ("speaker", ("config.json", "model.safetensors"))
        assert report.tensors == len(load_file(tmp_path / target / "model.safetensors"))
        close_to_reference(tmp_path / target, state, config.n_mels)


@pytest.mark.usefixtures("here")
def test_pyannotes(tmp_path: Path, pyannote: Any) -> None:
    """Its classes are not there when it is read, and are not needed."""
    state = random_wespeaker(2)
    lightning(pyannote, tmp_path / "pytorch_model.bin", state)
    for name in [name for name in sys.modules if name.split(".")[0] == "pyannote"]:
        del sys.modules[name]
    convert(tmp_path / "pytorch_model.bin", tmp_path / "out")
    close_to_reference(tmp_path / "out", state)


@pytest.mark.usefixtures("here")
def test_nothing_but_known_husks(tmp_path: Path, pyannote: Any) -> None:
    """What a file asks for beside those is refused by name, and nothing of it runs."""

    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "run"),)

    lightning(pyannote, tmp_path / "pytorch_model.bin", random_wespeaker(2))
    content = torch.load(tmp_path / "pytorch_model.bin", weights_only=False)
    torch.save({**content, "callbacks": Hostile()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelFormatError, match="mkdir"):
        convert(tmp_path / "pytorch_model.bin", tmp_path / "out")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("names", ["mlx", "wespeaker"])
def test_the_ports(tmp_path: Path, names: str) -> None:
    """Fused and in torch's layout, in a pickle, with the config.json of the folder it was made from."""
    state = random_wespeaker(3)
    tensors = standard(state).tensors
    if names == "wespeaker":
        tensors = {name.replace("embedding", "seg_1"): tensor for name, tensor in tensors.items()}
    (tmp_path / "in").mkdir()
    torch.save(tensors, tmp_path / "in" / "pytorch_model.bin")
    config = {**SMALL.to_dict(), "model_type": "wespeaker-resnet34-lm", "threshold": 0.4}
    (tmp_path / "in" / "config.json").write_text(json.dumps(config))
    convert(tmp_path / "in", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == config
    close_to_reference(tmp_path / "out", state)


def test_mlx_there_and_back(tmp_path: Path) -> None:
    """MLX to ours to MLX is the same bits and the same config.json; ours is loaded like the folder it was made from."""
    state = random_wespeaker(4)
    folder = random_speaker_folder(tmp_path / "mlx", 4, layout="mlx")
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "wespeaker-resnet34-lm"}
    (folder / "config.json").write_text(json.dumps(config))
    convert(folder, tmp_path / "ours")
    convert(tmp_path / "ours", tmp_path / "again", layout="mlx")
    first, again = (load_file(tmp_path / name / "model.safetensors") for name in ("mlx", "again"))
    assert first.keys() == again.keys()
    for name, tensor in first.items():
        assert tensor.shape == again[name].shape
        assert tensor.numpy().tobytes() == again[name].numpy().tobytes()
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == config
    assert load_file(tmp_path / "ours" / "model.safetensors")["conv1.weight"].shape == (4, 1, 3, 3)
    for name, written in (("mlx", "mlx"), ("ours", "pt"), ("again", "mlx")):
        close_to_reference(tmp_path / name, state)
        with safe_open(tmp_path / name / "model.safetensors", "pt") as file:
            assert file.metadata() == {"format": written}


def test_a_bare_file_of_safetensors(tmp_path: Path) -> None:
    folder = random_speaker_folder(tmp_path / "in", 5)
    (folder / "config.json").unlink()
    convert(folder / "model.safetensors", tmp_path / "out")
    close_to_reference(tmp_path / "out", random_wespeaker(5))


@pytest.mark.usefixtures("here")
def test_what_does_not_fit(tmp_path: Path) -> None:
    """The keys are named, and nothing is left behind."""
    state = random_wespeaker(6)
    attention = {"pool.linear1.weight": torch.ones(3, 3), "pool.linear2.weight": torch.ones(3, 3)}
    torch.save(state | attention, tmp_path / "avg_model.pt")
    with pytest.raises(ModelFormatError, match=r"pool\.linear1\.weight, pool\.linear2\.weight"):
        convert(tmp_path / "avg_model.pt", tmp_path / "out")
    torch.save({name: t for name, t in state.items() if not name.startswith("seg_1")}, tmp_path / "avg_model.pt")
    with pytest.raises(ModelFormatError, match=r"seg_1\.weight"):
        convert(tmp_path / "avg_model.pt", tmp_path / "out")
    folder = random_speaker_folder(tmp_path / "in", 6)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layers": [3, 4, 6, 3]}))
    with pytest.raises(ModelFormatError, match="layers is"):
        convert(folder, tmp_path / "out")
    (folder / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    with pytest.raises(ModelFormatError, match="of a 'whisper' model"):
        convert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("here")
def test_options_of_the_other_kind(tmp_path: Path) -> None:
    folder = random_speaker_folder(tmp_path / "voice", 7)
    with pytest.raises(OptionError, match="no tokenizer"):
        convert(folder, tmp_path / "out", tokenizer=tmp_path)
    pickled(tmp_path / "whisper")
    with pytest.raises(OptionError, match="--to"):
        convert(tmp_path / "whisper", tmp_path / "out", layout="mlx")


def test_the_command(tmp_path: Path) -> None:
    folder = random_speaker_folder(tmp_path / "in", 8)
    result = CliRunner().invoke(command, [str(folder), str(tmp_path / "out"), "--to", "mlx"])
    assert result.exit_code == 0, result.output
    assert load_file(tmp_path / "out" / "model.safetensors")["conv1.weight"].shape == (4, 3, 3, 1)
