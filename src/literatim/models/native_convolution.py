"""Convolutions by the compiled kernels of `native`, with what follows them in the same pass.

Filters of 3 x 3 with stride 1 go by Winograd's algorithm (Lavin and Gray, 2016), to which 4 / 9 of the multiplications
are left. In float32 its results are as near to the exact ones as oneDNN's; in bfloat16 they are 2.2 times as far away,
because what is multiplied is rounded after it has been transformed.
"""

from __future__ import annotations

import ctypes

import torch
import torch.nn.functional as F
from torch import Tensor

from literatim.native import library
from literatim.native.library import AT_ONCE, LANES, Library

# Filters (3, 3) to the 4 x 4 points at which they are multiplied.
_POINTS = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]], dtype=torch.float64)
_BORDER = 4096  # channels of the zeros that tiles at a map's edge read: BORDER of convolution.c
# bfloat16 without the processor's instruction for it takes longer than float32.
_LEVELS = {torch.float32: ("v3", "v4", "v4bf16"), torch.bfloat16: ("v4bf16",)}


class NativeConvolution:
    """Filters (C', C, k, k), k odd, with a border of k // 2; what a map gives does not depend on the maps beside it."""

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, kernels: Library) -> None:
        self._kernels, self._dtype, self._bias = kernels, weight.dtype, bias.detach().float().contiguous()
        self._outputs, self._inputs, self._kernel = weight.shape[:3]
        self._stride = stride
        self._tiled = self._kernel == 3 and stride == 1 and self._inputs % LANES == 0 and self._inputs <= _BORDER
        matrices = (transformed if self._tiled else laid_out)(weight.detach())
        self._weight = library.zeros(tuple(matrices.shape), weight.dtype)
        for matrix, packed in zip(matrices, self._weight, strict=True):
            kernels.pack(self._is_half, matrix.data_ptr(), *matrix.shape, packed.data_ptr())

    def __call__(self, x: Tensor, kept: Tensor | None = None, *, relu: bool) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W'); `kept`, which is added and may be written over, comes before ReLU."""
        x = x.contiguous(memory_format=torch.channels_last)
        rows, _, height, width = x.shape
        down, across = (-(-size // self._stride) for size in (height, width))
        if kept is None:
            size = rows, self._outputs, down, across
            out = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        else:
            out = kept = kept.contiguous(memory_format=torch.channels_last)
        pool, jobs = self._kernels.pool(), ctypes.c_int32()
        needed = self._scratch_size()
        task = library.Convolution(
            x=x.data_ptr(),
            weight=self._weight.data_ptr(),
            bias=self._bias.data_ptr(),
            kept=None if kept is None else kept.data_ptr(),
            out=out.data_ptr(),
            rows=rows,
            height=height,
            width=width,
            inputs=self._inputs,
            down=down,
            across=across,
            outputs=self._outputs,
            kernel=self._kernel,
            stride=self._stride,
            tiled=self._tiled,
            half=self._is_half,
            relu=relu,
            scratch=library.room(pool.most * needed).data_ptr(),
            scratch_size=needed,
            jobs=ctypes.addressof(jobs),
        )
        self._kernels.convolve(ctypes.byref(task), ctypes.byref(pool))
        return out

    @property
    def _is_half(self) -> bool:
        return self._dtype == torch.bfloat16

    def _scratch_size(self) -> int:
        """Bytes of a thread: what goes into the products of AT_ONCE tiles or pixels, and their sums."""
        points, _, seen = self._weight.shape
        return points * AT_ONCE * (seen * self._weight.element_size() + 4 * 4 * LANES)


def native_convolution(weight: Tensor, bias: Tensor, stride: int) -> NativeConvolution | None:
    """The kernels for filters (C', C, k, k) with a border of k // 2; None where there are none faster than oneDNN's."""
    found = library.find()
    if found is None or found.level not in _LEVELS.get(weight.dtype, ()):
        return None
    return None if weight.shape[0] % LANES else NativeConvolution(weight, bias, stride, found)


def transformed(weight: Tensor) -> Tensor:
    """(C', C, 3, 3) -> (16, C', C): the filters at the points at which tiles are multiplied."""
    return (_POINTS @ weight.double() @ _POINTS.T).flatten(2).permute(2, 0, 1).to(weight.dtype).contiguous()


def laid_out(weight: Tensor) -> Tensor:
    """(C', C, k, k) -> (1, C', k * k * C), pixel by pixel, and a zero where that is odd."""
    rows = weight.permute(0, 2, 3, 1).flatten(1)
    return F.pad(rows, (0, rows.shape[1] % 2))[None].contiguous()
