"""Convolutions whose weights can lie in memory as a CPU's kernels read them, with what follows them in the same pass.

As `linear.py` does for products; by kernels of our own (`native_convolution.py`) where they could be built, else by
oneDNN's.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from literatim.models.native_convolution import NativeConvolution, native_convolution


class Convolution(nn.Conv2d):
    """nn.Conv2d with a bias; after `pack` its weight is gone and only inference on the CPU is left."""

    _packed: Tensor | None = None
    _native: NativeConvolution | None = None

    def reset_parameters(self) -> None:
        """Nothing: the weights come from a checkpoint."""

    def pack(self, height: int, width: int) -> None:
        """Replace the weight by its packed form, chosen for maps of that size; it serves those of any other."""
        assert self.bias is not None
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        if self._how() == ([kernel // 2] * 2, [stride] * 2, [1, 1], 1):
            self._native = native_convolution(self.weight, self.bias, stride)
        if self._native is None:
            weight = self.weight.detach().contiguous(memory_format=torch.channels_last)
            size = [1, self.in_channels, height, width]
            self._packed = _onednn()._reorder_convolution_weight(weight, *self._how(), size)
        self.register_parameter("weight", None)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        if self._native is not None:
            return self._native(x, relu=False)
        if self._packed is None:
            return super().forward(x)
        out: Tensor = _onednn()._convolution_pointwise(x, self._packed, self.bias, *self._how(), "none", [], "")
        return out

    def relu(self, x: Tensor) -> Tensor:
        """ReLU of the convolution."""
        if self._native is not None:
            return self._native(x, relu=True)
        if self._packed is None:
            return F.relu_(super().forward(x))
        out: Tensor = _onednn()._convolution_pointwise(x, self._packed, self.bias, *self._how(), "relu", [], "")
        return out

    def add_relu(self, x: Tensor, kept: Tensor) -> Tensor:
        """ReLU of the convolution and `kept` together, which may be written over `kept`."""
        if self._native is not None:
            return self._native(x, kept, relu=True)
        if self._packed is None:
            return F.relu_(super().forward(x).add_(kept))
        add = _onednn()._convolution_pointwise_.binary
        out: Tensor = add(kept, x, self._packed, self.bias, *self._how(), "add", None, "relu", [], "")
        return out

    def _how(self) -> tuple[list[int], list[int], list[int], int]:
        assert isinstance(self.padding, tuple)
        return list(self.padding), list(self.stride), list(self.dilation), self.groups


def _onednn() -> Any:
    """The operators that torch.compile's CPU backend uses for the same purpose."""
    return torch.ops.mkldnn
