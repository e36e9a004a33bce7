"""MedASR: a Conformer (Gulati et al., 2020) over mel frames with a head for CTC, as transformers' `LasrForCTC`.

Query, key and value projections are one matrix, pointwise convolutions are linear layers. What a clip gives does not
depend on clips beside it: frames that only fill a batch up are shut out of attention and convolutions.

Letters of shapes: B rows, T mel frames, S steps (40 ms in the released model), H heads, C channels of a head, D model
width, V vocabulary, M mel bands.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from literatim.models.attention import attend, attend_by_blocks, attend_sound
from literatim.models.linear import Linear, Strided
from literatim.models.medasr_config import MedasrConfig
from literatim.models.native_conformer import GatedConvolution, NativeConformer
from literatim.native.library import Library

Rotation = tuple[Tensor, Tensor]  # cosines and sines (S, C / 2)


class Subsampler(nn.Module):
    """Mel frames to steps: two convolutions without padding between two linear layers."""

    def __init__(self, config: MedasrConfig) -> None:
        super().__init__()
        width, kernel, stride = config.width, config.subsampling_kernel, config.subsampling_stride
        self.dense_0 = Linear(config.n_mels, width)
        self.conv_0 = Strided(width, width, kernel, stride)
        self.conv_1 = Strided(width, config.subsampling_channels, kernel, stride)
        self.dense_1 = Linear(config.subsampling_channels, width)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, T, M) -> (B, S, D)."""
        out: Tensor = self.dense_1(self.conv_1.relu(self.conv_0.relu(self.dense_0.relu(mel))))
        return out


class FeedForward(nn.Module):
    """LN -> Linear -> activation -> Linear."""

    def __init__(self, config: MedasrConfig) -> None:
        super().__init__()
        self.is_silu, self.activation = config.activation == "silu", getattr(F, config.activation)
        self.norm = nn.LayerNorm(config.width, config.epsilon, bias=False)
        self.linear1 = Linear(config.width, config.feed_forward, config.attention_bias)
        self.linear2 = Linear(config.feed_forward, config.width, config.attention_bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D), the residual branch alone."""
        x = self.norm(x)
        x = self.linear1.silu(x) if self.is_silu else self.activation(self.linear1(x))
        out: Tensor = self.linear2(x)
        return out


class Attention(nn.Module):
    """LN -> attention among all steps with rotary positions."""

    native: NativeConformer | None = None  # which one clip in float32 on a CPU is heard by

    def __init__(self, config: MedasrConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_channels
        self.heads, self.scale = config.heads, config.head_channels**-0.5
        self.norm = nn.LayerNorm(config.width, config.epsilon, bias=False)
        self.qkv = Linear(config.width, 3 * inner, config.attention_bias)
        self.out = Linear(inner, config.width, config.attention_bias)

    def forward(self, x: Tensor, turn: Rotation, there: Tensor | None) -> Tensor:
        """(B, S, D) -> (B, S, D), the residual branch alone; `there` (B, S): steps that may be looked at."""
        qkv = self.qkv(self.norm(x))
        if self.native is not None and there is None and len(x) == 1:
            alone: Tensor = self.out(self.native.attend(qkv[0], turn, self.heads)[None])
            return alone
        query, key, value = qkv.view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # each (B, H, S, C)
        mask = None if there is None else there[:, None, None]
        query, key = rotated(query, (turn[0] * self.scale, turn[1] * self.scale)), rotated(key, turn)
        if mask is not None:
            heard = attend(query, key, value, mask)
        elif self.qkv.is_packed and x.dtype == torch.float32 and len(x) == 1:
            heard = attend_by_blocks(query, key, value)
        else:
            heard = attend_sound(query, key, value)
        out: Tensor = self.out(heard.transpose(1, 2).flatten(2))
        return out


class Convolution(nn.Module):
    """LN -> gated linear unit -> convolution of each channel in time -> batch norm -> activation -> Linear."""

    native: GatedConvolution | None = None  # as `Attention.native`

    def __init__(self, config: MedasrConfig) -> None:
        super().__init__()
        width, kernel, bias = config.width, config.kernel, config.convolution_bias
        self.activation = getattr(F, config.activation)
        self.padding = (kernel - 1) // 2, kernel // 2  # the released model's kernel is even: one more behind
        self.norm = nn.LayerNorm(width, config.epsilon, bias=False)
        self.enter = Linear(width, 2 * width, bias)
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width, bias=bias)
        self.batch_norm = nn.BatchNorm1d(width, momentum=config.batch_norm_momentum)
        self.leave = Linear(width, width, bias)

    def use(self, native: NativeConformer) -> None:
        """Do what is between the products of one clip by the kernels, which know SiLU alone."""
        if self.activation is F.silu:
            self.native = native.convolution(self.depthwise, self.batch_norm, self.padding[0])

    def forward(self, x: Tensor, there: Tensor | None) -> Tensor:
        """(B, S, D) -> (B, S, D), the residual branch alone; steps that are not `there` (B, S) are silence."""
        x = self.enter(self.norm(x))
        if self.native is not None and there is None and len(x) == 1:
            alone: Tensor = self.leave(self.native(x[0])[None])
            return alone
        x = F.glu(x)
        if there is not None:
            x = x.masked_fill(~there[:, :, None], 0.0)
        x = self.depthwise(F.pad(x.transpose(1, 2), self.padding))  # (B, D, S)
        out: Tensor = self.leave(self.activation(self.batch_norm(x)).transpose(1, 2))
        return out


class Block(nn.Module):
    """Half a feed-forward, attention, convolution, the other half; the weights of the residuals are the config's."""

    def __init__(self, config: MedasrConfig) -> None:
        super().__init__()
        self.kept, self.added = config.feed_forward_weights
        self.conv_kept, self.conv_added = config.convolution_weights
        self.first = FeedForward(config)
        self.attention = Attention(config)
        self.convolution = Convolution(config)
        self.second = FeedForward(config)
        self.norm = nn.LayerNorm(config.width, config.epsilon, bias=False)

    def forward(self, x: Tensor, turn: Rotation, there: Tensor | None) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        x = self.first(x).mul_(self.added).add_(x, alpha=self.kept)
        x = self.attention(x, turn, there).add_(x)
        x = self.convolution(x, there).mul_(self.conv_added).add_(x, alpha=self.conv_kept)
        x = self.second(x).mul_(self.added).add_(x, alpha=self.kept)
        out: Tensor = self.norm(x)
        return out


