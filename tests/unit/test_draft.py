"""Drafts: which encoder they listen to, the folder of a decoder alone, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperForCausalLM, WhisperForConditionalGeneration

from literatim.errors import ModelFormatError
from literatim.models.checkpoint import load_whisper
from literatim.models.draft import (
    MARK,
    VOCABULARY,
    VOCABULARY_FILE,
    Draft,
    Origin,
    encoder_sha256,
    load_draft,
    save_draft,
)
from literatim.models.folder import read_folder
from literatim.models.tensors import TensorFiles
from literatim.models.whisper import Decoder, Whisper
from whisper_builders import WEIGHTS, edit, random_whisper_folder, shard

CPU = torch.device("cpu")
LAYER = "model.encoder.layers.1.fc1.weight"


@pytest.fixture(scope="module")
def main(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("main"), 1)


def _distilled(main: Path, folder: Path, **weights: Any) -> Path:
    """A whole checkpoint with one decoder layer and the main model's encoder, as distil-whisper's are."""
    random_whisper_folder(folder, 2, decoder_layers=1)
    tensors, own = load_file(main / WEIGHTS), load_file(folder / WEIGHTS)
    encoder = {name: value for name, value in tensors.items() if ".encoder." in name}
    save_file({**own, **encoder, **weights}, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def _load(folder: Path, main: Path, dtype: torch.dtype = torch.float32) -> Draft:
    return load_draft(folder, main, dtype, CPU)


def _hash(main: Path) -> str:
    whole = load_whisper(main, torch.float32, CPU)
    with TensorFiles(read_folder(main).weights) as files:
        return encoder_sha256(files, whole.config)


def _alone(main: Path, folder: Path, vocabulary: list[int] | None = None) -> Path:
    """A decoder alone: the first layer of the main model's."""
    whole = load_whisper(main, torch.float32, CPU)
    save_draft(folder, _first_layer(whole), read_folder(main).config, Origin("main", _hash(main)), vocabulary)
    return folder


def _first_layer(whole: Whisper) -> Decoder:
    decoder = Decoder(type(whole.config)(**{**vars(whole.config), "decoder_layers": 1}))
    decoder.load_state_dict({name: whole.decoder.state_dict()[name] for name in decoder.state_dict()})
    return decoder


# ---- a whole checkpoint ----


def test_an_equal_encoder_is_shared_and_not_loaded(main: Path, tmp_path: Path) -> None:
    folder = _distilled(main, tmp_path)
    draft = _load(folder, main)
    assert draft.shares
    assert draft.encoder is None
    assert "the weights of the main" in draft.reason
    assert draft.vocabulary is None
    own = load_whisper(folder, torch.float32, CPU).decoder.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in draft.decoder.state_dict().items())
    assert not any(parameter.requires_grad for parameter in draft.decoder.parameters())


def test_one_changed_element_makes_it_another_encoder(main: Path, tmp_path: Path) -> None:
    changed = load_file(main / WEIGHTS)[LAYER]
    changed[-1, -1] += 1e-3
    draft = _load(_distilled(main, tmp_path, **{LAYER: changed}), main)
    assert not draft.shares
    assert "encoder.layers.1.fc1.weight" in draft.reason
    assert draft.encoder is not None
    assert torch.equal(draft.encoder.get_parameter("layers.1.mlp.fc1.weight"), changed)


def test_a_change_that_rounding_removes_is_none(main: Path, tmp_path: Path) -> None:
    exact = load_file(main / WEIGHTS)[LAYER]
    folder = _distilled(main, tmp_path, **{LAYER: exact.to(torch.bfloat16)})
    assert _load(folder, main, torch.bfloat16).shares
    assert not _load(folder, main, torch.float32).shares


def test_shards_and_other_piece_sizes_compare_the_same(main: Path, tmp_path: Path) -> None:
    folder = _distilled(main, tmp_path)
    shard(folder, 3)
    assert _load(folder, main).shares


@pytest.mark.parametrize(("name", "value"), [("encoder_layers", 1), ("encoder_attention_heads", 2), ("d_model", 64)])
def test_other_sizes_mean_an_encoder_of_its_own(main: Path, tmp_path: Path, name: str, value: int) -> None:
    draft = _load(random_whisper_folder(tmp_path, 1, **{name: value}), main)
    assert not draft.shares
    assert draft.encoder is not None
    assert f"{value} instead of" in draft.reason


def test_more_mel_bands_and_another_vocabulary_are_allowed(main: Path, tmp_path: Path) -> None:
    draft = _load(random_whisper_folder(tmp_path, 3, num_mel_bins=128, text_tokens=301), main)
    assert draft.config.n_mels == 128
    assert draft.config.vocab_size == load_whisper(main, torch.float32, CPU).config.vocab_size + 1


def test_float16_on_a_cpu_is_held_in_float32(main: Path, tmp_path: Path) -> None:
    draft = _load(_distilled(main, tmp_path), main, torch.float16)
    assert draft.shares
    assert draft.decoder.positions.dtype == torch.float32
    assert torch.equal(draft.decoder.positions, draft.decoder.positions.half().float())


def test_another_window_is_refused(main: Path, tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 1, max_source_positions=150)
    with pytest.raises(ModelFormatError, match=r"windows of 3 s and the main model of 2 s; use a draft"):
        _load(folder, main)


def test_fewer_places_for_tokens_are_refused(main: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"places for 48 tokens and the main model for 64; use a draft"):
        _load(random_whisper_folder(tmp_path, 1, max_target_positions=48), main)


