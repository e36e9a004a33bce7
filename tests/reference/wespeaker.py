"""WeSpeaker's ResNets once more: one recording at a time, in float64, batch norms apart, statistics by loops.

After `wespeaker/models/resnet.py` and `pooling_layers.py` (TSTP), under their names of tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def embedding(state: Mapping[str, Tensor], frames: Tensor) -> Tensor:
    """Centred frames (T, M) -> (E,) float64. NaN where one step is left, as there."""
    weights = {name: tensor.double() for name, tensor in state.items() if tensor.is_floating_point()}
    x = frames.double().T[None, None]  # (1, 1, M, T)
    x = F.relu(_normed(weights, "bn1", F.conv2d(x, weights["conv1.weight"], padding=1)))
    for stage in range(1, 5):
        number = 0
        while f"layer{stage}.{number}.conv1.weight" in weights:
            stride = 2 if stage > 1 and number == 0 else 1
            x = _block(weights, f"layer{stage}.{number}", x, stride)
            number += 1
    return weights["seg_1.weight"] @ _statistics(x[0]) + weights["seg_1.bias"]


def _block(weights: Mapping[str, Tensor], name: str, x: Tensor, stride: int) -> Tensor:
    def conv(number: int, y: Tensor, stride: int = 1) -> Tensor:
        weight = weights[f"{name}.conv{number}.weight"]
        y = F.conv2d(y, weight, stride=stride, padding=weight.shape[-1] // 2)
        return _normed(weights, f"{name}.bn{number}", y)

    if f"{name}.conv3.weight" in weights:
        y = conv(3, F.relu(conv(2, F.relu(conv(1, x)), stride)))
    else:
        y = conv(2, F.relu(conv(1, x, stride)))
    if f"{name}.shortcut.0.weight" in weights:
        x = F.conv2d(x, weights[f"{name}.shortcut.0.weight"], stride=stride)
        x = _normed(weights, f"{name}.shortcut.1", x)
    return F.relu(y + x)


def _normed(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    return F.batch_norm(x, mean, variance, weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-5)


def _statistics(x: Tensor) -> Tensor:
    """(C, M, T) -> (2 C M,): all means, channel after channel, then all deviations."""
    channels, bands, steps = x.shape
    means, deviations = [], []
    for channel in range(channels):
        for band in range(bands):
            values = x[channel, band].tolist()
            mean = math.fsum(values) / steps
            means.append(mean)
            squares = math.fsum((value - mean) ** 2 for value in values)
            deviations.append(math.sqrt(squares / (steps - 1) + 1e-7) if steps > 1 else math.nan)
    return torch.tensor(means + deviations, dtype=torch.float64)
