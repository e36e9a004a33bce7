"""Whisper's encoder and decoder (Radford et al., 2022) for inference.

Query, key and value projections are one matrix; the caches are values that the caller holds, preallocated, with a
length per row, so that rows of a batch advance on their own and going back is a smaller length.

Letters of shapes: B rows, T mel frames, S encoder steps, K query tokens, N cache positions, H heads, C channels of
a head, D model width, V vocabulary, L layers, M mel bands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from literatim.models.attention import KEYS_COUNTED, attend, attend_alike, attend_sound, rows_at_once
from literatim.models.config import WhisperConfig
from literatim.models.linear import Embedding, Linear

SPARE = 16  # cache places behind the last position, for tokens that are tried and cannot be kept
FP16_LIMIT = 64504.0  # transformers keeps the encoder's float16 hidden states 1000 below the overflow
Head = tuple[int, int]
"""A layer and the number of one of its heads."""


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, K, D) -> (B, H, K, C), a view."""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, K, C) -> (B, K, D)."""
    return x.transpose(1, 2).flatten(2)


def _in_blocks(places: int) -> int:
    """So many places of the text, and those that fill the last block."""
    return -(-places // KEYS_COUNTED) * KEYS_COUNTED


def _at_least(count: int, ids: Tensor) -> Tensor:
    """(B, K) -> (B, max(K, count)): the last of each row again."""
    lacking = count - ids.shape[1]
    return ids if lacking <= 0 else torch.cat([ids, ids[:, -1:].expand(-1, lacking)], 1)


def _mask(future: Tensor, dtype: torch.dtype) -> Tensor:
    """For the decoder's attention, from where a query must not look."""
    if future.device.type != "cpu":
        return ~future
    return torch.zeros(future.shape, dtype=dtype).masked_fill_(future, -torch.inf)


class FeedForward(nn.Module):
    """LN -> Linear -> GELU -> Linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, K, D) -> (B, K, D), the residual branch alone."""
        out: Tensor = self.fc2(self.fc1.gelu(self.norm(x)))
        return out


class SelfAttention(nn.Module):
    """Normalised input, fused projections, output projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, K, D) -> scaled queries, keys and values, each (B, H, K, C)."""
        query, key, value = self.qkv(self.norm(x)).chunk(3, -1)
        return tuple(split_heads(part, self.heads) for part in (query * self.scale, key, value))  # type: ignore[return-value]


class CrossAttention(nn.Module):
    """Queries from the text; keys and values from the sound, computed once per window."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.norm = nn.LayerNorm(width)
        self.q = Linear(width, width)
        self.kv = Linear(width, 2 * width)
        self.out = Linear(width, width)

    def query(self, x: Tensor) -> Tensor:
        """(B, K, D) -> (B, H, K, C)."""
        return split_heads(self.q(self.norm(x)) * self.scale, self.heads)


class EncoderLayer(nn.Module):
    """Pre-norm block of the encoder."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config.d_model, config.encoder_heads)
        self.mlp = FeedForward(config.d_model, config.encoder_ffn)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        query, key, value = self.attention.project(x)
        x = x + self.attention.out(merge_heads(attend_sound(query, key, value)))
        x = x + self.mlp(x)
        return x.clamp(-FP16_LIMIT, FP16_LIMIT) if x.dtype == torch.float16 else x