def test_a_wrong_size_in_a_draft_is_named(main: Path, tmp_path: Path) -> None:
    folder = _distilled(main, tmp_path)
    edit(folder / "config.json", decoder_ffn_dim=128)
    with pytest.raises(ModelFormatError, match=r"do not belong together: decoder\.layers\.0\.fc1"):
        _load(folder, main)


# ---- a decoder alone ----


def test_a_decoder_alone_comes_back_as_it_was(main: Path, tmp_path: Path) -> None:
    draft = _load(_alone(main, tmp_path, [7, 3, 3, 250]), main)
    assert draft.shares
    assert draft.encoder is None
    assert draft.config.decoder_layers == 1
    assert draft.vocabulary is not None
    assert draft.vocabulary.dtype == torch.int32
    assert draft.vocabulary.tolist() == [3, 7, 250]
    first = _first_layer(load_whisper(main, torch.float32, CPU)).state_dict()
    assert all(torch.equal(value, first[name]) for name, value in draft.decoder.state_dict().items())


def test_saving_again_without_a_vocabulary_removes_it(main: Path, tmp_path: Path) -> None:
    _alone(main, tmp_path, [1])
    assert _load(_alone(main, tmp_path), main).vocabulary is None


def test_transformers_reads_it_and_computes_the_same(main: Path, tmp_path: Path) -> None:
    """Its `WhisperForCausalLM` over encoder states, against our decoder with its cache."""
    _alone(main, tmp_path, [1, 2])
    theirs, loading = WhisperForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values())
    draft, tokens = _load(tmp_path, main), torch.arange(30)[None].int()
    audio = torch.randn(1, draft.config.source_positions, draft.config.d_model, generator=torch.manual_seed(0))
    cache = draft.decoder.allocate(1)
    with torch.inference_mode():
        wanted = theirs.eval()(input_ids=tokens.long(), encoder_outputs=(audio,)).logits
        draft.decoder.listen(audio, cache)
        found = draft.decoder.logits(draft.decoder(tokens, torch.zeros(1, dtype=torch.int32), cache, 64))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_an_output_matrix_of_its_own_is_kept(main: Path, tmp_path: Path) -> None:
    whole = load_whisper(main, torch.float32, CPU)
    decoder = _first_layer(whole)
    decoder.head = torch.nn.Parameter(decoder.tokens.weight.detach() * 2)
    save_draft(tmp_path, decoder, read_folder(main).config, Origin("main", _hash(main)), None)
    head = _load(tmp_path, main).decoder.head
    assert head is not None
    assert torch.equal(head, decoder.head)


def test_the_hash_is_of_the_encoders_numbers(main: Path, tmp_path: Path) -> None:
    """Computed once more from transformers' own reading of the folder; the same for shards."""
    state = WhisperForConditionalGeneration.from_pretrained(main).model.state_dict()
    digest = hashlib.sha256()
    for name in sorted(name for name in state if name.startswith("encoder.")):
        digest.update(f"{name} {'x'.join(map(str, state[name].shape))}\n".encode())
        digest.update(state[name].float().numpy().tobytes())
    assert _hash(main) == digest.hexdigest()
    sharded = random_whisper_folder(tmp_path, 1)
    shard(sharded, 3)
    assert _hash(sharded) == digest.hexdigest()


def test_another_models_encoder_is_refused(main: Path, tmp_path: Path) -> None:
    other = random_whisper_folder(tmp_path / "other", 9)
    with pytest.raises(ModelFormatError, match=r"trained on the encoder of main.*or make a draft for this one"):
        _load(_alone(main, tmp_path / "draft"), other)


def test_a_decoder_that_does_not_say_for_whom_is_refused(main: Path, tmp_path: Path) -> None:
    config = json.loads((_alone(main, tmp_path) / "config.json").read_text())
    del config[MARK]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFormatError, match=r"does not say .* for which encoder"):
        _load(tmp_path, main)


def test_a_config_of_another_draft_is_refused(main: Path, tmp_path: Path) -> None:
    edit(_alone(main, tmp_path) / "config.json", encoder_attention_heads=2)
    with pytest.raises(ModelFormatError, match=r"encoder_heads 2, the main model has 4; use the config.json"):
        _load(tmp_path, main)


def test_it_is_no_model_by_itself(main: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="name it as --assistant"):
        load_whisper(_alone(main, tmp_path), torch.float32, CPU)


def test_nor_can_it_be_the_main_model(main: Path, tmp_path: Path) -> None:
    draft = _alone(main, tmp_path)
    with pytest.raises(ModelFormatError, match="the main model's weights lack encoder"):
        _load(draft, draft)


@pytest.mark.parametrize(
    "ids",
    [
        torch.tensor([3, 2], dtype=torch.int32),
        torch.tensor([2, 2], dtype=torch.int32),
        torch.tensor([-1, 2], dtype=torch.int32),
        torch.tensor([2, 100_000], dtype=torch.int32),
        torch.tensor([2, 3]),
        torch.tensor([[2, 3]], dtype=torch.int32),
        torch.tensor([], dtype=torch.int32),
    ],
)
def test_a_strange_vocabulary_is_refused(main: Path, tmp_path: Path, ids: torch.Tensor) -> None:
    save_file({VOCABULARY: ids}, _alone(main, tmp_path) / VOCABULARY_FILE)
    with pytest.raises(ModelFormatError, match=r"must hold draft\.vocabulary, ascending int32"):
        _load(tmp_path, main)


def test_a_cut_vocabulary_is_refused(main: Path, tmp_path: Path) -> None:
    path = _alone(main, tmp_path, [1, 2]) / VOCABULARY_FILE
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelFormatError, match=r"cut off or damaged .* copy it again"):
        _load(tmp_path, main)
