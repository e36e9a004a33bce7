"""Linear layers whose weights can lie in memory as a CPU's matrix kernels read them, and embeddings.

torch's own linear lays the weights out anew in every call (oneDNN, bfloat16) or multiplies them as they are (MKL,
float32). Laid out once, a Whisper's products took 0.75 to 0.94 of the time with the 1500 rows of an encoder, and with
the few rows of a decoding step 0.3 to 0.9, by dtype and rows (AMD Zen 4 and 5, two cores, torch 2.13). What a row gives
does not depend on how many rows there are, either, which MKL's float32 kernels do not offer. The decoder's step has
kernels of its own (`native.py`) where they could be built.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """nn.Linear; after `pack` its weight is gone and only inference on the CPU is left."""

    _packed: Tensor | None = None

    def reset_parameters(self) -> None:
        """Nothing: the weights come from a checkpoint."""

    def pack(self) -> None:
        """Replace the weight by its packed form."""
        self._packed = _onednn()._reorder_linear_weight(self.weight.detach())
        self.register_parameter("weight", None)

    @property
    def is_packed(self) -> bool:
        """Whether the weight is in its packed form."""
        return self._packed is not None

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if self._packed is None:
            return F.linear(x, self.weight, self.bias)
        return self._multiply(x, self._packed, "none")

    def relu(self, x: Tensor) -> Tensor:
        """ReLU of the product, in one pass where the weight is packed."""
        if self._packed is None:
            return F.relu(self(x))
        return self._multiply(x, self._packed, "relu")

    def gelu(self, x: Tensor) -> Tensor:
        """GELU of the product, in one pass where the weight is packed."""
        if self._packed is None:
            return F.gelu(F.linear(x, self.weight, self.bias))
        return self._multiply(x, self._packed, "gelu")

    def silu(self, x: Tensor) -> Tensor:
        """SiLU of the product, in one pass where the weight is packed."""
        if self._packed is None:
            return F.silu(F.linear(x, self.weight, self.bias))
        return self._multiply(x, self._packed, "swish")

    def _multiply(self, x: Tensor, packed: Tensor, function: str) -> Tensor:
        if x.dim() == 2 and len(x) > 1:  # a decoding step is short enough for the views below to count
            direct: Tensor = _onednn()._linear_pointwise(x, packed, self.bias, function, [], "none")
            return direct
        rows = x.reshape(-1, self.in_features)
        if len(rows) == 1:  # a lone row is summed in another order; as one of two it is not
            rows = rows.expand(2, -1)
        out: Tensor = _onednn()._linear_pointwise(rows, packed, self.bias, function, [], "none")
        return out[: x.numel() // self.in_features].view(*x.shape[:-1], self.out_features)


class Strided(nn.Conv1d):
    """nn.Conv1d without padding, over (B, T, in); after `pack` a product of what lies under its kernel at each step.

    In MedASR's subsampling that took half the time of oneDNN's convolution (AMD Zen 5, two cores, torch 2.13).
    """

    _packed: Tensor | None = None

    def pack(self) -> None:
        """Replace the weight by its packed form."""
        self._packed = packed(self.weight.detach().transpose(1, 2).flatten(1).contiguous())
        self.register_parameter("weight", None)

    def relu(self, x: Tensor) -> Tensor:
        """ReLU of the convolution: (B, T, in) -> (B, S, out)."""
        if self._packed is None:
            return F.relu(self(x.transpose(1, 2))).transpose(1, 2)
        rows, frames, channels = x.shape
        (kernel,), (stride,) = self.kernel_size, self.stride
        steps = (frames - kernel) // stride + 1
        under = x.contiguous().as_strided((rows, steps, kernel * channels), (frames * channels, stride * channels, 1))
        out: Tensor = _onednn()._linear_pointwise(under.flatten(0, 1), self._packed, self.bias, "relu", [], "none")
        return out.view(rows, steps, self.out_channels)


class Embedding(nn.Embedding):
    """nn.Embedding that is not filled with random numbers, which on the meta device would import torch's compiler."""

    def reset_parameters(self) -> None:
        """Nothing: the weights come from a checkpoint."""


def packed(matrix: Tensor) -> Tensor:
    """A matrix (out, in) laid out for `multiplied`: where many rows follow, that pays even if it is used once."""
    laid: Tensor = _onednn()._reorder_linear_weight(matrix)
    return laid


def multiplied(rows: Tensor, laid: Tensor) -> Tensor:
    """Rows (N, in) by a matrix (out, in) that `packed` has laid out: (N, out)."""
    product: Tensor = _onednn()._linear_pointwise(rows, laid, None, "none", [], "none")
    return product


def _onednn() -> Any:
    """The operators that torch.compile's CPU backend uses for the same purpose."""
    return torch.ops.mkldnn


def pack(module: nn.Module) -> None:
    """Pack every layer of these below `module` that has its weight, one after the other: only one exists twice then."""
    for layer in module.modules():
        if isinstance(layer, Linear | Strided) and layer.weight is not None:
            layer.pack()
