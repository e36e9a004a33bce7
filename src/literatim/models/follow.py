"""A whole text through the decoder in one pass, and where some of its heads look in the sound meanwhile.

No cache of text is read or written: the pass needs a row's sound alone, which the decoding left in the cache. It is
torch's modules that run, so that scores can be seen; in a batch of its own, so that neighbours change nothing.

Letters of shapes as in `whisper.py`; A heads that are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from literatim.models.attention import attend
from literatim.models.config import WhisperConfig
from literatim.models.whisper import Decoder, DecoderLayer, merge_heads

Head = tuple[int, int]
"""A layer and the number of one of its heads."""
Whole = Callable[[int], AbstractContextManager[DecoderLayer]]
Hearing = Callable[[int], tuple[Tensor, Tensor]]
"""Keys and values (1, H, S, C) in a layer."""


def alignment_heads(generation_config: Mapping[str, Any], config: WhisperConfig) -> tuple[tuple[Head, ...], str]:
    """The heads that follow the words, as a checkpoint names them, and no remark.

    Where it names none, or some that it has not, all heads of the upper half of the layers, as in openai/whisper, and
    what a user should know.
    """
    layers, count = config.decoder_layers, config.decoder_heads
    every = [(layer, head) for layer in range(layers) for head in range(count)]
    named = generation_config.get("alignment_heads")
    pairs = [tuple(pair) if isinstance(pair, list) else pair for pair in named] if isinstance(named, list) else []
    if pairs and set(pairs) <= set(every):
        return tuple(dict.fromkeys(pairs)), ""
    problem = "names no alignment_heads" if not named else f"names alignment_heads that no {layers} x {count} heads are"
    upper = tuple((layer, head) for layer, head in every if layer >= layers // 2)
    return upper, (
        f"generation_config.json {problem}: the times of words are those of all heads in the upper half of the "
        "decoder and less exact; copy the file from the model this one was made from"
    )


def follow(
    decoder: Decoder, whole: Whole, hearing: Hearing, tokens: Tensor, heads: Sequence[Head]
) -> tuple[Tensor, Tensor]:
    """Hidden states (K, D) of `tokens` (K,), and the scores (A, K, S), float32, of `heads` over the sound.

    A token sees itself and those before it; scores are before the softmax. `whole` gives the layers, whose weights may
    have to be unpacked, and `hearing` the sound of each.
    """
    config, places = decoder.config, torch.arange(len(tokens), device=tokens.device)
    seen: dict[Head, Tensor] = {}
    mask = (places <= places[:, None])[None, None]  # (1, 1, K, K), true where a token may look
    x = (decoder.tokens(tokens) + decoder.positions[places.clamp(max=config.target_positions - 1)])[None]
    for index in range(config.decoder_layers):
        keys, values = hearing(index)
        wanted = [head for layer, head in heads if layer == index]
        with whole(index) as layer:
            query, own_keys, own_values = layer.attention.project(x)
            x = x + layer.attention.out(merge_heads(attend(query, own_keys, own_values, mask)))
            query = layer.cross.query(x)  # (1, H, K, C)
            scores = query[0, wanted].float() @ keys[0, wanted].float().transpose(1, 2)
            seen |= {(index, head): found for head, found in zip(wanted, scores, strict=True)}
            x = x + layer.cross.out(merge_heads(attend(query, keys, values, None)))
            x = x + layer.mlp(x)
    return decoder.norm(x)[0], torch.stack([seen[head] for head in heads])
