"""Our network and transformers' on the same input."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration

from literatim.models.whisper import Whisper

TOKENS = 9


def inputs(model: Whisper, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Mel frames (2, M, T) and tokens (2, K)."""
    random = torch.Generator().manual_seed(seed)
    mel = torch.randn(2, model.config.n_mels, model.config.window_frames, generator=random)
    return mel, torch.randint(model.config.vocab_size, (2, TOKENS), generator=random)


@torch.no_grad()
def ours(model: Whisper, mel: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Encoder states and the logits of all tokens at once."""
    states = model.encoder(mel)
    cache = model.decoder.allocate(mel.shape[0])
    model.decoder.listen(states, cache)
    lengths = torch.zeros(mel.shape[0], dtype=torch.long)
    return states, model.decoder.logits(model.decoder(tokens, lengths, cache, tokens.shape[1]))


def reference(folder: Path) -> WhisperForConditionalGeneration:
    return WhisperForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()


@torch.no_grad()
def theirs(model: WhisperForConditionalGeneration, mel: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    states = model.model.encoder(mel).last_hidden_state
    return states, model(encoder_outputs=(states,), decoder_input_ids=tokens).logits


def difference(model: Whisper, expected: WhisperForConditionalGeneration, seed: int = 0) -> float:
    """The largest, over encoder states and logits."""
    mel, tokens = inputs(model, seed)
    pairs = zip(ours(model, mel, tokens), theirs(expected, mel, tokens), strict=True)
    return max((left - right).abs().max().item() for left, right in pairs)
