"""Folders as they are published, loaded by us and by transformers: the same states and the same logits."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from literatim.models.checkpoint import load_whisper
from literatim.models.whisper import Whisper
from whisper_builders import drop_prefix, edit, random_whisper_folder, rewrite, shard
from whisper_reference import TOKENS, difference, inputs, ours, reference

CPU = torch.device("cpu")
TOLERANCE = 1e-4

NAMES = (
    "d_model",
    "encoder_attention_heads",
    "decoder_attention_heads",
    "encoder_ffn_dim",
    "decoder_ffn_dim",
    "encoder_layers",
    "decoder_layers",
    "num_mel_bins",
    "max_source_positions",
)
SHAPES = [  # in the order of NAMES
    (32, 4, 4, 64, 64, 1, 1, 80, 50),
    (32, 4, 4, 128, 128, 2, 2, 80, 100),
    (30, 3, 3, 120, 120, 2, 2, 80, 75),
    (30, 5, 3, 60, 90, 3, 1, 80, 60),
    (42, 7, 3, 100, 50, 2, 3, 80, 50),
    (40, 1, 5, 70, 70, 1, 2, 80, 52),
    (36, 9, 1, 20, 200, 2, 1, 80, 51),
    (64, 1, 1, 256, 256, 4, 4, 80, 50),
    (64, 8, 2, 256, 64, 5, 5, 80, 100),
    (48, 6, 6, 192, 192, 1, 5, 128, 100),
    (48, 6, 4, 96, 192, 5, 1, 128, 50),
    (48, 3, 3, 192, 192, 3, 3, 128, 200),
    (54, 9, 27, 77, 33, 2, 2, 128, 77),
    (32, 2, 4, 64, 128, 4, 2, 128, 400),
    (32, 4, 2, 64, 64, 2, 4, 80, 750),
    (24, 3, 3, 48, 48, 1, 1, 80, 1500),
    (24, 3, 3, 48, 48, 1, 2, 128, 1500),
    (96, 6, 6, 384, 384, 2, 2, 80, 50),
    (128, 2, 2, 512, 512, 2, 2, 80, 50),
    (128, 2, 2, 512, 512, 4, 1, 128, 50),
    (20, 5, 5, 40, 40, 3, 5, 80, 64),
    (44, 11, 4, 88, 88, 2, 2, 80, 333),
]
# Every size that can differ from another does
TYPICAL = {"encoder_attention_heads": 2, "encoder_ffn_dim": 96, "num_mel_bins": 128, "decoder_layers": 3}


def load(folder: Path) -> Whisper:
    return load_whisper(folder, torch.float32, CPU)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape)))
def test_states_and_logits_are_those_of_transformers(shape: tuple[int, ...], tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, sum(shape), **dict(zip(NAMES, shape, strict=True)))
    assert difference(load(folder), reference(folder)) < TOLERANCE


def test_a_folder_of_whisper_tinys_shape(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 3, tiny_shape=True)
    assert difference(load(folder), reference(folder)) < TOLERANCE


def test_a_scaled_embedding_is_not_applied(tmp_path: Path) -> None:
    """transformers reads `scale_embedding` and uses it nowhere."""
    folder = random_whisper_folder(tmp_path, 4, scale_embedding=True, **TYPICAL)
    assert difference(load(folder), reference(folder)) < TOLERANCE


def test_tokens_one_by_one_are_those_at_once(tmp_path: Path) -> None:
    model = load(random_whisper_folder(tmp_path, 5, **TYPICAL))
    mel, tokens = inputs(model)
    _, whole = ours(model, mel, tokens)
    cache = model.decoder.allocate(2)
    with torch.no_grad():
        model.decoder.listen(model.encoder(mel), cache)
        for at in range(TOKENS):
            hidden = model.decoder(tokens[:, at : at + 1], torch.full((2,), at), cache, at + 1)
            logits = model.decoder.logits(hidden)
            assert (logits[:, 0] - whole[:, at]).abs().max() < TOLERANCE


# weights on disk in half the bytes, computed in float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_on_disk(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 6, dtype=dtype, **TYPICAL)
    assert difference(load(folder), reference(folder)) < TOLERANCE


@pytest.mark.parametrize("disk", [torch.float32, torch.float16, torch.bfloat16])
def test_bfloat16_asked_for(disk: torch.dtype, tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 7, dtype=disk, **TYPICAL)
    model = load_whisper(folder, torch.bfloat16, CPU)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    expected = reference(folder).bfloat16().float()  # the same rounding, then computed exactly
    assert difference(model.float(), expected) < TOLERANCE


@pytest.mark.parametrize("disk", [torch.float32, torch.float16, torch.bfloat16])
def test_float16_on_a_cpu_rounds_the_weights_and_computes_in_float32(disk: torch.dtype, tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 8, dtype=disk, **TYPICAL)
    model = load_whisper(folder, torch.float16, CPU)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert difference(model, reference(folder).half().float()) < TOLERANCE


# names and files


def test_keys_without_the_prefix(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 9, **TYPICAL)
    expected = reference(folder)
    rewrite(folder, drop_prefix)
    assert difference(load(folder), expected) < TOLERANCE


@pytest.mark.parametrize("count", [2, 5])
def test_shards_with_an_index(count: int, tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 10, **TYPICAL)
    expected = reference(folder)
    assert len(shard(folder, count)) == count
    assert difference(load(folder), expected) < TOLERANCE


def test_an_output_matrix_equal_to_the_embedding_is_not_held_twice(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 11)
    expected = reference(folder)
    rewrite(folder, lambda t: {**t, "proj_out.weight": t["model.decoder.embed_tokens.weight"].clone()})
    model = load(folder)
    assert model.decoder.head is None
    assert difference(model, expected) < TOLERANCE


def test_an_output_matrix_of_its_own(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 12, tie_word_embeddings=False)
    model = load(folder)
    assert model.decoder.head is not None
    assert not torch.equal(model.decoder.head, model.decoder.tokens.weight)
    assert difference(model, reference(folder)) < TOLERANCE


def test_a_changed_last_row_unties_the_output_matrix(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 13)

    def untie(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        output = tensors["model.decoder.embed_tokens.weight"].clone()
        output[-1] += 1
        return {**tensors, "proj_out.weight": output}

    rewrite(folder, untie)
    model = load(folder)
    assert model.decoder.head is not None
    change = model.decoder.head - model.decoder.tokens.weight
    assert change[:-1].abs().max() == 0
    assert torch.allclose(change[-1], torch.ones(()), atol=1e-6)


def test_large_v3s_second_set_of_weights_is_left_alone(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 14, **TYPICAL)
    expected = reference(folder)
    for number in (1, 2):
        (folder / f"model.fp32-0000{number}-of-00002.safetensors").write_bytes(b"not to be read")
    (folder / "model.safetensors.index.fp32.json").write_text("not to be read")
    for name in ("pytorch_model.bin", "flax_model.msgpack", "tf_model.h5", "pytorch_model.fp32.bin"):
        (folder / name).write_bytes(b"not to be read")
    assert difference(load(folder), expected) < TOLERANCE


def test_a_bias_of_the_keys_changes_nothing(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 15)
    expected = reference(folder)
    name = "model.decoder.layers.0.encoder_attn.k_proj.bias"
    rewrite(folder, lambda tensors: {**tensors, name: torch.randn(32)})
    assert difference(load(folder), expected) < TOLERANCE


def test_embeddings_resized_for_words_added_after_the_timestamps(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 16)
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    before = model.config.vocab_size
    model.resize_token_embeddings(before + 3, mean_resizing=False)
    model.save_pretrained(folder)
    loaded = load(folder)
    assert loaded.config.vocab_size == before + 3
    assert difference(loaded, reference(folder)) < TOLERANCE


def test_an_encoder_shared_by_two_models_is_read_from_each(tmp_path: Path) -> None:
    """turbo's encoder is not large-v3's: nothing may be carried from one folder to another."""
    first = random_whisper_folder(tmp_path / "a", 17, **TYPICAL)
    second = random_whisper_folder(tmp_path / "b", 18, **TYPICAL)
    assert difference(load(first), reference(first)) < TOLERANCE
    assert difference(load(second), reference(second)) < TOLERANCE
    assert difference(load(first), reference(second)) > 1e-2


# the files beside the weights


def _torch_dtype(folder: Path) -> None:
    edit(folder / "config.json", dtype=None, torch_dtype="float16")


def _nested_feature_extractor(folder: Path) -> None:
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    nested = {"feature_extractor": settings, "processor_class": "WhisperProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(nested))
    (folder / "preprocessor_config.json").unlink()


def _mel_filters(folder: Path) -> None:
    edit(folder / "preprocessor_config.json", mel_filters=[[0.5] * 128] * 201)


def _forced_decoder_ids(folder: Path) -> None:
    edit(folder / "config.json", forced_decoder_ids=[[1, 302], [2, 305]], pad_token_id=299)


def _empty_string_suppress(folder: Path) -> None:
    edit(folder / "generation_config.json", suppress_tokens="", begin_suppress_tokens="")


def _no_generation_config(folder: Path) -> None:
    (folder / "generation_config.json").unlink()


def _no_preprocessor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


@pytest.mark.parametrize(
    "quirk",
    [
        _torch_dtype,
        _nested_feature_extractor,
        _mel_filters,
        _forced_decoder_ids,
        _empty_string_suppress,
        _no_generation_config,
        _no_preprocessor,
    ],
)
def test_quirks_of_the_files_beside_the_weights(quirk: Callable[[Path], None], tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 19, **TYPICAL)
    expected = reference(folder)
    quirk(folder)
    assert difference(load(folder), expected) < TOLERANCE


def test_a_read_only_snapshot_of_links_into_blobs(tmp_path: Path) -> None:
    blobs = random_whisper_folder(tmp_path / "blobs", 20, **TYPICAL)
    expected = reference(blobs)
    snapshot = tmp_path / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        file.chmod(0o444)
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    snapshot.chmod(0o555)
    before = sorted(path.name for path in snapshot.iterdir())
    try:
        assert difference(load(snapshot), expected) < TOLERANCE
        assert sorted(path.name for path in snapshot.iterdir()) == before
    finally:
        snapshot.chmod(0o755)


# alive: a comparison that no module matters to would prove nothing


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Whisper, WhisperForConditionalGeneration]:
    folder = random_whisper_folder(tmp_path_factory.mktemp("alive"), 22, encoder_layers=3, decoder_layers=3)
    return load(folder), reference(folder)


def _parameters() -> list[str]:
    with torch.device("meta"):
        from literatim.models.config import WhisperConfig

        names = [name for name, _ in Whisper(WhisperConfig(80, 8, 3, 1, 8, 3, 1, 8, 8, 8, 8)).named_parameters()]
    return [name for name in names if "layers.0" not in name]


@pytest.mark.parametrize("name", _parameters())
def test_any_parameter_set_to_zero_shows(name: str, pair: tuple[Whisper, WhisperForConditionalGeneration]) -> None:
    model, expected = copy.deepcopy(pair[0]), pair[1]
    assert difference(model, expected) < TOLERANCE
    model.get_parameter(name).zero_()
    assert difference(model, expected) > 1e-2


def test_other_audio_gives_other_logits(pair: tuple[Whisper, WhisperForConditionalGeneration]) -> None:
    mel, tokens = inputs(pair[0])
    _, first = ours(pair[0], mel, tokens)
    _, second = ours(pair[0], inputs(pair[0], seed=1)[0], tokens)
    assert (first - second).abs().max() > 0.1


def test_tokens_vary_by_position_and_by_audio(pair: tuple[Whisper, WhisperForConditionalGeneration]) -> None:
    chosen = []
    for seed in range(6):
        mel, _ = inputs(pair[0], seed)
        tokens = torch.full((2, 1), 301)
        for _ in range(12):
            tokens = torch.cat([tokens, ours(pair[0], mel, tokens)[1][:, -1].argmax(-1, keepdim=True)], 1)
        chosen.append(tokens[0].tolist())
    assert len({tuple(tokens) for tokens in chosen}) > 1
    assert all(len(set(tokens)) > 4 for tokens in chosen)