class Encoder(nn.Module):
    """Sound to hidden states."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        width = config.d_model
        self.conv1 = nn.Conv1d(config.n_mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(torch.empty(config.source_positions, width))
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, M, T) -> (B, S, D), S = T / 2 = the configured source positions."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel))))  # (B, D, S)
        x = (x.transpose(1, 2) + self.positions).contiguous()  # as the sum lies, each layer would copy it
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.norm(x)
        return out


@dataclass(frozen=True)
class DecoderCache:
    """Keys and values of all layers. What lies beyond a row's length is never read and is overwritten.

    `text`: (L, 2, B, H, N, C), the keys and the values; `cross_keys`, `cross_values`: (L, B, H, S, C) of the sound.
    """

    text: Tensor
    cross_keys: Tensor
    cross_values: Tensor
    rows: Tensor  # (B, 1) row numbers, to write one position of each row

    @property
    def size(self) -> int:
        """Places for the text: its positions and at least SPARE more."""
        return self.text.shape[4]

    @property
    def batch(self) -> int:
        """Rows the cache was made for."""
        return self.text.shape[2]

    def part(self, start: int, count: int) -> DecoderCache:
        """Rows [start, start + count), as views."""
        rows = slice(start, start + count)
        return DecoderCache(
            self.text[:, :, rows], self.cross_keys[:, rows], self.cross_values[:, rows], self.rows[:count]
        )

    def forget(self, rows: slice) -> None:
        """Clear the text of rows: a NaN left there would spread even from positions that are masked."""
        self.text[:, :, rows] = 0

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy row `source`, of whose text `positions` places are filled, over row `target`."""
        self.branch(source, target, positions)
        for sound in (self.cross_keys, self.cross_values):
            sound[:, target] = sound[:, source]

    def branch(self, source: int, target: int, positions: int) -> None:
        """Copy `positions` places of the text of row `source` over those of row `target`."""
        self.text[:, :, target, :, :positions] = self.text[:, :, source, :, :positions]


