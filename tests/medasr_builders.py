"""MedASR folders with random weights, as transformers saves them, that are alive: other sound gives other tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LasrCTCConfig, LasrForCTC

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_kernel_size": 8,
    "num_mel_bins": 128,
    "subsampling_conv_channels": 24,
}


def random_lasr(seed: int, vocab_size: int = 60, **encoder: Any) -> LasrForCTC:
    """transformers' network in eval mode, its batch norms as after a training; `encoder` overrides `SMALL`."""
    config = LasrCTCConfig(vocab_size=vocab_size, pad_token_id=0, encoder_config={**SMALL, **encoder})
    random = torch.Generator().manual_seed(seed)
    model = LasrForCTC(config).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=random) + 0.5)
        elif name.endswith("running_mean") or name.endswith("bias"):
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=random))
        elif tensor.dim() >= 2:
            spread = (tensor[0].numel()) ** -0.5
            tensor.copy_(torch.randn(tensor.shape, generator=random) * 1.5 * spread)
        elif tensor.is_floating_point():
            tensor.copy_(1 + 0.2 * torch.randn(tensor.shape, generator=random))
    model.requires_grad_(False)
    noise = 2 * torch.randn(4, 200, config.encoder_config.num_mel_bins, generator=random)
    model.ctc_head.bias -= model(noise).logits.mean((0, 1))  # what all sounds have in common decides nothing
    return model


def random_lasr_folder(folder: Path, seed: int, **encoder: Any) -> Path:
    """The network alone: configuration and weights."""
    random_lasr(seed, **encoder).save_pretrained(folder)
    return folder
