"""Whisper's decoder by the compiled kernels of `native`: on a CPU a step is one call, and reads its weights once.

What a row gives is the same to the last bit in any batch and with any number of queries, by the order of the sums in
decoder.c. Weights, keys and values are held in the model's dtype, and what they are multiplied with is rounded to it;
sums and everything else are float32, so in bfloat16 the result is nearer to float32's than that of torch's modules.

Letters of shapes as in `whisper.py`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from literatim.models import linear
from literatim.models.native_head import NativeHead
from literatim.models.whisper import SPARE, Decoder, DecoderLayer, Head
from literatim.native import library
from literatim.native.library import LANES, Library

_DTYPES = (torch.float32, torch.bfloat16)


def _filled(count: int) -> int:
    """So many, filled up to whole blocks."""
    return -(-count // LANES) * LANES


def _lines(size: int) -> int:
    """So many bytes, filled up to an odd number of a cache's lines: rows of a matrix then lie in all parts of it."""
    return (-(-size // 64) | 1) * 64


def _memory(held: Tensor, size: int) -> library.Memory:
    """The structure of keys and values (2, L, B, H, size * channels)."""
    keys, values = held
    layer, row, head, _ = (stride * held.element_size() for stride in keys.stride())
    return library.Memory(keys.data_ptr(), values.data_ptr(), layer, row, head, size)


def unpacked(packed: Tensor, inputs: int) -> Tensor:
    """(..., N * K) as the kernels hold it, of K `inputs` -> (..., N, K), a copy."""
    if packed.dtype == torch.bfloat16:  # pairs of inputs, which the processor multiplies together
        pairs = packed.view(*packed.shape[:-1], -1, inputs // 2, LANES, 2)
        return pairs.transpose(-3, -2).flatten(-2).flatten(-3, -2)
    return packed.view(*packed.shape[:-1], -1, inputs, LANES).transpose(-2, -1).flatten(-3, -2)


@dataclass(frozen=True)
class NativeCache:
    """Packed keys and values of all layers. What lies beyond a row's length is never read and is overwritten.

    `text`, `sound`: (2, L, B, H, places * channels), the keys and the values, each filled up to whole blocks.
    """

    text: Tensor
    sound: Tensor
    size: int  # places for the text: its positions and at least SPARE more
    heard: int  # and for the sound

    @property
    def batch(self) -> int:
        """Rows the cache was made for."""
        return self.text.shape[2]

    @cached_property
    def memories(self) -> tuple[library.Memory, library.Memory]:
        """Where the kernels find the text and the sound."""
        return _memory(self.text, self.size), _memory(self.sound, self.heard)

    def part(self, start: int, count: int) -> NativeCache:
        """Rows [start, start + count), as views."""
        rows = slice(start, start + count)
        return NativeCache(self.text[:, :, rows], self.sound[:, :, rows], self.size, self.heard)

    def forget(self, rows: slice) -> None:
        """Nothing: no position beyond a row's length enters a sum."""

    def move(self, source: int, target: int, _positions: int) -> None:
        """Copy row `source` over row `target`, all of it."""
        for memory in (self.text, self.sound):
            memory[:, :, target] = memory[:, :, source]

    def branch(self, source: int, target: int, _positions: int) -> None:
        """Copy the text of row `source` over that of row `target`."""
        self.text[:, :, target] = self.text[:, :, source]


class NativeDecoder:
    """A `Decoder` whose linear layers were packed for the kernels; its other weights are shared with it."""

    def __init__(self, decoder: Decoder, kernels: Library) -> None:
        self.decoder, self.config, self.positions = decoder, decoder.config, decoder.positions
        self.kernels, self._half = kernels, decoder.positions.dtype == torch.bfloat16
        self.kept: list[Tensor] = []  # what the structures below point to
        self._packed: dict[linear.Linear, Tensor] = {}
        layers = [self._layer(layer) for layer in decoder.layers if isinstance(layer, DecoderLayer)]
        self._layers = (library.Layer * len(layers))(*layers)
        config = self.config
        self.model = library.Model(
            width=config.d_model,
            heads=config.decoder_heads,
            layers=len(layers),
            half=self._half,
            places=config.target_positions,
            tokens=self._pointer(decoder.tokens.weight),
            positions=self._pointer(decoder.positions),
            layer=self._layers,
            norm=self._norm(decoder.norm),
        )
        self._room: dict[str, Tensor] = {}
        self._steps: dict[tuple[int, int, int], library.Step] = {}
        self._followed: Tensor | None = None  # keys and values of a text that is followed

    def allocate(self, batch: int) -> NativeCache:
        """A cache for up to `batch` rows."""
        places, heard = _filled(self.config.target_positions + SPARE), _filled(self.config.source_positions)
        return NativeCache(self._memory(batch, places), self._memory(batch, heard), places, heard)

    def listen(self, audio: Tensor, cache: NativeCache, rows: slice = slice(None)) -> None:
        """Put the keys and values of encoder states (B, S, D) into rows of the cache."""
        memory, first = cache.memories[1], rows.start or 0
        heads, channels = self.config.decoder_heads, self.config.d_model // self.config.decoder_heads
        filled = _filled(channels)
        for index, layer in enumerate(self.decoder.layers):
            assert isinstance(layer, DecoderLayer)
            both = layer.cross.kv(audio)  # (B, S, 2 D)
            if filled != channels:
                both = F.pad(both.unflatten(-1, (2, heads, channels)), (0, filled - channels)).flatten(2)
            for row, found in enumerate(both.contiguous()):
                given = (self._half, found.data_ptr(), len(found), heads, filled)
                self.kernels.listen(*given, ctypes.byref(memory), index, first + row)

    def __call__(self, tokens: Tensor, lengths: Tensor, cache: NativeCache, _limit: int) -> Tensor:
        """Hidden states (B, K, D) of `tokens` (B, K), as `Decoder.forward`, whose limit is not needed."""
        tokens, lengths, pool = tokens.contiguous(), lengths.contiguous(), self.kernels.pool()
        out = torch.empty((*tokens.shape, self.config.d_model), dtype=self.positions.dtype)
        step = self.step(tokens, lengths, cache, out)
        self.kernels.step(ctypes.byref(self.model), ctypes.byref(step), ctypes.byref(pool))
        return out

    def step(self, tokens: Tensor, lengths: Tensor, cache: NativeCache, out: Tensor) -> library.Step:
        """What the kernels need for a step; good until the next one of as many rows and queries is made."""
        kind = (*tokens.shape, self.kernels.pool().most)
        step = self._steps.get(kind)
        if step is None:
            step = self._steps[kind] = self._step(*kind)
        step.tokens, step.lengths, step.out = tokens.data_ptr(), lengths.data_ptr(), out.data_ptr()
        step.text, step.sound = cache.memories
        return step

    def follow(self, tokens: Tensor, cache: NativeCache, heads: Sequence[Head]) -> tuple[Tensor, Tensor]:
        """As `Decoder.follow`; to the last bit what a step gives that is fed the same, also among other rows."""
        config, fed = self.config, len(tokens)
        if self._followed is None:
            self._followed = self._memory(1, cache.size)
        apart = NativeCache(self._followed, cache.sound, cache.size, cache.heard)
        start = torch.zeros(1, dtype=torch.int32)
        out = torch.empty((fed, config.d_model), dtype=self.positions.dtype)
        watched = torch.full((config.decoder_layers, config.decoder_heads), -1, dtype=torch.int32)
        watched[tuple(zip(*heads, strict=True))] = torch.arange(len(heads), dtype=torch.int32)
        seen = torch.empty(len(heads), fed, config.source_positions)
        step = self.step(tokens[None], start, apart, out)
        step.watched, step.seen = watched.data_ptr(), seen.data_ptr()
        try:
            self.kernels.step(ctypes.byref(self.model), ctypes.byref(step), ctypes.byref(self.kernels.pool()))
        finally:
            step.watched = step.seen = None  # the step is used again
        return out, seen

    @contextmanager
    def whole(self, index: int) -> Iterator[DecoderLayer]:
        """Layer `index` for torch's modules: its weights are unpacked for as long as this lasts."""
        layer = self.decoder.layers[index]
        assert isinstance(layer, DecoderLayer)
        packed = [(part, self._packed[part]) for part in layer.modules() if part in self._packed]
        for part, held in packed:
            weight = unpacked(held.flatten(), part.in_features)[: part.out_features]
            part.weight = nn.Parameter(weight, requires_grad=False)
        try:
            yield layer
        finally:
            for part, _ in packed:
                part.register_parameter("weight", None)

    def _step(self, rows: int, fed: int, threads: int) -> library.Step:
        """A step of so many rows and queries, but for what it works on."""
        width, heads = self.config.d_model, self.config.decoder_heads
        size = self.positions.element_size()
        wide_row, narrow_row = _lines(max(4 * 3 * width, size * self.config.decoder_ffn)), _lines(size * width)
        places = max(_filled(self.config.target_positions + SPARE), _filled(self.config.source_positions))
        scratch = max(library.PIECE, library.QUERIES * (2 * _filled(width // heads) + places))
        sizes = {"x": rows * fed * width, "wide": rows * fed * wide_row // 4, "narrow": rows * fed * narrow_row // 4}
        sizes |= {"scratch": threads * scratch, "jobs": library.PHASES * len(self._layers) + library.MORE_PHASES}
        grown = [self._grows(name, size) for name, size in sizes.items()]
        if any(grown):
            self._steps.clear()  # they point to room that is gone
        rooms = {name: self._room[name].data_ptr() for name in sizes}
        return library.Step(
            rows=rows,
            fed=fed,
            heard=self.config.source_positions,
            wide_row=wide_row,
            narrow_row=narrow_row,
            scratch_size=scratch,
            **rooms,
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V) in float32."""
        return self._head.logits(hidden)

    @cached_property
    def _head(self) -> NativeHead:
        return NativeHead(self.decoder.tokens.weight if self.decoder.head is None else self.decoder.head, self.kernels)

    def _memory(self, batch: int, places: int) -> Tensor:
        """Keys and values (2, L, B, H, places * channels), both filled up to whole blocks; zeros."""
        config = self.config
        channels = _filled(config.d_model // config.decoder_heads)
        like = (2, config.decoder_layers, batch, config.decoder_heads)
        return library.zeros((*like, places * channels), self.positions.dtype)

    def _grows(self, name: str, count: int) -> bool:
        """Have room for so many floats, which each step uses again; whether it had to be made."""
        held = self._room.get(name)
        if held is not None and len(held) >= count:
            return False
        self._room[name] = torch.zeros(count)
        return True

    def _layer(self, layer: DecoderLayer) -> library.Layer:
        text, sound, mlp = layer.attention, layer.cross, layer.mlp
        return library.Layer(
            *(self._norm(text.norm), self._linear(text.qkv), self._linear(text.out)),
            *(self._norm(sound.norm), self._linear(sound.q), self._linear(sound.out)),
            *(self._norm(mlp.norm), self._linear(mlp.fc1), self._linear(mlp.fc2)),
        )

    def _linear(self, layer: linear.Linear) -> library.Linear:
        outputs, inputs = layer.weight.shape
        weight = layer.weight.detach().contiguous()
        packed = library.zeros((_filled(outputs), inputs), weight.dtype)
        self.kernels.pack(self._half, weight.data_ptr(), outputs, inputs, packed.data_ptr())
        layer.register_parameter("weight", None)
        self._packed[layer] = packed
        bias = torch.zeros(_filled(outputs) + 4 * LANES)
        if layer.bias is not None:
            bias[:outputs] = layer.bias.float()
        return library.Linear(self._pointer(packed), self._pointer(bias), inputs, outputs)

    def _norm(self, norm: nn.LayerNorm) -> library.Norm:
        return library.Norm(self._pointer(norm.weight.detach().float()), self._pointer(norm.bias.detach().float()))

    def _pointer(self, tensor: Tensor) -> int:
        self.kept.append(tensor)
        return tensor.data_ptr()


def native(decoder: Decoder) -> Decoder | NativeDecoder:
    """The decoder by the kernels, where there are any for this processor, dtype and shape; else itself."""
    like, config = decoder.positions, decoder.config
    kernels = library.find() if like.device.type == "cpu" and like.dtype in _DTYPES else None
    odd = (config.d_model % 2, config.decoder_ffn % 2)
    return decoder if kernels is None or any(odd) else NativeDecoder(decoder, kernels)