class DecoderLayer(nn.Module):
    """Pre-norm block of the decoder."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config.d_model, config.decoder_heads)
        self.cross = CrossAttention(config.d_model, config.decoder_heads)
        self.mlp = FeedForward(config.d_model, config.decoder_ffn)

    def forward(self, x: Tensor, index: int, at: Tensor, mask: Tensor, cache: DecoderCache) -> Tensor:
        """(B K, D) -> (B K, D); writes the new keys and values at positions `at` (B, K) int64 of layer `index`."""
        attention, text, limit = self.attention, cache.text[index], mask.shape[-1]
        look = attend_alike if x.device.type == "cpu" else attend
        qkv = attention.qkv(attention.norm(x)).view(*at.shape, 3, attention.heads, -1)  # (B, K, 3, H, C)
        text[:, cache.rows, :, at] = qkv[:, :, 1:]
        keys, values = text[:, :, :, :limit]
        query = (qkv[:, :, 0] * attention.scale).transpose(1, 2)
        x = x + attention.out(merge_heads(look(query, keys, values, mask)).flatten(0, 1))
        query = self.cross.query(x.view(*at.shape, -1))
        heard = look(query, cache.cross_keys[index], cache.cross_values[index], None)
        x = x + self.cross.out(merge_heads(heard).flatten(0, 1))
        out: Tensor = x + self.mlp(x)
        return out


class Decoder(nn.Module):
    """Tokens and sound to hidden states, and those to logits."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Parameter(torch.empty(config.target_positions, config.d_model))
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.d_model)
        self.head: nn.Parameter | None = None  # only where a checkpoint's output matrix is not its embedding

    def allocate(self, batch: int) -> DecoderCache:
        """A cache for up to `batch` rows on this module's device, in its dtype."""
        config, like = self.config, self.positions
        heads, channels = config.decoder_heads, config.d_model // config.decoder_heads
        text = (config.decoder_layers, 2, batch, heads, _in_blocks(config.target_positions + SPARE), channels)
        sound = (config.decoder_layers, batch, heads, config.source_positions, channels)
        # zeros, not empty: masked positions still enter the product, where a NaN would spread
        rows = torch.arange(batch, device=like.device)[:, None]
        return DecoderCache(like.new_zeros(text), like.new_zeros(sound), like.new_zeros(sound), rows)

    def listen(self, audio: Tensor, cache: DecoderCache, rows: slice = slice(None)) -> None:
        """Put the keys and values of encoder states (B, S, D) into rows of the cache."""
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, DecoderLayer)
            keys, values = layer.cross.kv(audio).chunk(2, -1)
            cache.cross_keys[index, rows] = split_heads(keys, layer.cross.heads)
            cache.cross_values[index, rows] = split_heads(values, layer.cross.heads)

    @contextmanager
    def whole(self, index: int) -> Iterator[DecoderLayer]:
        """Layer `index`, which the compiled kernels must unpack first."""
        layer = self.layers[index]
        assert isinstance(layer, DecoderLayer)
        yield layer

    def forward(self, tokens: Tensor, lengths: Tensor, cache: DecoderCache, limit: int) -> Tensor:
        """Hidden states (B, K, D) of `tokens` (B, K), which follow each row's first `lengths` (B,) positions.

        `limit` is a bound on length + K over the rows: cache positions from there on are not looked at. Up to SPARE
        tokens may stand behind the last position; what they give means nothing. Ids and lengths are int32, whose
        comparisons are fast on every device.
        """
        device, limit, fed = tokens.device, _in_blocks(limit), tokens.shape[1]
        at = lengths[:, None] + torch.arange(fed, dtype=torch.int32, device=device)  # (B, K)
        if len(tokens) == 1 and device.type == "cpu":  # every product below then has the rows it needs
            tokens, at = (_at_least(rows_at_once(self.positions.dtype), ids) for ids in (tokens, at))
        future = torch.arange(limit, dtype=torch.int32, device=device) > at[:, :, None]  # (B, K, N)
        places = at.long()
        x = self.tokens(tokens) + self.positions[at.clamp(max=self.config.target_positions - 1)]
        mask, x = _mask(future, x.dtype)[:, None], x.flatten(0, 1)
        for index, layer in enumerate(self.layers):
            x = layer(x, index, places, mask, cache)
        out: Tensor = self.norm(x)
        return out.view(*at.shape, -1)[:, :fed]

    def follow(self, tokens: Tensor, cache: DecoderCache, heads: Sequence[Head]) -> tuple[Tensor, Tensor]:
        """Hidden states (K, D) of a whole text, and where some heads look in the sound meanwhile.

        `tokens` (K,) are fed from the first position on, over the sound of a `cache` of one row, whose text is neither
        read nor written. The scores (A, K, S), float32, of `heads` are those before the softmax.
        """
        places = torch.arange(len(tokens), device=tokens.device)
        mask = (places <= places[:, None])[None, None]  # (1, 1, K, K), true where a token may look
        x = (self.tokens(tokens) + self.positions[places.clamp(max=self.config.target_positions - 1)])[None]
        seen: dict[Head, Tensor] = {}
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, DecoderLayer)
            keys, values = cache.cross_keys[index], cache.cross_values[index]  # (1, H, S, C)
            own, own_keys, own_values = layer.attention.project(x)
            x = x + layer.attention.out(merge_heads(attend(own, own_keys, own_values, mask)))
            query = layer.cross.query(x)  # (1, H, K, C)
            wanted = [head for at, head in heads if at == index]
            scores = query[0, wanted].float() @ keys[0, wanted].float().transpose(1, 2)
            seen |= {(index, head): found for head, found in zip(wanted, scores, strict=True)}
            x = x + layer.cross.out(merge_heads(attend(query, keys, values, None)))
            x = x + layer.mlp(x)
        hidden: Tensor = self.norm(x)[0]
        return hidden, torch.stack([seen[head] for head in heads])

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V) in float32."""
        weight = self.tokens.weight if self.head is None else self.head
        if hidden.device.type != "cpu":
            return F.linear(hidden, weight).float()
        rows = hidden.reshape(-1, hidden.shape[-1])
        filled = F.pad(rows, (0, 0, 0, -len(rows) % rows_at_once(rows.dtype)))
        return F.linear(filled, weight)[: len(rows)].view(*hidden.shape[:-1], -1).float()


class Whisper(nn.Module):
    """Encoder and decoder of one checkpoint."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
