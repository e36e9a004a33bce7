"""verify's independent implementation: the same network in float64, and where another one first differs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from literatim.api import load
from literatim.errors import LiteratimError
from literatim.models.checkpoint import load_whisper
from literatim.models.whisper import Whisper
from literatim.options import TranscribeOptions
from literatim.verify import independent
from literatim.verify.independent import Answer, against_transformers, ask, compare, first_apart, replay
from literatim.verify.subject import Clip
from whisper_builders import random_whisper_folder

MOST = 20


@dataclass(frozen=True)
class Case:
    folder: Path
    model: Whisper
    clips: list[Clip]
    answer: Answer
    said: list[tuple[int, ...]]
    end: int


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A network of two layers a side, and three clips, the last after some text."""
    folder = random_whisper_folder(tmp_path_factory.mktemp("model"), 11)
    engine = load(folder, device="cpu", assistant="none")._engine
    tokenizer, random = engine.tokenizer, torch.Generator().manual_seed(3)
    prompt = tuple(tokenizer.prompt("en", "transcribe", True))
    assert tokenizer.startofprev is not None
    prompts = [prompt, tuple(tokenizer.prompt("nl", "transcribe", True)), (tokenizer.startofprev, 17, 40, 33, *prompt)]
    clips = [
        Clip(str(at), torch.randn(80, engine.config.window_frames, generator=random), each, MOST, "some words")
        for at, each in enumerate(prompts)
    ]
    engine.listen([clip.features for clip in clips])
    said = engine.decode([clip.prompt for clip in clips], engine.rules(TranscribeOptions()), MOST)
    model = load_whisper(folder, torch.float32, torch.device("cpu"))
    answer = ask(folder, clips, True, model.config.vocab_size)
    return Case(folder, model, clips, answer, [row.tokens for row in said], tokenizer.eot)


def test_the_networks_are_one_in_float64(case: Case) -> None:
    """To rounding in float64, at all places but the logits, which ours gives in float32."""
    wide = copy.deepcopy(case.model).double()
    places = compare(replay(wide, case.clips, case.answer), case.answer)
    assert {place.name for place in places} >= {"encoder.conv1", "encoder.layers.1", "decoder.layers.0.cross.out"}
    assert len(places) == 3 * (2 + 2 * 5 + 1 + 2 * 8 + 1 + 1)
    for place in places:
        limit = 1e-7 if place.name == "decoder.logits" else 1e-13
        assert place.found.relative_rms is not None
        assert place.found.relative_rms < limit, place
        assert place.found.elements > 0


def test_its_noise_is_that_of_float32(case: Case) -> None:
    for place in compare(replay(case.model, case.clips, case.answer), case.answer):
        assert place.floor.relative_rms is not None
        assert 2**-27 < place.floor.relative_rms < 2**-16, place
        assert place.grade == "fp32", place


def test_the_compiled_kernels_are_one_with_transformers_too(case: Case) -> None:
    """What decodes on this CPU, where it has kernels; of it hidden states and logits are seen."""
    engine = load(case.folder, device="cpu", assistant="none")._engine
    places = compare(replay(engine.model, case.clips, case.answer, engine.steps), case.answer)
    assert {place.name for place in places} >= {"encoder.layers.1", "encoder.norm", "decoder.norm", "decoder.logits"}
    assert first_apart(places) is None
    for place in places:
        assert place.found.relative_rms is not None
        assert 2**-27 < place.found.relative_rms < 2**-16, place


@pytest.mark.slow
def test_bfloat16_is_held_against_bfloat16(case: Case) -> None:
    answer = ask(case.folder, case.clips[:1], True, case.model.config.vocab_size, "bfloat16")
    assert answer.tokens == case.answer.tokens[:1]  # chosen in float64
    short = load_whisper(case.folder, torch.bfloat16, torch.device("cpu"))
    places = compare(replay(short, case.clips[:1], answer), answer)
    assert first_apart(places) is None
    assert {place.grade for place in places} == {"bf16"}
    short.decoder.layers[1].mlp.fc2.bias.data.mul_(3)  # type: ignore[union-attr]
    found = first_apart(compare(replay(short, case.clips[:1], answer), answer))
    assert found is not None
    assert found.name == "decoder.layers.1.mlp.fc2"


