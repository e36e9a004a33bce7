"""`screen.Screen` by the compiled kernels of `native`: one call, and any processor."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from literatim import device as devices
from literatim.models.screen import CHUNK, SHIFT, Screen, quantise
from literatim.native import library
from literatim.native.library import LANES, Library

_FOUR = 4  # inputs in a block of codes


class NativeScreen:
    """As `Screen`, of a matrix (V, D); what a row gives is the same whatever rows come with it."""

    def __init__(self, weight: Tensor, text: int, kernels: Library) -> None:
        """`kernels` must have `choose`."""
        self._weight, self._text, self._kernels = weight.contiguous(), text, kernels
        (ids, inputs), half = weight.shape, weight.dtype == torch.bfloat16
        parts = torch.split(weight[:text], CHUNK)
        codes, scales, errors, norms = zip(*(quantise(part) for part in parts), strict=True)
        signed = F.pad(torch.cat(codes), (0, -inputs % _FOUR, 0, -text % LANES))  # (V, D), each filled up
        blocks = signed.view(-1, LANES, signed.shape[1] // _FOUR, _FOUR).transpose(1, 2)
        self._codes = library.zeros(tuple(blocks.shape), torch.int8)
        self._codes.copy_(blocks)
        self._offsets = SHIFT * signed.sum(-1, dtype=torch.int32)
        self._scales = torch.cat(scales)[:, 0].contiguous()
        self._rest = library.zeros((-(-(ids - text) // LANES) * LANES, inputs), weight.dtype)
        kernels.pack(half, self._weight[text:].data_ptr(), ids - text, inputs, self._rest.data_ptr())
        self._out = torch.empty((0, ids))
        self.screen = library.Screen(
            codes=self._codes.data_ptr(),
            scales=self._scales.data_ptr(),
            offsets=self._offsets.data_ptr(),
            weight=self._weight.data_ptr(),
            rest=self._rest.data_ptr(),
            inputs=inputs,
            text=text,
            ids=ids,
            half=half,
            error=float(torch.cat(errors).max()),
            norm=float(torch.cat(norms).max()),
        )

    def is_of(self, weight: Tensor) -> bool:
        """Whether it was made of that very matrix."""
        return self._weight is weight

    def logits(self, hidden: Tensor, allowed: Tensor) -> Tensor:
        """Logits (B, V) float32 of hidden states (B, D), as `Screen.logits`; they last until the next call."""
        exact, rows = hidden.to(self._weight.dtype).contiguous(), len(hidden)
        if len(self._out) < rows:  # kept: new memory is cleared by the system, which takes as long as the products
            self._out = library.zeros((rows, len(self._weight)), torch.float32)
        chosen = self.choice(exact, allowed, self._out)
        assert self._kernels.choose is not None
        self._kernels.choose(ctypes.byref(self.screen), ctypes.byref(chosen.task), ctypes.byref(self._kernels.pool()))
        return self._out[:rows]

    def choice(self, exact: Tensor, allowed: Tensor, out: Tensor) -> Choice:
        """To put the logits of states (B, D), in the matrix's dtype, into `out` (B, V); all of these are to be kept."""
        rows, inputs = exact.shape
        most = self._kernels.pool().most
        filled, floats = -(-inputs // _FOUR) * _FOUR, rows * (2 + most) + most * library.CHOICE_PIECE
        codes, room = torch.empty((rows, filled), dtype=torch.uint8), torch.empty(floats)
        jobs = (ctypes.c_int32 * library.CHOICE_PHASES)()
        at = room.data_ptr()
        task = library.Choice(
            hidden=exact.data_ptr(),
            allowed=allowed.data_ptr(),
            out=out.data_ptr(),
            rows=rows,
            codes=codes.data_ptr(),
            scales=at,
            bounds=at + 4 * rows,
            tops=at + 8 * rows,
            scratch=at + 4 * rows * (2 + most),
            jobs=ctypes.addressof(jobs),
        )
        return Choice(task, (codes, room, jobs))


@dataclass(frozen=True)
class Choice:
    """What the kernels need, and what it points to."""

    task: library.Choice
    kept: tuple[object, ...]


AnyScreen = Screen | NativeScreen


def screen(weight: Tensor, text: int) -> AnyScreen | None:
    """A screen of the first `text` ids of an output matrix, where int8 products are fast."""
    kernels = library.find() if weight.dtype in {torch.float32, torch.bfloat16} and not weight.shape[1] % 2 else None
    if not devices.multiplies_int8(weight.device):
        return None
    if kernels is not None and kernels.choose is not None:
        return NativeScreen(weight, text, kernels)
    return Screen(weight, text)
