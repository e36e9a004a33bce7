"""Pickled checkpoints: what comes out computes what openai/whisper's own network and transformers compute."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import WhisperForConditionalGeneration

from literatim.cli.convert import convert as command
from literatim.errors import ModelFormatError
from literatim.models import openai
from literatim.models.checkpoint import load_whisper
from literatim.models.convert import convert
from literatim.models.folder import read_folder
from literatim.models.whisper import Whisper
from literatim.text.languages import LANGUAGES
from tokenizer_builders import openai_tokenizer
from whisper_builders import WEIGHTS, pickled, tokenizer, unpickle_here, vocabulary

CPU = torch.device("cpu")
CODES = tuple(LANGUAGES)
TOKENS = torch.tensor([[50258, 50259, 50359, 50363, 7, 1000, 40000]])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    unpickle_here(monkeypatch)


@pytest.fixture(scope="module")
def openai_model() -> Iterator[types.ModuleType]:
    """whisper/model.py of the openai-whisper package, without the package's other modules, which need numba."""
    root = next(Path(str(f.locate())).parent for f in files("openai-whisper") or [] if f.name == "model.py")
    saved = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "whisper"}
    package = types.ModuleType("whisper")
    package.__path__ = [str(root)]
    sys.modules["whisper"] = package
    for name in ("decoding", "transcribe"):
        module = types.ModuleType(f"whisper.{name}")
        module.decode = module.detect_language = module.transcribe = None  # type: ignore[attr-defined]
        sys.modules[f"whisper.{name}"] = module
    yield importlib.import_module("whisper.model")
    for name in [name for name in sys.modules if name.split(".")[0] == "whisper"]:
        del sys.modules[name]
    sys.modules.update(saved)


