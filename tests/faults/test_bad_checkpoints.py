"""Folders that are no Whisper checkpoint, or half of one: each is named, with what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from literatim.errors import ModelFormatError, ModelNotFound
from literatim.models.checkpoint import load_whisper
from whisper_builders import INDEX, WEIGHTS, dump, edit, random_whisper_folder, rewrite, shard

CPU = torch.device("cpu")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 151061672\n"
K_PROJ = "model.encoder.layers.0.self_attn.k_proj.weight"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("source"), 1)


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    target = tmp_path / "model"
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def refused(folder: Path, *parts: str, kind: type[Exception] = ModelFormatError) -> str:
    """The message that loading `folder` fails with, which has all `parts`."""
    with pytest.raises(kind) as caught:
        load_whisper(folder, torch.float32, CPU)
    message = str(caught.value)
    for part in parts:
        assert part in message
    return message


# no folder


def test_no_such_folder(tmp_path: Path) -> None:
    refused(tmp_path / "absent", "there is no folder", kind=ModelNotFound)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.safetensors", "give the folder"),
        ("small.pt", "literatim convert"),
        ("pytorch_model.bin", "literatim convert"),
        ("ggml-base.bin", "whisper.cpp"),
        ("whisper-q5.gguf", "whisper.cpp"),
    ],
)
def test_a_file_in_place_of_a_folder(name: str, part: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\0" * 64)
    refused(tmp_path / name, part)


def test_an_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, "holds no model.safetensors", "download the model again")


# checkpoints of other kinds; each has the files that give it away


def _ctranslate2(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"\x06\0\0\0")
    dump(folder / "config.json", {"alignment_heads": [[1, 0]], "lang_ids": [50259], "suppress_ids": [1]})


def _ctranslate2_json(folder: Path) -> None:
    _ctranslate2(folder)
    (folder / "vocabulary.json").write_text("[]")


def _ctranslate2_txt(folder: Path) -> None:
    _ctranslate2(folder)
    (folder / "vocabulary.txt").write_text("")


def _ggml(folder: Path) -> None:
    (folder / "ggml-large-v3-q5_0.bin").write_bytes(b"lmgg")


def _gguf(folder: Path) -> None:
    (folder / "whisper.gguf").write_bytes(b"GGUF")


MLX_CONFIG = {"model_type": "whisper", "n_mels": 80, "n_audio_state": 384, "n_vocab": 51865}


def _mlx_npz(folder: Path) -> None:
    (folder / "weights.npz").write_bytes(b"PK")
    dump(folder / "config.json", MLX_CONFIG)


def _mlx_safetensors(folder: Path) -> None:
    save_file({"encoder.conv1.weight": torch.zeros(1)}, folder / "weights.safetensors")
    dump(folder / "config.json", MLX_CONFIG)


def _mlx_under_our_name(folder: Path) -> None:
    save_file({"encoder.conv1.weight": torch.zeros(1)}, folder / WEIGHTS)
    dump(folder / "config.json", MLX_CONFIG)


def _adapter(folder: Path) -> None:
    dump(folder / "adapter_config.json", {"base_model_name_or_path": "openai/whisper-small", "r": 8})
    save_file({"lora_A.weight": torch.zeros(1)}, folder / "adapter_model.safetensors")


def _adapter_broken(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")


def _flax(folder: Path) -> None:
    (folder / "flax_model.msgpack").write_bytes(b"\x81")
    dump(folder / "config.json", {"model_type": "whisper"})


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (_ctranslate2, ("CTranslate2", "checkpoint that it was made from")),
        (_ctranslate2_json, ("CTranslate2",)),
        (_ctranslate2_txt, ("CTranslate2",)),
        (_ggml, ("GGML", "checkpoint that it was made from")),
        (_gguf, ("GGUF",)),
        (_mlx_npz, ("MLX", "checkpoint that it was made from")),
        (_mlx_safetensors, ("MLX",)),
        (_mlx_under_our_name, ("MLX",)),
        (_adapter, ("PEFT adapter", "openai/whisper-small", "merge_and_unload")),
        (_adapter_broken, ("PEFT adapter", "its base model")),
        (_flax, ("flax_model.msgpack", "another framework")),
    ],
)
def test_other_kinds_are_named(make: Callable[[Path], None], parts: tuple[str, ...], tmp_path: Path) -> None:
    make(tmp_path)
    refused(tmp_path, *parts)


# pickles


def test_a_pickle_alone_gets_the_exact_command(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK")
    refused(folder, f"`literatim convert {folder} {folder}-safetensors`")


def test_a_sharded_pickle(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model-00001-of-00002.bin").write_bytes(b"PK")
    (folder / "pytorch_model.bin.index.json").write_text("{}")
    refused(folder, f"`literatim convert {folder} {folder}-safetensors`")


def test_openais_file_in_a_folder_with_a_space(tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    folder.mkdir()
    (folder / "small.pt").write_bytes(b"PK")
    refused(folder, f"`literatim convert '{folder}/small.pt' '{folder}/small-safetensors'`")


# training folders


def test_the_newest_checkpoint_of_a_training_folder_is_named(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "training_args.bin").write_bytes(b"PK")
    for step in (500, 1000, 9000):
        (folder / f"checkpoint-{step}").mkdir()
        (folder / f"checkpoint-{step}" / "optimizer.bin").write_bytes(b"PK")
    for step in (500, 1000):  # the last was cut off while its weights were written
        (folder / f"checkpoint-{step}" / WEIGHTS).write_bytes(b"")
    message = refused(folder, "training folder", f"use {folder / 'checkpoint-1000'}")
    assert "convert" not in message


# what is there and cannot be read


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "generation_config.json", "preprocessor_config.json"])
def test_git_lfs_pointers(name: str, folder: Path) -> None:
    (folder / name).write_text(POINTER)
    refused(folder, str(folder / name), "git lfs pull")


def test_a_git_lfs_pointer_among_shards(folder: Path) -> None:
    shards = shard(folder, 2)
    shards[1].write_text(POINTER)
    refused(folder, shards[1].name, "git lfs pull")


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", "\x00\x01", "[" * 100_000])
def test_json_that_is_none(content: str, folder: Path) -> None:
    (folder / "config.json").write_text(content)
    refused(folder, str(folder / "config.json"), "download it again")


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    refused(folder, "no config.json", "copy it there")


def test_another_model_type(folder: Path) -> None:
    edit(folder / "config.json", model_type="wav2vec2")
    refused(folder, "'wav2vec2'", "a Whisper model is needed")
    edit(folder / "config.json", model_type=None)
    refused(folder, "names no model_type")


def test_a_link_to_nothing(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to(folder / "blobs" / "gone")
    refused(folder, WEIGHTS, "links to a file that is gone")


@pytest.mark.parametrize("keep", [0, 5, 2000, -1])
def test_cut_off_weights(keep: int, folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:keep])
    refused(folder, str(folder / WEIGHTS), "cut off or damaged")


def test_a_header_that_promises_too_much(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    refused(folder, "cut off or damaged")


# indexes


def test_an_index_naming_absent_shards(folder: Path) -> None:
    shards = shard(folder, 7)
    for path in shards[1:]:
        path.unlink()
    refused(folder, *(path.name for path in shards[1:6]), "and 1 more", "download the missing files")


@pytest.mark.parametrize("weight_map", [None, [], {}, {"a": 1}, {"a": None}])
def test_an_index_without_a_map(weight_map: Any, folder: Path) -> None:
    shard(folder, 2)
    dump(folder / INDEX, {"weight_map": weight_map})
    refused(folder, INDEX, "download it again")


@pytest.mark.parametrize("name", ["../other/model.safetensors", "/etc/passwd", "sub/a.safetensors"])
def test_an_index_naming_files_elsewhere(name: str, folder: Path) -> None:
    shard(folder, 2)
    dump(folder / INDEX, {"weight_map": {"a": name}})
    refused(folder, name, "outside its folder")


# tensors

Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def _without(*names: str) -> Change:
    return lambda tensors: {name: t for name, t in tensors.items() if name not in names}


def _with(name: str, tensor: Tensor) -> Change:
    return lambda tensors: {**tensors, name: tensor}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (_without(K_PROJ), ("lack encoder.layers.0.self_attn.k_proj.weight",)),
        (_without("model.decoder.embed_positions.weight"), ("lack decoder.embed_positions.weight",)),
        (_with("model.encoder.conv3.weight", torch.zeros(1)), ("hold encoder.conv3.weight",)),
        (_with("classifier.weight", torch.zeros(1)), ("hold classifier.weight",)),
        (_with(K_PROJ, torch.zeros(32, 31)), ("self_attn.k_proj.weight (32, 31) instead of (32, 32)",)),
        (_with("proj_out.weight", torch.zeros(5, 32)), ("proj_out.weight (5, 32) instead of (411, 32)",)),
        (_with(K_PROJ, torch.zeros(())), ("k_proj.weight () instead of (32, 32)",)),
        (_with(K_PROJ, torch.zeros(0)), ("k_proj.weight (0,) instead of (32, 32)",)),
        (_with(K_PROJ, torch.zeros(32, 32, dtype=torch.int8)), (K_PROJ, "I8", "quantized")),
        (_with(K_PROJ.removeprefix("model."), torch.zeros(1)), ("twice", "`model.`")),
        (_with("model.decoder.layers.2.fc1.bias", torch.zeros(1)), ("2 decoder layers, the weights have 3",)),
        (_with(K_PROJ, torch.full((32, 32), torch.nan)), ("k_proj.weight", "infinite or undefined")),
        (_with(K_PROJ, torch.full((32, 32), -torch.inf)), ("k_proj.weight", "infinite or undefined")),
    ],
)
def test_tensors_that_do_not_fit(change: Change, parts: tuple[str, ...], folder: Path) -> None:
    rewrite(folder, change)
    refused(folder, *parts)


def test_at_most_five_names(folder: Path) -> None:
    rewrite(
        folder,
        lambda tensors: {name: t for name, t in tensors.items() if "decoder.layers.1." not in name or "fc2" in name},
    )
    message = refused(folder, "and 17 more")
    assert len(re.findall(r"decoder\.layers\.1\.", message)) == 5


def test_weights_of_another_size_than_config_says(folder: Path) -> None:
    edit(folder / "config.json", d_model=64)
    refused(folder, "do not belong together", "decoder.embed_tokens.weight (411, 32) instead of (411, 64)")


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_wrong_number_of_layers_builds_nothing(side: str, folder: Path) -> None:
    edit(folder / "config.json", **{f"{side}_layers": 10**9})
    refused(folder, f"1000000000 {side} layers, the weights have 2")


def test_a_width_that_no_memory_holds(folder: Path) -> None:
    edit(folder / "config.json", d_model=2**20, encoder_attention_heads=4, decoder_attention_heads=4)
    refused(folder, "do not belong together")


def test_weights_beyond_float16(folder: Path) -> None:
    rewrite(folder, _with(K_PROJ, torch.full((32, 32), 1e5)))
    with pytest.raises(ModelFormatError, match=r"k_proj\.weight .* does not fit torch\.float16; ask for float32"):
        load_whisper(folder, torch.float16, CPU)
    assert load_whisper(folder, torch.bfloat16, CPU).config.d_model == 32


# a front end that is not the network's


@pytest.mark.parametrize(
    ("entry", "value"),
    [("chunk_length", 30), ("feature_size", 128), ("sampling_rate", 8000), ("hop_length", 80), ("n_fft", 512)],
)
def test_a_preprocessor_of_another_model(entry: str, value: int, folder: Path) -> None:
    edit(folder / "preprocessor_config.json", **{entry: value})
    refused(folder, f"{entry} is {value}", "same model")


def test_a_nested_preprocessor_of_another_model(folder: Path) -> None:
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    dump(folder / "processor_config.json", {"feature_extractor": {**settings, "chunk_length": 30}})
    refused(folder, "chunk_length is 30")
