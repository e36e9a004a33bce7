"""MedASR for the comparison with transformers: the places of our network, and of transformers', by the same names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from literatim.models.medasr import Block, Medasr
from literatim.verify.independent import kept_places
from literatim.verify.subject import Clip

_SUBSAMPLER = tuple(f"encoder.subsampler.{part}" for part in ("dense_0", "conv_0", "conv_1", "dense_1"))
# transformers' names within a block, and ours
_PARTS = {
    "norm_feed_forward1": "first.norm",
    "feed_forward1.linear2": "first.linear2",
    "norm_self_att": "attention.norm",
    "self_attn.o_proj": "attention.out",
    "norm_conv": "norm_before",  # of our convolution.norm: in a name `.conv` stands for a convolution's axes
    "norm_feed_forward2": "second.norm",
    "feed_forward2.linear2": "second.linear2",
}


@torch.inference_mode()
def replay(model: Medasr, clips: Sequence[Clip]) -> dict[str, Tensor]:
    """What each place of our network gives of each clip alone; on the CPU, in the network's dtype."""
    kept: dict[str, Tensor] = {}
    like = model.encoder.norm.weight
    for clip, sound in enumerate(clips):
        with kept_places(dict(_ours(model)), clip, 0, kept):
            kept[f"{clip}/decoder.logits"] = model(sound.features.T[None].to(like.device, like.dtype))[0].cpu()
    return kept


def answered(
    folder: str, features: Sequence[Tensor], dtypes: Sequence[str]
) -> Iterator[tuple[str, list[list[int]], dict[str, Tensor]]]:
    """What transformers makes of clips (M, T), for each dtype: the likeliest token of each step, and its places."""
    transformers = import_module("transformers")
    for dtype in dtypes:
        kind, dtype_of = transformers.LasrForCTC, getattr(torch, dtype)
        # its plain attention rounds the softmax to float32, whatever the network is in; there is no mask to go wrong
        model = kind.from_pretrained(folder, dtype=dtype_of, attn_implementation="sdpa", local_files_only=True).eval()
        kept: dict[str, Tensor] = {}
        tokens = []
        for clip, sound in enumerate(features):
            with torch.inference_mode(), kept_places(dict(_theirs(model)), clip, 0, kept):
                logits = model(sound.T[None].to(model.dtype)).logits[0]
            kept[f"{clip}/decoder.logits"] = logits.clone()
            tokens.append(logits.argmax(-1).tolist())
        yield dtype, tokens, kept


def _ours(model: Medasr) -> Iterator[tuple[str, nn.Module]]:
    wanted = {*_SUBSAMPLER, "encoder.norm"}
    inside = tuple(_PARTS.values())
    for name, module in model.named_modules():
        if name in wanted or isinstance(module, Block) or (".layers." in name and name.endswith(inside)):
            yield name, module
        elif name.endswith("convolution.norm"):
            yield name.replace("convolution.norm", "norm_before"), module


def _theirs(model: Any) -> Iterator[tuple[str, Any]]:
    for name in _SUBSAMPLER:
        yield name, model.get_submodule(name)
    yield "encoder.norm", model.encoder.out_norm
    for at, layer in enumerate(model.encoder.layers):
        yield f"encoder.layers.{at}", layer
        for theirs, ours in _PARTS.items():
            yield f"encoder.layers.{at}.{ours}", layer.get_submodule(theirs)
