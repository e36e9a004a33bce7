"""What a Conformer's layers do between their products, by the compiled kernels of `native`: of one clip in float32.

Letters of shapes as in `medasr.py`.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor, nn

from literatim.native import library
from literatim.native.library import ATTENDED, CONVOLVED, LANES, Library


class NativeConformer:
    """Attention and gated convolutions of a network's layers."""

    def __init__(self, kernels: Library) -> None:
        self._kernels = kernels

    def attend(self, qkv: Tensor, turn: tuple[Tensor, Tensor], heads: int) -> Tensor:
        """Queries, keys and values (S, 3 H C), turned by cosines and sines (S, C / 2) -> (S, H C)."""
        steps, inner = qkv.shape[0], qkv.shape[1] // 3
        channels = inner // heads
        pool, filled, wide = self._kernels.pool(), _filled(steps), _filled(channels)
        size = ATTENDED * (channels + filled + wide)
        keys, values = heads * filled * channels, heads * wide * steps
        out, jobs = torch.empty(steps, inner), (ctypes.c_int32 * 2)()
        room = library.room(4 * (keys + values + pool.most * size)).data_ptr()
        task = library.Attention(
            qkv=qkv.data_ptr(),
            cosines=turn[0].data_ptr(),
            sines=turn[1].data_ptr(),
            out=out.data_ptr(),
            steps=steps,
            heads=heads,
            channels=channels,
            scale=channels**-0.5,
            keys=room,
            values=room + 4 * keys,
            scratch=room + 4 * (keys + values),
            scratch_size=size,
            jobs=ctypes.addressof(jobs),
        )
        self._kernels.attend(ctypes.byref(task), ctypes.byref(pool))
        return out

    def convolution(self, depthwise: nn.Conv1d, norm: nn.BatchNorm1d, before: int) -> GatedConvolution:
        """Of one layer, with so many zeros before the first step."""
        return GatedConvolution(self._kernels, depthwise, norm, before)


class GatedConvolution:
    """A convolution of each channel by itself, and the batch norm after it as a factor and a shift of each channel."""

    def __init__(self, kernels: Library, depthwise: nn.Conv1d, norm: nn.BatchNorm1d, before: int) -> None:
        """`before`: zeros before the first step."""
        assert norm.running_mean is not None
        assert norm.running_var is not None
        width, _, self.kernel = depthwise.weight.shape
        self._kernels, self.before = kernels, before
        self.weight, self.factor, self.shift = (torch.zeros(*size, _filled(width)) for size in ((self.kernel,), (), ()))
        self.weight[:, :width] = depthwise.weight[:, 0].T
        factor = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
        mean = norm.running_mean.double() - (0.0 if depthwise.bias is None else depthwise.bias.double())
        self.factor[:width] = factor
        self.shift[:width] = norm.bias.double() - mean * factor

    def __call__(self, x: Tensor) -> Tensor:
        """Values and gates (S, 2 D) -> (S, D)."""
        steps, width = x.shape[0], x.shape[1] // 2
        pool, jobs, out = self._kernels.pool(), (ctypes.c_int32 * 2)(), torch.empty(steps, width)
        task = library.Gated(
            x=x.data_ptr(),
            weight=self.weight.data_ptr(),
            factor=self.factor.data_ptr(),
            shift=self.shift.data_ptr(),
            out=out.data_ptr(),
            steps=steps,
            width=width,
            kernel=self.kernel,
            before=self.before,
            gated=library.room(4 * (steps + self.kernel + CONVOLVED) * _filled(width)).data_ptr(),
            jobs=ctypes.addressof(jobs),
        )
        self._kernels.convolve_gated(ctypes.byref(task), ctypes.byref(pool))
        return out


def _filled(count: int) -> int:
    return -(-count // LANES) * LANES
