"""Speculation against transformers' assisted generation, where that equals its own plain loop and where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import WhisperForCausalLM, WhisperForConditionalGeneration

from literatim.api import load
from literatim.decode.pace import Pace
from literatim.models.checkpoint import load_whisper
from literatim.models.draft import Origin, encoder_sha256, save_draft
from literatim.models.folder import read_folder
from literatim.models.tensors import TensorFiles
from literatim.options import TranscribeOptions
from literatim.pipeline.engine import Engine
from whisper_builders import edit, random_whisper_folder

CPU = torch.device("cpu")
ROWS, MOST = 3, 24


def noisy_draft(main: Path, folder: Path, noise: float) -> Path:
    """The main model's decoder with noise on its weights, as a decoder alone."""
    whole, random = load_whisper(main, torch.float32, CPU), torch.Generator().manual_seed(1)
    for parameter in whole.decoder.parameters():
        parameter.add_(noise * parameter.std() * torch.randn(parameter.shape, generator=random))
    with TensorFiles(read_folder(main).weights) as files:
        origin = Origin("main", encoder_sha256(files, whole.config))
    save_draft(folder, whole.decoder, read_folder(main).config, origin, None)
    return folder


def windows(bands: int, frames: int) -> Tensor:
    """(B, M, T), each at its own loudness."""
    random = torch.Generator().manual_seed(3)
    return torch.stack([(0.6 + 0.3 * row) * torch.randn(bands, frames, generator=random) for row in range(ROWS)])


def theirs(model: Any, window: Tensor, timestamps: bool, **options: Any) -> list[int]:
    """transformers' tokens of one window (M, T) after its prompt, up to the end."""
    mask = torch.ones(1, window.shape[-1], dtype=torch.long)
    (row,) = model.generate(
        window[None],
        attention_mask=mask,
        return_timestamps=timestamps,
        max_new_tokens=MOST,
        language="en",
        task="transcribe",
        force_unique_generate_call=True,
        **options,
    ).tolist()
    said = row[3 if timestamps else 4 :]
    end = model.generation_config.eos_token_id
    return said[: said.index(end)] if end in said else said


def ours(engine: Engine, found: list[Tensor], timestamps: bool, count: int) -> list[list[int]]:
    """Our tokens of a batch of windows, with so many proposals a round."""
    engine.pace = Pace(count)
    rules = engine.rules(TranscribeOptions(without_timestamps=not timestamps))
    prompt = list(engine.tokenizer.prompt("en", "transcribe", timestamps))
    engine.listen(found)
    rows = engine.decode([prompt] * len(found), rules, MOST)
    if count:
        assert any(row.speculation is not None and row.speculation.accepted for row in rows)
    return [list(row.tokens) for row in rows]


class Models:
    """One checkpoint in both libraries, with a draft of its own decoder and noise."""

    def __init__(self, root: Path, seed: int, noise: float = 0.05, **generation: Any) -> None:
        self.folder = random_whisper_folder(root / "main", seed)
        edit(self.folder / "generation_config.json", **generation)
        self.draft = noisy_draft(self.folder, root / "draft", noise)
        self.engine = load(self.folder, device="cpu", assistant=str(self.draft))._engine
        self.model = WhisperForConditionalGeneration.from_pretrained(self.folder, dtype=torch.float32).eval()
        self.assistant = WhisperForCausalLM.from_pretrained(self.draft, dtype=torch.float32).eval()
        self.assistant.generation_config.num_assistant_tokens = 5
        self.assistant.generation_config.num_assistant_tokens_schedule = "constant"
        config = self.engine.config
        self.windows = list(windows(config.n_mels, config.window_frames))


@pytest.mark.parametrize("seed", [30, 31, 33, 35])
def test_where_theirs_is_right_ours_is_the_same(seed: int, tmp_path: Path) -> None:
    """float32, one clip, text alone, no tokens suppressed at the beginning, a draft beside the same encoder."""
    models = Models(tmp_path, seed, begin_suppress_tokens=[])
    assisted = [theirs(models.model, window, False, assistant_model=models.assistant) for window in models.windows]
    assert assisted == [theirs(models.model, window, False) for window in models.windows]
    assert len(set(map(tuple, assisted))) > 1
    for count in (1, 5, 16):
        assert ours(models.engine, models.windows, False, count) == assisted


def test_tokens_suppressed_at_the_beginning_stay_so(tmp_path: Path) -> None:
    """transformers drops them once there is an assistant, "to be able to return eos token" (generation_whisper.py)."""
    models = Models(tmp_path, 31, begin_suppress_tokens=[])
    free = [row[0] for row in ours(models.engine, models.windows, False, 5)]
    models = Models(tmp_path, 31, begin_suppress_tokens=sorted(set(free)))
    plain = [theirs(models.model, window, False) for window in models.windows]
    assisted = [theirs(models.model, window, False, assistant_model=models.assistant) for window in models.windows]
    assert [row[0] for row in assisted] == free
    assert all(row[0] not in free for row in plain)
    for count in (1, 5, 16):
        assert ours(models.engine, models.windows, False, count) == plain


def test_timestamps_beside_a_whole_model_as_the_draft(tmp_path: Path) -> None:
    """transformers gives an assistant with an encoder the main model's rule for the first timestamp to move about."""
    models = Models(tmp_path, 33)
    draft = WhisperForConditionalGeneration.from_pretrained(models.folder, dtype=torch.float32).eval()
    draft.generation_config.num_assistant_tokens = 5
    draft.generation_config.num_assistant_tokens_schedule = "constant"
    plain = [theirs(models.model, window, True) for window in models.windows]
    assisted = [theirs(models.model, window, True, assistant_model=draft) for window in models.windows]
    assert assisted != plain
    for assistant in (models.draft, models.folder):
        engine = load(models.folder, device="cpu", assistant=str(assistant))._engine
        for count in (1, 5, 16):
            assert ours(engine, models.windows, True, count) == plain
