"""Random networks that hear two languages: their embeddings are turned so that two recordings differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from whisper_builders import rewrite


def tell_apart(folder: Path, english: np.ndarray, dutch: np.ndarray) -> Path:
    """Rewrite a folder's language embeddings so that these windows (16 kHz) are English and Dutch to it."""
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    ids = json.loads((folder / "generation_config.json").read_text())["lang_to_id"]
    sot = torch.tensor([[model.generation_config.decoder_start_token_id]])
    heard = []
    size = 320 * model.config.max_source_positions
    for samples in (english, dutch):
        window = np.pad(samples, (0, max(0, size - len(samples))))[:size]  # its own length may be no whole second
        features = extractor(window, sampling_rate=16_000, truncation=False, padding="longest", return_tensors="pt")
        with torch.no_grad():
            heard.append(model.model(features.input_features, decoder_input_ids=sot).last_hidden_state[0, 0])
    common, difference = heard[0] + heard[1], heard[0] - heard[1]
    # without its common part, the difference scores the one window above nothing and the other below
    direction = difference - (difference @ common) / (common @ common) * common
    direction *= 4 / direction.norm()

    def turn(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        for name, tensor in tensors.items():
            if name.endswith(("embed_tokens.weight", "proj_out.weight")):
                tensor[ids["<|en|>"]], tensor[ids["<|nl|>"]] = direction, -direction
        return tensors

    rewrite(folder, turn)
    return folder
