"""The demo model in openai/whisper's own loop: what `sequential` hears of the bundled recordings is what that hears."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from literatim import demo
from literatim.api import Recognizer, load
from literatim.audio.decode import decode
from literatim.models.folder import read_json
from openai_cases import check
from reference import openai_whisper
from reference.openai_whisper import openai, openai_model, openai_transcribe

WINDOW = 8  # seconds
FOLDER = demo.recording_path("meeting").parent.parent / "demo"


class Words:
    """openai/whisper's tokenizer, of demo's vocabulary."""

    def __init__(self, recognizer: Recognizer, language: str) -> None:
        self._own, facts = recognizer._engine.tokenizer, read_json(FOLDER / "generation_config.json")
        self.language, self.eot, self.timestamp_begin = language, self._own.eot, self._own.timestamp_begin
        self.sot, self.no_timestamps = facts["decoder_start_token_id"], facts["no_timestamps_token_id"]
        self.sot_prev, self.sot_lm, self.no_speech = self._own.startofprev, self.sot, self._own.no_speech
        self.transcribe, self.translate = (facts["task_to_id"][task] for task in ("transcribe", "translate"))
        self.sot_sequence = (self.sot, facts["lang_to_id"][f"<|{language}|>"], self.transcribe)
        self.sot_sequence_including_notimestamps = (*self.sot_sequence, self.no_timestamps)
        self.non_speech_tokens = ()
        self.encoding = SimpleNamespace(n_vocab=recognizer._engine.config.vocab_size)

    def encode(self, text: str) -> list[int]:
        return self._own.encode(text)

    def decode(self, tokens: list[int]) -> str:
        return self._own.decode([token for token in tokens if token < self.eot])


@pytest.fixture(scope="module")
def ours() -> Recognizer:
    return load("demo", device="cpu", assistant="none")


@pytest.fixture
def theirs(ours: Recognizer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its loop and its network, their windows of 30 s bound to demo's."""
    read = openai_whisper.load_file
    monkeypatch.setattr(
        openai_whisper, "load_file", lambda path: {name: part.float() for name, part in read(path).items()}
    )
    sizes = {"CHUNK_LENGTH": WINDOW, "N_SAMPLES": WINDOW * 16_000, "N_FRAMES": WINDOW * 100}
    for module in (openai("transcribe"), openai("decoding")):
        monkeypatch.setattr(module, "get_tokenizer", lambda *_, language, **__: Words(ours, language))
        for name, size in sizes.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, size)
    model = openai_model(FOLDER)
    monkeypatch.setattr(type(model), "is_multilingual", property(lambda _: True))
    monkeypatch.setattr(type(model), "num_languages", property(lambda _: 2))
    return partial(openai_transcribe, model)


@pytest.mark.slow
@pytest.mark.parametrize("conditioned", [True, False])
@pytest.mark.parametrize("file", demo.recordings(), ids=lambda file: file.stem)
def test_segments_are_those_of_openai_whisper(file: Any, conditioned: bool, ours: Recognizer, theirs: Any) -> None:
    """All safeguards on, at their defaults."""
    samples: Tensor = torch.from_numpy(decode(file).samples[0])
    language = json.loads(file.with_suffix(".json").read_text("utf-8"))["language"]
    options = {"language": language, "condition_on_previous_text": conditioned}
    heard = ours.transcribe(samples.numpy(), cut_loops=False, **options)
    safeguards = {"temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "compression_ratio_threshold": 2.4}
    check(heard.segments, theirs(samples, **safeguards, **options), len(samples) / 16_000)
    assert len({segment.seek for segment in heard.segments}) >= 4
