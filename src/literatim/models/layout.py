"""Which tensors of transformers' Whisper make each of our parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from literatim.models.config import WhisperConfig

Sources = tuple[str | None, ...]

SIDES = ("encoder", "decoder")
EMBEDDING, OUTPUT = "decoder.embed_tokens.weight", "proj_out.weight"

_SELF = {
    "attention.norm": ("self_attn_layer_norm",),
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.out": ("self_attn.out_proj",),
}
_CROSS = {
    "cross.norm": ("encoder_attn_layer_norm",),
    "cross.q": ("encoder_attn.q_proj",),
    "cross.kv": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "cross.out": ("encoder_attn.out_proj",),
}
_MLP = {"mlp.norm": ("final_layer_norm",), "mlp.fc1": ("fc1",), "mlp.fc2": ("fc2",)}

# A bias of the keys adds the same to all scores of a query, so that the softmax does not change: Whisper has
# none, and one in a file can be left there. transformers of 2022 saved position ids.
_HARMLESS = re.compile(r"(\.k_proj\.bias|\.position_ids)$")


def layout(config: WhisperConfig, sides: Sequence[str] = SIDES) -> dict[str, Sources]:
    """Our parameters of these sides, each with the names (without `model.`) of the tensors stacked in it by rows.

    The largest comes first: reading it needs the most memory beside it. None stands for rows of zeros.
    """
    table: dict[str, Sources] = {"decoder.tokens.weight": (EMBEDDING,)} if "decoder" in sides else {}
    counts = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
    parts = {"encoder": _SELF | _MLP, "decoder": _SELF | _CROSS | _MLP}
    for side in sides:
        table[f"{side}.positions"] = (f"{side}.embed_positions.weight",)
        table |= _affine(f"{side}.norm", f"{side}.layer_norm")
    for conv in ("encoder.conv1", "encoder.conv2") if "encoder" in sides else ():
        table |= _affine(conv, conv)
    for side in sides:
        for index in range(counts[side]):
            here = f"{side}.layers.{index}"
            for ours, theirs in parts[side].items():
                table |= _affine(f"{here}.{ours}", *(f"{here}.{name}" for name in theirs))
    return table


def is_harmless(name: str) -> bool:
    """Whether a tensor that the network has no place for can be left unread."""
    return _HARMLESS.search(name) is not None


def _affine(ours: str, *theirs: str) -> dict[str, Sources]:
    biases = tuple(None if name.endswith("k_proj") else f"{name}.bias" for name in theirs)
    return {f"{ours}.weight": tuple(f"{name}.weight" for name in theirs), f"{ours}.bias": biases}