def test_whole_figures_and_tokens(case: Case) -> None:
    def text(ids: object) -> str:
        return "".join(f" {token}" for token in ids)  # type: ignore[attr-defined]

    found = replay(case.model, case.clips, case.answer)
    whole = against_transformers(found, case.answer, case.clips, case.said, text, case.end)
    assert whole.against == "transformers"
    assert whole.positions == sum(map(len, case.answer.tokens))
    assert whole.greedy_match == 1.0
    assert len({item.reference for item in whole.tokens}) == 3
    assert max(len(set(item.reference)) for item in whole.tokens) >= 4
    assert whole.logits["greedy"] >= 0.9
    assert whole.logits["raw"]["cosine"] > 1 - 1e-10
    assert 0 < whole.logits["probability_max_abs"] < 1e-4
    assert 0 < whole.floor["logits"]["raw"]["max_abs"] < 1e-3
    assert 0 < whole.encoder["relative_rms"] < 1e-5
    assert whole.tokens[0].truth == "some words"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("encoder.conv1.weight", "encoder.conv1"),
        ("encoder.conv2.bias", "encoder.conv2"),
        ("encoder.positions", "encoder.layers.0.attention.norm"),
        ("encoder.layers.0.attention.qkv.weight", "encoder.layers.0.attention.out"),
        ("encoder.layers.1.mlp.fc1.bias", "encoder.layers.1.mlp.fc2"),
        ("encoder.layers.1.mlp.norm.weight", "encoder.layers.1.mlp.norm"),
        ("encoder.norm.bias", "encoder.norm"),
        ("decoder.tokens.weight", "decoder.layers.0.attention.norm"),
        ("decoder.positions", "decoder.layers.0.attention.norm"),
        ("decoder.layers.0.cross.q.weight", "decoder.layers.0.cross.q"),
        ("decoder.layers.1.cross.kv.weight", "decoder.layers.1.cross.out"),
        ("decoder.layers.1.mlp.fc2.weight", "decoder.layers.1.mlp.fc2"),
        ("decoder.norm.weight", "decoder.norm"),
    ],
)
def test_a_changed_parameter_shows_first_where_it_works(case: Case, name: str, first: str) -> None:
    """Multiplied by 1.001, which leaves every token as it was."""
    changed = copy.deepcopy(case.model)
    parameters: dict[str, Tensor] = dict(changed.named_parameters())
    parameters[name].data.mul_(1.001)
    found = first_apart(compare(replay(changed, case.clips, case.answer), case.answer))
    assert found is not None
    assert (found.clip, found.name) == (0, first)
    assert first_apart(compare(replay(case.model, case.clips, case.answer), case.answer)) is None


def test_the_process_has_no_backend_even_where_one_would_load(case: Case) -> None:
    assert case.answer.about["backends"] == []
    assert set(case.answer.about["versions"]) == {"transformers", "torch"}
    variables = independent.environment()
    assert variables["TORCH_DEVICE_BACKEND_AUTOLOAD"] == "0"
    assert variables["HF_HUB_OFFLINE"] == "1"


def _with_module(tmp_path: Path, name: str, content: str) -> Callable[[], dict[str, str]]:
    """Variables under which the child finds another module of this name."""
    (tmp_path / f"{name}.py").write_text(content)
    variables = independent.environment()
    return lambda: {**variables, "PYTHONPATH": str(tmp_path)}


def test_a_transformers_that_cannot_be_imported(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "raise ModuleNotFoundError(\"No module named 'regex'\")"
    monkeypatch.setattr(independent, "environment", _with_module(tmp_path, "transformers", missing))
    with pytest.raises(LiteratimError, match=r"No module named 'regex'; run it by itself, or leave it out"):
        ask(case.folder, case.clips[:1], True, 300)


def test_torch_npu_is_not_imported_by_it(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transformers that looks for torch_npu, which is there and would leave a mark."""
    (tmp_path / "torch_npu.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')")
    looks = (
        "import importlib.util\n"
        "assert importlib.util.find_spec('torch_npu') is None\n"
        "try:\n    import torch_npu\nexcept ImportError:\n    raise RuntimeError('not there')\n"
    )
    monkeypatch.setattr(independent, "environment", _with_module(tmp_path, "transformers", looks))
    with pytest.raises(LiteratimError, match="RuntimeError: not there; run it by itself"):
        ask(case.folder, case.clips[:1], True, 300)
    assert not (tmp_path / "mark").exists()


def test_a_process_that_dies_is_told(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dies = "import os, sys\nsys.stderr.write('out of everything\\n')\nsys.stderr.flush()\nos._exit(9)"
    monkeypatch.setattr(independent, "environment", _with_module(tmp_path, "transformers", dies))
    with pytest.raises(LiteratimError, match=r"exit status 9\): out of everything"):
        ask(case.folder, case.clips[:1], True, 300)
