"""MedASR folders with random weights, as transformers saves them, that are alive: other sound gives other tokens."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import LasrCTCConfig, LasrFeatureExtractor, LasrForCTC, LasrTokenizer

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's, of even kernels
        model.ctc_head.bias -= model(noise).logits.mean((0, 1))  # what all sounds have in common decides nothing
    return model


MARKUP = ["▁{period}", "▁{comma}", "▁{new", "▁paragraph}", "▁[FINDINGS]", "▁[EXAM", "▁TYPE]", "{colon}"]
PARTS = ["▁in", "flam", "m", "ation", "▁of▁the", "▁lung", "s", "▁no", "▁normal", "-", "5", "4", "▁year", "'"]
PIECES = ["<epsilon>", "</s>", "<unk>", "▁", *MARKUP, *PARTS, *"abcdefghijklnopqrtuvwxyz"]


def random_lasr_folder(folder: Path, seed: int, vocab_size: int = len(PIECES), **encoder: Any) -> Path:
    """A whole folder as Google released it: configuration, weights, features, and a tokenizer with its blank first."""
    random_lasr(seed, vocab_size, **encoder).save_pretrained(folder)
    LasrFeatureExtractor(feature_size={**SMALL, **encoder}["num_mel_bins"]).save_pretrained(folder)
    lasr_tokenizer().save_pretrained(folder)
    return folder


def lasr_tokenizer() -> LasrTokenizer:
    """transformers' own, over `PIECES`."""
    vocab = [(piece, -float(at % 7) - 1) for at, piece in enumerate(PIECES)]
    return LasrTokenizer(pad_token="<epsilon>", vocab=vocab, extra_ids=0, additional_special_tokens=[])
