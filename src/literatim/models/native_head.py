"""An output matrix by the compiled kernels of `native`."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from literatim.native import library
from literatim.native.library import LANES, Library

PACKED = 4_000_000  # entries up to which a packed copy is kept: packing takes as long as multiplying


class NativeHead:
    """Logits by a matrix (V, D), which is not to change; what a row gives is the same whatever rows come with it."""

    def __init__(self, weight: Tensor, kernels: Library) -> None:
        self._weight, self._kernels, self._half = weight.contiguous(), kernels, weight.dtype == torch.bfloat16
        self._packed: Tensor | None = None
        self._scratch, self._jobs = torch.empty(0), ctypes.c_int32()
        ids, inputs = weight.shape
        if ids * inputs <= PACKED:
            self._packed = library.zeros((-(-ids // LANES) * LANES, inputs), weight.dtype)
            kernels.pack(self._half, self._weight.data_ptr(), ids, inputs, self._packed.data_ptr())

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V) in float32."""
        rows, ids = hidden.reshape(-1, hidden.shape[-1]).to(self._weight.dtype).contiguous(), len(self._weight)
        out = torch.empty((len(rows), ids))
        task = self.task(rows, out)
        self._kernels.logits(ctypes.byref(task), ctypes.byref(self._kernels.pool()))
        return out.view(*hidden.shape[:-1], ids)

    def task(self, rows: Tensor, out: Tensor) -> library.Logits:
        """To put the logits of `rows` (N, D), in the matrix's dtype, into `out` (N, V); keep both meanwhile."""
        ids, inputs = self._weight.shape
        size = library.LOGITS_COLUMNS * inputs * self._weight.element_size() + 4 * library.LOGITS_PIECE
        count = self._kernels.pool().most * size // 4
        if len(self._scratch) < count:
            self._scratch = torch.empty(count)
        return library.Logits(
            weight=self._weight.data_ptr(),
            packed=None if self._packed is None else self._packed.data_ptr(),
            hidden=rows.data_ptr(),
            out=out.data_ptr(),
            ids=ids,
            inputs=inputs,
            rows=len(rows),
            half=self._half,
            scratch=self._scratch.data_ptr(),
            scratch_size=size,
            jobs=ctypes.addressof(self._jobs),
        )
