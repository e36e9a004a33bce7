"""Assistants by name and folder: the plain text comes out, memory is shared, and what cannot serve is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import literatim
from audio_builders import wav
from literatim.decode.pace import AdaptivePace, Pace
from literatim.errors import ModelFormatError, ModelNotFound, OptionError
from literatim.models.checkpoint import load_whisper
from literatim.models.draft import Origin, encoder_sha256, save_draft
from literatim.models.folder import read_folder
from literatim.models.tensors import TensorFiles
from literatim.types import Transcript
from whisper_builders import WEIGHTS, random_whisper_folder

CPU = torch.device("cpu")
SAMPLES = (0.2 * np.random.default_rng(4).standard_normal(16_000 * 5)).astype(np.float32)


@pytest.fixture(scope="module")
def main(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("main"), 1)


@pytest.fixture(scope="module")
def alone(main: Path) -> Transcript:
    found = transcript(main, "none")
    assert found.speculation is None
    assert sum(len(segment.tokens) for segment in found.segments) > 20
    return found


def transcript(main: Path, assistant: str | Path, **options: Any) -> Transcript:
    model = literatim.load(main, device="cpu", assistant=str(assistant), **options)
    return model.transcribe(SAMPLES, no_speech_threshold=None, temperature=0.0)


def text_of(found: Transcript) -> Transcript:
    return replace(found, speculation=None)


def distilled(main: Path, folder: Path, **config: Any) -> Path:
    """One layer beside the main model's encoder, its embedding too."""
    random_whisper_folder(folder, 2, decoder_layers=1, **config)
    tensors, own = load_file(main / WEIGHTS), load_file(folder / WEIGHTS)
    same = {name: value for name, value in tensors.items() if ".encoder." in name or "embed_tokens" in name}
    save_file({**own, **same}, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def decoder_alone(main: Path, folder: Path, vocabulary: list[int] | None) -> Path:
    """The main model's own decoder as `literatim draft train` would write it."""
    whole = load_whisper(main, torch.float32, CPU)
    with TensorFiles(read_folder(main).weights) as files:
        origin = Origin("main", encoder_sha256(files, whole.config))
    save_draft(folder, whole.decoder, read_folder(main).config, origin, vocabulary)
    return folder


# what comes out


def test_a_distilled_draft_shares_encoder_and_embedding(main: Path, alone: Transcript, tmp_path: Path) -> None:
    model = literatim.load(main, device="cpu", assistant=str(distilled(main, tmp_path)), num_assistant_tokens=3)
    assistant = model._engine.assistant
    assert assistant is not None
    assert assistant.shares
    assert assistant.encoder is None
    assert assistant.n_mels is None
    assert assistant.decoder.tokens.weight is model._engine.model.decoder.tokens.weight
    assert model.assistant == str(tmp_path)
    found = model.transcribe(SAMPLES, no_speech_threshold=None, temperature=0.0)
    assert text_of(found) == alone
    assert found.speculation is not None
    assert found.speculation.proposed > 0


def test_another_embedding_is_not_replaced(main: Path, tmp_path: Path) -> None:
    model = literatim.load(main, device="cpu", assistant=str(random_whisper_folder(tmp_path, 9)))
    assert model._engine.assistant is not None
    assert not torch.equal(model._engine.assistant.decoder.tokens.weight, model._engine.model.decoder.tokens.weight)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_model_as_its_own_draft_is_nearly_always_right(main: Path, dtype: str, tmp_path: Path) -> None:
    plain = transcript(main, "none", dtype=dtype)
    found = transcript(main, main, dtype=dtype, num_assistant_tokens=4)
    assert text_of(found) == plain
    assert found.speculation is not None
    assert found.speculation.acceptance > 0.9  # but for near-ties, since its own products are of other shapes
    said = found.speculation.accepted + found.speculation.rounds  # in all windows, at all temperatures
    assert found.speculation.rounds < 0.6 * said


@pytest.mark.parametrize("bands", [80, 128])
def test_a_draft_with_its_own_ears(main: Path, alone: Transcript, bands: int, tmp_path: Path) -> None:
    """Another encoder, with as many mel bands or with more, another width and another language between."""
    sizes = {"d_model": 24, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_mel_bins": bands}
    random_whisper_folder(tmp_path, 6, **sizes, languages=("en", "fr", "nl"), end_gain=2.0)
    model = literatim.load(main, device="cpu", assistant=str(tmp_path), num_assistant_tokens=5)
    assistant = model._engine.assistant
    assert assistant is not None
    assert not assistant.shares
    assert assistant.n_mels == bands
    assert len(model._engine.features(torch.from_numpy(SAMPLES), 0, 100, 1.0)) == (1 if bands == 80 else 2)
    found = model.transcribe(SAMPLES, no_speech_threshold=None, temperature=0.0)
    assert text_of(found) == alone
    assert found.speculation is not None
    assert found.speculation.proposed > 0


def test_ears_are_not_used_where_nothing_is_proposed(main: Path, tmp_path: Path) -> None:
    """By rows that are moved to other slots, either; and once it proposes, each window is heard once."""
    random_whisper_folder(tmp_path, 6, languages=("en", "fr", "nl"), end_gain=2.0)
    for proposals in (0, 2):
        model = literatim.load(main, device="cpu", assistant=str(tmp_path), num_assistant_tokens=proposals)
        assistant, heard = model._engine.assistant, []
        assert assistant is not None
        assert assistant.encoder is not None
        assistant.encoder.register_forward_hook(lambda *_, heard=heard: heard.append(1))
        audios = [SAMPLES, SAMPLES[::2].copy(), SAMPLES[: len(SAMPLES) // 2]]
        options = {"no_speech_threshold": None, "temperature": 0.0, "strategy": "sequential", "batch_size": 2}
        found = [outcome.transcript for outcome in model.transcribe_many(audios, **options)]
        windows = {(at, segment.seek) for at, one in enumerate(found) if one for segment in one.segments}
        assert len(windows) > 3
        assert len(heard) == (len(windows) if proposals else 0)
        assert not assistant._unheard  # nothing is held for a run that has ended


def test_a_row_that_is_moved_before_it_was_heard(main: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its new slot hears its own sound, not that of the row before it; what was heard already is moved by its cache."""
    random_whisper_folder(tmp_path, 6, languages=("en", "fr", "nl"), end_gain=2.0)
    assistant = literatim.load(main, device="cpu", assistant=str(tmp_path))._engine.assistant
    assert assistant is not None
    sounds, heard = torch.randn(3, assistant.config.source_positions, assistant.config.d_model), []
    monkeypatch.setattr(assistant.steps, "listen", lambda states, _, rows: heard.append((states.clone(), rows)))
    assistant.reserve(3)
    assistant.listen(lambda: sounds, slice(0, 3))
    assistant.hear(1, 2)
    assert assistant.move(2, 0)
    assert not assistant.move(1, 2)
    assistant.hear(0, 3)
    assert [rows for _, rows in heard] == [slice(1, 2), slice(0, 1)]
    assert torch.equal(heard[0][0], sounds[1:2])
    assert torch.equal(heard[1][0], sounds[2:3])


def test_its_own_ears_hear_the_recording(main: Path, tmp_path: Path) -> None:
    """The main model beside an encoder that differs in one number, whose draft is then as good as the model."""
    random_whisper_folder(tmp_path, 1)
    tensors = load_file(tmp_path / WEIGHTS)
    tensors["model.encoder.layers.0.fc1.bias"][0] += 1e-4
    save_file(tensors, tmp_path / WEIGHTS, metadata={"format": "pt"})
    found = transcript(main, tmp_path, num_assistant_tokens=4)
    assert found.speculation is not None
    assert found.speculation.acceptance > 0.9


@pytest.mark.parametrize("vocabulary", [None, [0], list(range(0, 300, 2)), list(range(300))])
def test_a_decoder_alone_with_a_vocabulary(
    main: Path, alone: Transcript, vocabulary: list[int] | None, tmp_path: Path
) -> None:
    found = transcript(main, decoder_alone(main, tmp_path, vocabulary), num_assistant_tokens=4)
    assert text_of(found) == alone
    assert found.speculation is not None
    if vocabulary is None or len(vocabulary) == 300:
        assert found.speculation.acceptance > 0.9
    else:
        assert 0 < found.speculation.acceptance < 0.9  # timestamps and the end are proposed all the same


def test_no_proposals_at_all(main: Path, alone: Transcript) -> None:
    found = transcript(main, main, num_assistant_tokens=0)
    assert text_of(found) == alone
    assert found.speculation is not None
    assert found.speculation.proposed == 0


def test_the_pace_is_measured_unless_it_is_told(main: Path) -> None:
    assert isinstance(literatim.load(main, device="cpu", assistant=str(main))._engine.pace, AdaptivePace)
    told = literatim.load(main, device="cpu", assistant=str(main), num_assistant_tokens=3)._engine.pace
    assert type(told) is Pace
    assert told.proposals(1, 9) == 3


def test_auto_finds_nothing_for_an_unknown_model(main: Path) -> None:
    assert literatim.load(main, device="cpu").assistant is None


# what is refused


@pytest.mark.parametrize("count", [17, -1])
def test_a_number_of_proposals_out_of_bounds(main: Path, count: int) -> None:
    with pytest.raises(OptionError, match="num_assistant_tokens"):
        literatim.load(main, device="cpu", assistant=str(main), num_assistant_tokens=count)


def english(main: Path, folder: Path) -> Path:
    return random_whisper_folder(folder, 1, multilingual=False)


def shorter_window(main: Path, folder: Path) -> Path:
    return random_whisper_folder(folder, 1, max_source_positions=50)


def other_words(main: Path, folder: Path) -> Path:
    return random_whisper_folder(folder, 1, text_tokens=256)


def no_tokenizer(main: Path, folder: Path) -> Path:
    random_whisper_folder(folder, 1)
    (folder / "tokenizer.json").unlink()
    return folder


def not_there(main: Path, folder: Path) -> Path:
    return folder / "nothing"


def of_another_model(main: Path, folder: Path) -> Path:
    return decoder_alone(random_whisper_folder(folder / "other", 8), folder / "draft", None)


REFUSED: dict[Any, tuple[type[Exception], str]] = {
    english: (OptionError, "knows English only and the model does not; use a multilingual one"),
    shorter_window: (ModelFormatError, "hears windows of 1 s and the main model of 2 s; use a draft made for this"),
    other_words: (OptionError, "its vocabulary is another; use one of the same family"),
    no_tokenizer: (ModelFormatError, "tokenizer"),
    not_there: (ModelNotFound, "nothing"),
    of_another_model: (ModelFormatError, "was trained on the encoder of main, which is not this model's; use it"),
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_what_cannot_serve_is_refused(make: Any, main: Path, tmp_path: Path) -> None:
    kind, message = REFUSED[make]
    with pytest.raises(kind, match=message):
        literatim.load(main, device="cpu", assistant=str(make(main, tmp_path)))


def test_the_command_refuses_in_words(main: Path, tmp_path: Path) -> None:
    """Exit code 2, one message, no traceback; nothing on standard output."""
    sound = tmp_path / "sound.wav"
    sound.write_bytes(wav(np.round(SAMPLES[:16_000] * 32767).astype("<i2").tobytes()))
    command = [sys.executable, "-m", "literatim.cli.main", "transcribe", str(sound), "--model", str(main)]
    command += ["--device", "cpu", "--assistant"]
    for assistant, message in (
        (not_there(main, tmp_path), "nothing"),
        (english(main, tmp_path / "en"), "English only"),
    ):
        done = subprocess.run([*command, str(assistant)], capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert not done.stdout
