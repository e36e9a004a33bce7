"""The shape of a Whisper network, read from a checkpoint's `config.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from literatim.errors import ModelFormatError

_NAMES = {
    "n_mels": "num_mel_bins",
    "d_model": "d_model",
    "encoder_layers": "encoder_layers",
    "encoder_heads": "encoder_attention_heads",
    "encoder_ffn": "encoder_ffn_dim",
    "decoder_layers": "decoder_layers",
    "decoder_heads": "decoder_attention_heads",
    "decoder_ffn": "decoder_ffn_dim",
    "vocab_size": "vocab_size",
    "source_positions": "max_source_positions",
    "target_positions": "max_target_positions",
}


@dataclass(frozen=True)
class WhisperConfig:
    """Sizes of one network. `source_positions` are encoder steps of 20 ms, `target_positions` are tokens."""

    n_mels: int
    d_model: int
    encoder_layers: int
    encoder_heads: int
    encoder_ffn: int
    decoder_layers: int
    decoder_heads: int
    decoder_ffn: int
    vocab_size: int
    source_positions: int
    target_positions: int

    @property
    def window_frames(self) -> int:
        """Mel frames (10 ms) the encoder takes: 3000 for the released models."""
        return 2 * self.source_positions

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> WhisperConfig:
        """Read transformers' `config.json`; a missing or impossible entry is a ModelFormatError."""
        sizes = {}
        for ours, theirs in _NAMES.items():
            value = raw.get(theirs)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ModelFormatError(f"config.json: {theirs} is {value!r}; a positive whole number is needed")
            sizes[ours] = value
        if raw.get("activation_function", "gelu") != "gelu":
            raise ModelFormatError(f"config.json: activation {raw['activation_function']!r}; only gelu is known")
        config = cls(**sizes)  # scale_embedding: transformers reads it and uses it nowhere
        for side, heads in (("encoder", config.encoder_heads), ("decoder", config.decoder_heads)):
            if config.d_model % heads:
                raise ModelFormatError(f"config.json: d_model {config.d_model} is no multiple of {heads} {side} heads")
        return config
