"""A decoder over whole texts at once, differentiable: the forward pass that a draft is trained with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from literatim.models.whisper import Decoder, DecoderLayer, merge_heads, split_heads
from literatim.pipeline.steps import Steps


def read(decoder: Decoder, audio: Tensor, tokens: Tensor) -> Tensor:
    """Hidden states (B, K, D) of `tokens` (B, K), each seeing those before it and encoder states (B, S, D)."""
    width = tokens.shape[1]
    x = decoder.tokens(tokens) + decoder.positions[:width]
    future = torch.full((width, width), -torch.inf, device=x.device).triu_(1)
    for layer in decoder.layers:
        assert isinstance(layer, DecoderLayer)
        query, key, value = layer.attention.project(x)
        x = x + layer.attention.out(merge_heads(_attend(query, key, value, future)))
        keys, values = (split_heads(part, layer.cross.heads) for part in layer.cross.kv(audio).chunk(2, -1))
        x = x + layer.cross.out(merge_heads(_attend(layer.cross.query(x), keys, values)))
        x = x + layer.mlp(x)
    hidden: Tensor = decoder.norm(x)
    return hidden


@contextmanager
def unpacked(steps: Steps, layers: int) -> Iterator[None]:
    """All of a decoder's `layers` can be run by torch meanwhile, also where its weights are packed for kernels."""
    with ExitStack() as stack:
        for index in range(layers):
            stack.enter_context(steps.whole(index))
        yield


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled queries (B, H, K, C) over keys and values (B, H, N, C); `mask` (K, N) is added to the scores.

    On a CPU in plain steps: with its gradient the fused kernel takes twice as long there.
    """
    if query.device.type != "cpu":
        bias = None if mask is None else mask.to(query.dtype)
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=bias, scale=1.0)
    scores = query @ keys.transpose(-1, -2)
    return (scores if mask is None else scores + mask).softmax(-1).to(values.dtype) @ values


def output(decoder: Decoder) -> Tensor:
    """The matrix (V, D) that turns hidden states into logits."""
    return decoder.tokens.weight if decoder.head is None else decoder.head


def evenly(layers: int, count: int) -> tuple[int, ...]:
    """`count` of `layers` layers as far apart as they can be, the first and the last among them; one is the first.

    So distil-whisper chose them (Gandhi et al., 2023, arXiv 2311.00430).
    """
    if count == 1:
        return (0,)
    return tuple(round(at * (layers - 1) / (count - 1)) for at in range(count))


def grow(main: Decoder, layers: Sequence[int]) -> Decoder:
    """A trainable float32 copy of these layers of `main`; embedding, positions and output matrix stay frozen."""
    student = Decoder(replace(main.config, decoder_layers=len(layers)))
    state = {name: value for name, value in main.state_dict().items() if not name.startswith("layers.")}
    for place, index in enumerate(layers):
        layer = main.layers[index].state_dict()
        state |= {f"layers.{place}.{name}": value for name, value in layer.items()}
    if main.head is not None:
        student.head = torch.nn.Parameter(torch.empty_like(main.head, dtype=torch.float32))
    student.load_state_dict({name: value.float() for name, value in state.items()})
    student.to(main.positions.device)
    for frozen in (student.tokens.weight, student.positions, student.head):
        if frozen is not None:
            frozen.requires_grad_(False)
    return student
