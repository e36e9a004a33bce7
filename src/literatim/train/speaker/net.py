"""The network while it learns: WeSpeaker's ResNet with its batch norms, and the loss that pulls voices apart.

Its tensors have the names of WeSpeaker's own checkpoints, so that export reads them as it reads those.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from literatim.models.speaker import EPSILON, moments

BANDS = 80
SCALE = 30.0  # of the cosines in the loss


class Block(nn.Module):
    """Two convolutions and what came in."""

    def __init__(self, entering: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entering, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride > 1 or entering != channels:
            convolution = nn.Conv2d(entering, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, M, T) -> (B, C', M', T')."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class TrainingNet(nn.Module):
    """Centred frames (B, T, 80) of at least 16 -> embeddings (B, E)."""

    def __init__(self, layers: tuple[int, ...], channels: tuple[int, ...], embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        entering = channels[0]
        for number, (blocks, width) in enumerate(zip(layers, channels, strict=True), 1):
            stage = nn.Sequential()
            for index in range(blocks):
                stage.append(Block(entering, width, 2 if number > 1 and index == 0 else 1))
                entering = width
            self.add_module(f"layer{number}", stage)
        self.stages = len(layers)
        self.seg_1 = nn.Linear(2 * entering * (BANDS >> (self.stages - 1)), embedding)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, M) -> (B, E) float32."""
        x = frames.transpose(1, 2)[:, None].contiguous(memory_format=torch.channels_last)  # (B, 1, M, T)
        x = F.relu(self.bn1(self.conv1(x)))
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        with torch.autocast("cpu", enabled=False):
            mean, variance = moments(x)
            pooled = torch.cat([mean.flatten(1), (variance + EPSILON).sqrt().flatten(1)], 1)
            embedding: Tensor = self.seg_1(pooled)
        return embedding


def additive_margin(embeddings: Tensor, centres: Tensor, voices: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """ArcFace's loss (Deng et al., 2019) and the share that is told right.

    Embeddings (B, E) against one centre of each voice (V, E); the angle to the right one, `voices` (B,), is taken to be
    larger by `margin` radians than it is.
    """
    cosines = F.normalize(embeddings) @ F.normalize(centres).T  # (B, V)
    right = cosines.gather(1, voices[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = (torch.acos(right) + margin).clamp(max=torch.pi)
    loss = F.cross_entropy(SCALE * cosines.scatter(1, voices[:, None], torch.cos(angle)), voices)
    return loss, (cosines.argmax(1) == voices).float().mean()