class Encoder(nn.Module):
    """Mel frames to hidden states."""

    def __init__(self, config: MedasrConfig) -> None:
        super().__init__()
        self.config = config
        self.subsampler = Subsampler(config)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, config.epsilon, bias=False)

    def forward(self, mel: Tensor, steps: Tensor | None = None) -> Tensor:
        """(B, T, M) -> (B, S, D); `steps` (B,): how many are each row's own, None: all of them."""
        x = self.subsampler(mel)
        there = None if steps is None else torch.arange(x.shape[1], dtype=torch.int32, device=x.device) < steps[:, None]
        turn = rotation(x.shape[1], self.config, x)
        for layer in self.layers:
            x = layer(x, turn, there)
        out: Tensor = self.norm(x)
        return out


class Medasr(nn.Module):
    """Encoder and CTC head of one checkpoint."""

    def __init__(self, config: MedasrConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.head = Linear(config.width, config.vocab_size)

    def use(self, kernels: Library) -> None:
        """Hear single clips by the compiled kernels, what they have a faster way for; the weights must not change."""
        native = NativeConformer(kernels)
        for layer in self.encoder.layers:
            assert isinstance(layer, Block)
            layer.attention.native = native
            layer.convolution.use(native)

    def forward(self, mel: Tensor, steps: Tensor | None = None) -> Tensor:
        """Mel frames (B, T, M) -> logits (B, S, V) in float32.

        `steps` (B,) are `config.steps` of each row's frames, at least 1; what stands after them means nothing. None:
        all rows are full.
        """
        logits: Tensor = self.head(self.encoder(mel, steps))
        return logits.float()


def rotation(steps: int, config: MedasrConfig, like: Tensor) -> Rotation:
    """Rotary positions (Su et al., 2021) from 0: cosines and sines, made in float32, in the dtype of `like`."""
    even = torch.arange(0, config.head_channels, 2, dtype=torch.float32, device=like.device)
    frequencies = 1.0 / config.rope_theta ** (even / config.head_channels)
    angles = torch.arange(steps, dtype=torch.float32, device=like.device)[:, None] * frequencies
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def rotated(x: Tensor, turn: Rotation) -> Tensor:
    """(B, H, S, C): channel i turned together with channel i + C / 2."""
    (first, second), (cosines, sines) = x.chunk(2, -1), turn
    turned = torch.addcmul(first * cosines, second, sines, value=-1), torch.addcmul(second * cosines, first, sines)
    return torch.cat(turned, -1)