def sizes(**changes: int) -> dict[str, int]:
    """`dims` of a small network with the multilingual vocabulary; each entry that can differ does."""
    names = ("n_mels", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer")
    plain = dict(zip(names, (80, 50, 32, 4, 2), strict=True))
    text = ("n_vocab", "n_text_ctx", "n_text_state", "n_text_head", "n_text_layer")
    return {**plain, **dict(zip(text, (51865, 40, 32, 2, 3), strict=True)), **changes}


def openai_checkpoint(module: types.ModuleType, path: Path, half: bool = False, **changes: int) -> Any:
    """A random network of openai/whisper's, saved as theirs are."""
    dims = module.ModelDimensions(**sizes(**changes))
    torch.manual_seed(0)
    network = module.Whisper(dims).eval()
    for name, parameter in network.named_parameters():
        nn.init.normal_(parameter, std=0.3 if parameter.ndim < 2 else parameter[0].numel() ** -0.5)
        if "ln" in name and name.endswith("weight"):
            parameter.data += 1
    if half:
        network = network.half()
    torch.save({"dims": asdict(dims), "model_state_dict": network.state_dict()}, path)
    return network.float()


@torch.no_grad()
def logits(model: Whisper, mel: Tensor, tokens: Tensor) -> Tensor:
    cache = model.decoder.allocate(1)
    model.decoder.listen(model.encoder(mel), cache)
    hidden = model.decoder(tokens, torch.zeros(1, dtype=torch.long), cache, tokens.shape[1])
    return model.decoder.logits(hidden)


@pytest.mark.parametrize("half", [False, True])
def test_openais_file_computes_the_same(half: bool, openai_model: types.ModuleType, tmp_path: Path) -> None:
    network = openai_checkpoint(openai_model, tmp_path / "small.pt", half)
    report = convert(tmp_path / "small.pt", tmp_path / "out", languages=CODES)
    mel = torch.randn(1, 80, 100, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(mel, TOKENS)
    found = logits(load_whisper(tmp_path / "out", torch.float32, CPU), mel, TOKENS)
    assert expected.std() > 0.1
    assert (found - expected).abs().max() < 1e-4
    positions = network.encoder.positional_embedding  # which openai/whisper does not count
    assert report.parameters == sum(p.numel() for p in network.parameters()) + positions.numel()
    with safe_open(tmp_path / "out" / WEIGHTS, "pt") as stored:
        dtypes = {stored.get_slice(name).get_dtype() for name in stored.keys()}  # noqa: SIM118
    assert dtypes == {"F16" if half else "F32"}


@pytest.mark.usefixtures("here")
def test_transformers_loads_what_comes_out(openai_model: types.ModuleType, tmp_path: Path) -> None:
    network = openai_checkpoint(openai_model, tmp_path / "small.pt")
    convert(tmp_path / "small.pt", tmp_path / "out", languages=CODES)
    loaded, details = WhisperForConditionalGeneration.from_pretrained(
        tmp_path / "out", output_loading_info=True, dtype=torch.float32
    )
    assert not details["missing_keys"]
    assert not details["unexpected_keys"]
    mel = torch.randn(1, 80, 100, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found = loaded.eval()(mel, decoder_input_ids=TOKENS).logits
        assert (found - network(mel, TOKENS)).abs().max() < 1e-4
    assert loaded.generation_config.lang_to_id["<|nl|>"] == 50271


@pytest.mark.parametrize(("size", "multilingual", "count"), [(51864, False, 99), (51865, True, 99), (51866, True, 100)])
def test_ids_are_those_of_openais_tokenizer(size: int, multilingual: bool, count: int) -> None:
    expected = openai_tokenizer(multilingual, count)
    content = openai.generation_config(size, 448, CODES)
    assert content["eos_token_id"] == expected.eot
    assert content["decoder_start_token_id"] == expected.sot
    assert content["prev_sot_token_id"] == expected.sot_prev
    assert content["no_timestamps_token_id"] == expected.no_timestamps
    assert content["begin_suppress_tokens"] == [*expected.encode(" "), expected.eot]
    assert content["is_multilingual"] is multilingual
    if multilingual:
        assert content["task_to_id"] == {"transcribe": expected.transcribe, "translate": expected.translate}
        codes = dict(zip(expected.all_language_codes, expected.all_language_tokens, strict=True))
        assert content["lang_to_id"] == {f"<|{code}|>": id for code, id in codes.items()}
    else:
        assert not {"lang_to_id", "task_to_id"} & set(content)


def test_too_few_language_codes_leave_lang_to_id_out() -> None:
    assert "lang_to_id" not in openai.generation_config(51865, 448, ())


@pytest.mark.usefixtures("here")
def test_the_tokenizer_is_taken_from_a_folder(openai_model: types.ModuleType, tmp_path: Path) -> None:
    openai_checkpoint(openai_model, tmp_path / "small.pt")
    (tmp_path / "other").mkdir()
    content = json.dumps(tokenizer(300, vocabulary(300, ("en",), 50)))
    (tmp_path / "other" / "tokenizer.json").write_text(content)
    (tmp_path / "other" / "config.json").write_text("{}")
    report = convert(tmp_path / "small.pt", tmp_path / "out", tokenizer=tmp_path / "other")
    assert (tmp_path / "out" / "tokenizer.json").read_text() == content
    assert report.notes == ()
    assert read_folder(tmp_path / "out").config["vocab_size"] == 51865


@pytest.mark.usefixtures("here")
def test_without_a_tokenizer_the_report_says_what_to_copy(openai_model: types.ModuleType, tmp_path: Path) -> None:
    openai_checkpoint(openai_model, tmp_path / "small.pt")
    report = convert(tmp_path / "small.pt", tmp_path / "out")
    assert len(report.notes) == 1
    assert "copy tokenizer.json" in report.notes[0]
    assert "--tokenizer FOLDER" in report.notes[0]
    assert report.files == ("config.json", "generation_config.json", WEIGHTS, "preprocessor_config.json")


@pytest.mark.parametrize(
    "kind", [{}, {"shards": 3}, {"legacy": True}, {"dtype": torch.bfloat16}], ids=["bin", "shards", "legacy", "bf16"]
)
@pytest.mark.usefixtures("here")
def test_pytorch_model_bin(kind: dict[str, Any], tmp_path: Path) -> None:
    tensors = pickled(tmp_path / "in", **kind)
    report = convert(tmp_path / "in", tmp_path / "out")
    stored = load_file(tmp_path / "out" / WEIGHTS)
    assert stored.keys() == tensors.keys()
    assert all(torch.equal(stored[name], tensors[name]) for name in tensors)
    assert {tensor.dtype for tensor in stored.values()} == {kind.get("dtype", torch.float32)}
    for name in ("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
    assert report.notes == ()
    assert load_whisper(tmp_path / "out", torch.float32, CPU).decoder.head is None


@pytest.mark.usefixtures("here")
def test_one_file_of_a_folder(tmp_path: Path) -> None:
    pickled(tmp_path / "in")
    report = convert(tmp_path / "in" / "pytorch_model.bin", tmp_path / "out")
    assert report.kind == "transformers"
    assert load_whisper(tmp_path / "out", torch.float32, CPU).config.d_model == 32


@pytest.mark.usefixtures("here")
def test_the_new_folder_can_be_read_by_others(tmp_path: Path) -> None:
    pickled(tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


def test_modules_of_the_working_directory_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pickled(tmp_path / "in")
    (tmp_path / "torch.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert convert(Path("in"), Path("out")).tensors > 0


@pytest.mark.usefixtures("here")
def test_a_vocabulary_of_no_released_size(openai_model: types.ModuleType, tmp_path: Path) -> None:
    openai_checkpoint(openai_model, tmp_path / "small.pt", n_vocab=900)
    with pytest.raises(ModelFormatError, match="900 tokens; ids are known for 51864, 51865, 51866"):
        convert(tmp_path / "small.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("here")
def test_dims_that_are_not_those_of_the_weights(openai_model: types.ModuleType, tmp_path: Path) -> None:
    openai_checkpoint(openai_model, tmp_path / "small.pt")
    content = torch.load(tmp_path / "small.pt")
    content["dims"]["n_text_layer"] = 10**9
    torch.save(content, tmp_path / "small.pt")
    with pytest.raises(ModelFormatError, match="1000000000 decoder layers, the weights have 3"):
        convert(tmp_path / "small.pt", tmp_path / "out")


@pytest.mark.usefixtures("here")
def test_an_empty_target_is_used(tmp_path: Path) -> None:
    pickled(tmp_path / "in")
    (tmp_path / "out").mkdir()
    assert WEIGHTS in convert(tmp_path / "in", tmp_path / "out").files


def test_the_command(tmp_path: Path) -> None:
    pickled(tmp_path / "in")
    (tmp_path / "in" / "tokenizer.json").unlink()
    result = CliRunner().invoke(command, [str(tmp_path / "in"), str(tmp_path / "out")])
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'out'}\n"
    assert "copy tokenizer.json" in result.stderr
    assert "million parameters in" in result.stderr
