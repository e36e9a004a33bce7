"""WeSpeaker's ResNets (Wang et al., 2023): frames of a voice to one vector, as `wespeaker/models/resnet.py`.

Batch norms are fused into the convolutions. Mean and deviation over time are taken of each channel and band, with the
unbiased variance and 1e-7 under the root, and lie channel by channel. What a row gives does not depend on rows beside
it nor on frames that only fill the batch up: after each convolution those become the zeros that a convolution finds
behind a recording's end.

An unbiased variance needs two steps, and 8 frames or fewer leave one: WeSpeaker gives NaN for them. Here they are said
over and over up to 16 frames.

Letters of shapes: B rows, T frames, M mel bands, C channels, E embedding width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from literatim.models.convolution import Convolution
from literatim.models.linear import Linear
from literatim.models.speaker_config import EXPANSIONS, HALVINGS, STAGES, SpeakerConfig

SHORTEST = (1 << HALVINGS) + 1  # frames that leave two steps: 9
REPEATED = 2 << HALVINGS  # frames that shorter ones are repeated up to: 16
EPSILON = 1e-7  # under the root of the variance
IN_CACHES = 800  # frames of all rows of a batch whose maps stay in a CPU's caches


class Block(nn.Module):
    """Two convolutions of 3 x 3 (`basic`), or one between two of 1 x 1 (`bottleneck`), and what came in added."""

    def __init__(self, entering: int, channels: int, stride: int, kind: str) -> None:
        super().__init__()
        leaving = channels * EXPANSIONS[kind]
        if kind == "basic":
            self.conv1 = Convolution(entering, channels, 3, stride, padding=1)
            self.conv2 = Convolution(channels, channels, 3, padding=1)
        else:
            self.conv1 = Convolution(entering, channels, 1)
            self.conv2 = Convolution(channels, channels, 3, stride, padding=1)
            self.conv3 = Convolution(channels, leaving, 1)
        self.is_bottleneck = kind == "bottleneck"
        self.stride = stride
        self.shortcut = Convolution(entering, leaving, 1, stride) if stride > 1 or entering != leaving else None

    def forward(self, x: Tensor, entering: Tensor | None, leaving: Tensor | None) -> Tensor:
        """(B, C, M, T) -> (B, C', M', T'); masks (B, 1, 1, T) and (B, 1, 1, T') are 0 where a row has no frame."""
        kept = x if self.shortcut is None else self.shortcut(x)
        if self.is_bottleneck:
            x = _masked(self.conv1.relu(x), entering)
            x = _masked(self.conv2.relu(x), leaving)
            return _masked(self.conv3.add_relu(x, kept), leaving)
        x = _masked(self.conv1.relu(x), leaving)
        return _masked(self.conv2.add_relu(x, kept), leaving)

    def pack(self, height: int, width: int) -> tuple[int, int]:
        """Lay the weights out for maps of that size; returns the size of those that leave."""
        after = -(-height // self.stride), -(-width // self.stride)
        self.conv1.pack(height, width)
        self.conv2.pack(*((height, width) if self.is_bottleneck else after))
        if self.is_bottleneck:
            self.conv3.pack(*after)
        if self.shortcut is not None:
            self.shortcut.pack(height, width)
        return after


class SpeakerNet(nn.Module):
    """Frames to embeddings, neither of unit length nor compared yet."""

    _is_packed = False

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = Convolution(1, config.channels[0], 3, padding=1)
        entering = config.channels[0]
        for number, (blocks, channels) in enumerate(zip(config.layers, config.channels, strict=True), 1):
            strides = [1 if number == 1 else 2] + [1] * (blocks - 1)
            stage = nn.ModuleList()
            for stride in strides:
                stage.append(Block(entering, channels, stride, config.block))
                entering = channels * EXPANSIONS[config.block]
            self.add_module(f"layer{number}", stage)
        self.embedding = Linear(config.pooled, config.embedding_dim)

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Centred frames (B, T, M) -> (B, E) float32; of a row its first `lengths` (B,) frames count, all if None.

        Each of `lengths` is SHORTEST at least: rows of fewer frames are `lengthened` before they are put together.
        """
        if lengths is None:
            frames = lengthened(frames)
            rows = max(1, IN_CACHES // frames.shape[1])
            if self._is_packed and len(frames) > rows:
                return torch.cat([self(some) for some in torch.split(frames, rows)])
        x, mask = self.maps(frames, lengths)
        mean, variance = moments(x, mask)
        return self.project(mean, variance)

    def maps(self, frames: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What the last stage makes of (B, T, M): (B, C, M / 8, T / 8), and (B, 1, 1, T / 8): 0 where no frame is."""
        dtype = self.embedding.bias.dtype
        x = frames.to(dtype).transpose(1, 2)[:, None]  # (B, 1, M, T)
        mask = None if lengths is None else _mask(lengths, frames.shape[1], dtype)
        if mask is not None:
            x = x.where(mask > 0, 0.0)  # what fills a row up may be no number
        x = _masked(self.conv1.relu(x.contiguous(memory_format=torch.channels_last)), mask)
        for block in self.blocks():
            after = mask if mask is None or block.stride == 1 else mask[..., :: block.stride]
            x = block(x, mask, after)
            mask = after
        return x, mask

    def pack(self) -> None:
        """Lay the weights of convolutions out as the CPU's kernels read them, for sounds of two seconds or so."""
        height, width = self.config.n_mels, 200
        self.conv1.pack(height, width)
        for block in self.blocks():
            height, width = block.pack(height, width)
        self.embedding.pack()
        self._is_packed = True

    def blocks(self) -> Iterator[Block]:
        """All of them, stage after stage."""
        for number in range(1, STAGES + 1):
            yield from cast("Iterator[Block]", self.get_submodule(f"layer{number}").children())

    def project(self, mean: Tensor, variance: Tensor) -> Tensor:
        """`moments` (B, C, M) -> (B, E) float32."""
        pooled = torch.cat([mean.flatten(1), (variance + EPSILON).sqrt().flatten(1)], 1)
        embedding: Tensor = self.embedding(pooled.to(self.embedding.bias.dtype))
        return embedding.float()


def moments(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(B, C, M, T) -> the mean over time of each channel's bands and its unbiased variance, (B, C, M) float32 each."""
    x = x.permute(0, 2, 3, 1).float()  # (B, M, T, C), as it lies in memory
    if mask is None:
        count: Tensor | int = x.shape[2]
        mean = x.mean(2)
        apart = x - mean[:, :, None]
    else:
        there = mask.float().permute(0, 2, 3, 1)  # bfloat16 counts to 256
        count = there.sum(2)  # (B, 1, 1)
        mean = (x * there).sum(2) / count
        apart = (x - mean[:, :, None]) * there
    variance = apart.square().sum(2) / (count - 1)
    return mean.transpose(1, 2), variance.transpose(1, 2)


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x.mul_(mask)


def _mask(lengths: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    there = torch.arange(count, device=lengths.device, dtype=lengths.dtype) < lengths[:, None]
    return there[:, None, None].to(dtype)  # (B, 1, 1, T)


def lengthened(frames: Tensor) -> Tensor:
    """Frames (..., T, M) said over and over up to REPEATED where they are fewer than SHORTEST, else as they are."""
    count = frames.shape[-2]
    return frames if count >= SHORTEST else frames[..., torch.arange(REPEATED, device=frames.device) % count, :]
