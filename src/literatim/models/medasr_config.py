"""The shape of a MedASR network (transformers' `lasr_ctc`), read from a checkpoint's `config.json`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from literatim.errors import ModelFormatError
from literatim.models.folder import read_folder

MODEL_TYPE = "lasr_ctc"
ACTIVATIONS = {"silu": "silu", "swish": "silu", "relu": "relu", "gelu": "gelu"}
_ROPE_THETA = 10_000.0

# ours: (theirs, what transformers takes where config.json says nothing: the released model's)
_SIZES = {
    "width": ("hidden_size", 512),
    "layers": ("num_hidden_layers", 17),
    "heads": ("num_attention_heads", 8),
    "feed_forward": ("intermediate_size", 2048),
    "kernel": ("conv_kernel_size", 32),
    "n_mels": ("num_mel_bins", 128),
    "subsampling_kernel": ("subsampling_conv_kernel_size", 5),
    "subsampling_stride": ("subsampling_conv_stride", 2),
    "subsampling_channels": ("subsampling_conv_channels", 256),
}


@dataclass(frozen=True)
class MedasrConfig:
    """Sizes of one network, and what its blocks weigh."""

    width: int
    layers: int
    heads: int
    feed_forward: int
    kernel: int
    n_mels: int
    subsampling_kernel: int
    subsampling_stride: int
    subsampling_channels: int
    head_channels: int
    vocab_size: int
    blank: int = 0
    attention_bias: bool = False
    convolution_bias: bool = False
    activation: str = "silu"
    epsilon: float = 1e-6
    feed_forward_weights: tuple[float, float] = (1.5, 0.5)
    convolution_weights: tuple[float, float] = (2.0, 1.0)
    batch_norm_momentum: float = 0.01
    rope_theta: float = _ROPE_THETA

    @property
    def frames_per_step(self) -> int:
        """Mel frames (10 ms) from one output to the next: 4 in the released model."""
        return self.subsampling_stride**2

    def steps(self, frames: int) -> int:
        """Outputs that so many mel frames give; 0 where they are too few for the two convolutions."""
        for _ in range(2):
            frames = max(0, (frames - self.subsampling_kernel) // self.subsampling_stride + 1)
        return frames

    def frames(self, steps: int) -> int:
        """The fewest mel frames that give so many outputs."""
        for _ in range(2):
            steps = (steps - 1) * self.subsampling_stride + self.subsampling_kernel
        return steps

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> MedasrConfig:
        """Read transformers' `config.json`; an impossible entry is a ModelFormatError.

        The encoder's entries are nested in `encoder_config`; what is not said is the released model's.
        """
        encoder = raw.get("encoder_config") or {}
        if not isinstance(encoder, dict):
            raise ModelFormatError(f"config.json: encoder_config is {encoder!r}; an object is needed")
        sizes = {ours: _whole(encoder, theirs, usual) for ours, (theirs, usual) in _SIZES.items()}
        width, heads = sizes["width"], sizes["heads"]
        if encoder.get("num_key_value_heads", heads) != heads:
            raise ModelFormatError(
                f"config.json: num_key_value_heads is {encoder['num_key_value_heads']!r}; MedASR has as many as "
                f"num_attention_heads, {heads}"
            )
        vocab_size = _whole(raw, "vocab_size", 512)
        return cls(
            **sizes,
            head_channels=_head_channels(encoder, width, heads),
            vocab_size=vocab_size,
            blank=_blank(raw, vocab_size),
            attention_bias=_flag(encoder, "attention_bias"),
            convolution_bias=_flag(encoder, "convolution_bias"),
            activation=_activation(encoder),
            epsilon=_number(encoder, "layer_norm_eps", 1e-6),
            feed_forward_weights=_pair(encoder, "feed_forward_residual_weights", (1.5, 0.5)),
            convolution_weights=_pair(encoder, "conv_residual_weights", (2.0, 1.0)),
            batch_norm_momentum=_number(encoder, "batch_norm_momentum", 0.01),
            rope_theta=_rope_theta(encoder),
        )


def _whole(raw: dict[str, Any], name: str, usual: int) -> int:
    value = raw.get(name, usual)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ModelFormatError(f"config.json: {name} is {value!r}; a positive whole number is needed")
    return value


def _number(raw: dict[str, Any], name: str, usual: float) -> float:
    value = raw.get(name, usual)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise ModelFormatError(f"config.json: {name} is {value!r}; a number above 0 is needed")
    return float(value)


def _flag(raw: dict[str, Any], name: str) -> bool:
    value = raw.get(name, False)
    if not isinstance(value, bool):
        raise ModelFormatError(f"config.json: {name} is {value!r}; true or false is needed")
    return value


def _pair(raw: dict[str, Any], name: str, usual: tuple[float, float]) -> tuple[float, float]:
    value = raw.get(name, usual)
    numbers = [one for one in value if isinstance(one, (int, float))] if isinstance(value, (list, tuple)) else []
    if len(numbers) != 2 or len(value) != 2:
        raise ModelFormatError(f"config.json: {name} is {value!r}; two numbers are needed")
    return float(numbers[0]), float(numbers[1])


def _blank(raw: dict[str, Any], vocab_size: int) -> int:
    value = raw.get("pad_token_id", 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < vocab_size:
        raise ModelFormatError(
            f"config.json: pad_token_id, CTC's blank, is {value!r}; an id of the vocabulary is needed"
        )
    return value


def _activation(encoder: dict[str, Any]) -> str:
    name = encoder.get("hidden_act", "silu")
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ModelFormatError(f"config.json: hidden_act is {name!r}; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def _head_channels(encoder: dict[str, Any], width: int, heads: int) -> int:
    if encoder.get("head_dim") is not None:
        channels = _whole(encoder, "head_dim", 1)
    elif width % heads:
        raise ModelFormatError(f"config.json: hidden_size {width} is no multiple of {heads} heads")
    else:
        channels = width // heads
    if channels % 2:
        raise ModelFormatError(f"config.json: heads of {channels} channels; rotary positions need an even number")
    return channels


def _rope_theta(encoder: dict[str, Any]) -> float:
    """transformers 5 nests it in `rope_parameters`; other exports have it by itself, or leave it out."""
    parameters = encoder.get("rope_parameters") or {}
    if not isinstance(parameters, dict):
        raise ModelFormatError(f"config.json: rope_parameters is {parameters!r}; an object is needed")
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind != "default" or encoder.get("rope_scaling"):
        raise ModelFormatError(f"config.json: rotary positions of type {kind!r}; only default ones are known")
    if parameters.get("partial_rotary_factor", 1.0) != 1.0:
        raise ModelFormatError("config.json: partial_rotary_factor; MedASR turns all channels of a head")
    return _number(parameters if "rope_theta" in parameters else encoder, "rope_theta", _ROPE_THETA)


def is_medasr(folder: Path) -> bool:
    """Whether the folder holds a MedASR."""
    return read_folder(folder).model_type == MODEL_TYPE
