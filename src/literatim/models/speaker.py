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

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from literatim.models.speaker_config import EXPANSIONS, HALVINGS, STAGES, SpeakerConfig

SHORTEST = (1 << HALVINGS) + 1  # frames that leave two steps: 9
REPEATED = 2 << HALVINGS  # frames that shorter ones are repeated up to: 16
EPSILON = 1e-7  # under the root of the variance


class Block(nn.Module):
    """Two convolutions of 3 x 3 (`basic`), or one between two of 1 x 1 (`bottleneck`), and what came in added."""

    def __init__(self, entering: int, channels: int, stride: int, kind: str) -> None:
        super().__init__()
        leaving = channels * EXPANSIONS[kind]
        if kind == "basic":
            self.conv1 = nn.Conv2d(entering, channels, 3, stride, padding=1)
            self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        else:
            self.conv1 = nn.Conv2d(entering, channels, 1)
            self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1)
            self.conv3 = nn.Conv2d(channels, leaving, 1)
        self.is_bottleneck = kind == "bottleneck"
        self.stride = stride
        self.shortcut = nn.Conv2d(entering, leaving, 1, stride) if stride > 1 or entering != leaving else None

    def forward(self, x: Tensor, entering: Tensor | None, leaving: Tensor | None) -> Tensor:
        """(B, C, M, T) -> (B, C', M', T'); masks (B, 1, 1, T) and (B, 1, 1, T') are 0 where a row has no frame."""
        kept = x if self.shortcut is None else self.shortcut(x)
        if self.is_bottleneck:
            x = _masked(F.relu_(self.conv1(x)), entering)
            x = _masked(F.relu_(self.conv2(x)), leaving)
            x = self.conv3(x)
        else:
            x = _masked(F.relu_(self.conv1(x)), leaving)
            x = self.conv2(x)
        return _masked(F.relu_(x.add_(kept)), leaving)


class SpeakerNet(nn.Module):
    """Frames to embeddings, neither of unit length nor compared yet."""

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv2d(1, config.channels[0], 3, padding=1)
        entering = config.channels[0]
        for number, (blocks, channels) in enumerate(zip(config.layers, config.channels, strict=True), 1):
            strides = [1 if number == 1 else 2] + [1] * (blocks - 1)
            stage = nn.ModuleList()
            for stride in strides:
                stage.append(Block(entering, channels, stride, config.block))
                entering = channels * EXPANSIONS[config.block]
            self.add_module(f"layer{number}", stage)
        self.embedding = nn.Linear(config.pooled, config.embedding_dim)

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Centred frames (B, T, M) -> (B, E) float32; of a row its first `lengths` (B,) frames count, all if None."""
        frames, lengths = _repeated(frames, lengths)
        x, mask = self.maps(frames, lengths)
        mean, variance = moments(x, mask)
        return self.project(mean, variance)

    def maps(self, frames: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What the last stage makes of (B, T, M): (B, C, M / 8, T / 8), and (B, 1, 1, T / 8): 0 where no frame is."""
        dtype = self.conv1.weight.dtype
        x = frames.to(dtype).transpose(1, 2)[:, None]  # (B, 1, M, T)
        mask = None if lengths is None else _mask(lengths, frames.shape[1], dtype)
        if mask is not None:
            x = x.where(mask > 0, 0.0)  # what fills a row up may be no number
        x = _masked(F.relu_(self.conv1(x.contiguous(memory_format=torch.channels_last))), mask)
        for number in range(1, STAGES + 1):
            for block in self.get_submodule(f"layer{number}").children():
                after = mask if mask is None or block.stride == 1 else mask[..., :: block.stride]
                x = block(x, mask, after)
                mask = after
        return x, mask

    def project(self, mean: Tensor, variance: Tensor) -> Tensor:
        """`moments` (B, C, M) -> (B, E) float32."""
        pooled = torch.cat([mean.flatten(1), (variance + EPSILON).sqrt().flatten(1)], 1)
        embedding: Tensor = self.embedding(pooled.to(self.embedding.weight.dtype))
        return embedding.float()


def moments(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(B, C, M, T) -> the mean over time of each channel's bands and its unbiased variance, (B, C, M) float32 each."""
    x = x.float()
    if mask is None:
        return x.mean(-1), x.var(-1, correction=1)
    mask = mask.float()  # bfloat16 counts to 256
    count = mask.sum(-1)  # (B, 1, 1)
    mean = (x * mask).sum(-1) / count
    variance = ((x - mean[..., None]) * mask).square().sum(-1) / (count - 1)
    return mean, variance


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x.mul_(mask)


def _mask(lengths: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    there = torch.arange(count, device=lengths.device) < lengths[:, None]
    return there[:, None, None].to(dtype)  # (B, 1, 1, T)


def _repeated(frames: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Rows of fewer than SHORTEST frames said over and over up to REPEATED, without a look at what lies on a device."""
    count = frames.shape[1]
    if lengths is None:
        at = torch.arange(REPEATED, device=frames.device) % max(1, count)
        return (frames if count >= SHORTEST else frames[:, at]), None
    wide = F.pad(frames, (0, 0, 0, max(0, REPEATED - count)))
    at = torch.arange(wide.shape[1], device=frames.device)
    short = lengths < SHORTEST
    source = torch.where(short[:, None], at % lengths.clamp(min=1)[:, None], at)  # (B, T)
    rows = torch.arange(len(frames), device=frames.device)[:, None]
    return wide[rows, source], torch.where(short, REPEATED, lengths)
