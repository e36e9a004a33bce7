"""Whisper's rules by the compiled kernels, on a CPU: one pass over the logits instead of one for each rule."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from literatim.native import library
from literatim.native.library import Library


@dataclass(frozen=True)
class Said:
    """Of each row its last timestamp (B,) int32, and whether the last token and the one before were timestamps (B,).

    `after` (B, K) int32: tokens that follow; logits are of the positions before each of them and after the last.
    """

    stamps: Tensor
    last: Tensor
    penultimate: Tensor
    after: Tensor | None = None

    def own(self) -> Said:
        """As the kernels want them, copied only where they are not so."""
        after = None if self.after is None else self.after.int().contiguous()
        return Said(self.stamps.int().contiguous(), self.last.contiguous(), self.penultimate.contiguous(), after)


@dataclass(frozen=True)
class Bounds:
    """The end of the text, the first timestamp (-1: there are none) and one past the last; `allowed` (V,) 0 or -inf."""

    allowed: Tensor
    eot: int
    begin: int
    end: int


def task(logits: Tensor, said: Said, bounds: Bounds, out: Tensor | None, jobs: ctypes.c_int32) -> library.Pick:
    """The structure for logits (B (K + 1), V) float32; `out` int32, one a row. What it points to must be kept."""
    rows, ids = logits.shape
    return library.Pick(
        logits=logits.data_ptr(),
        allowed=bounds.allowed.data_ptr(),
        stamps=said.stamps.data_ptr(),
        last=said.last.data_ptr(),
        penultimate=said.penultimate.data_ptr(),
        after=None if said.after is None else said.after.data_ptr(),
        rows=rows,
        tried=0 if said.after is None else said.after.shape[1],
        ids=ids,
        eot=bounds.eot,
        begin=bounds.begin,
        end=bounds.end,
        out=None if out is None else out.data_ptr(),
        jobs=ctypes.addressof(jobs),
    )


def kernels(logits: Tensor) -> Library | None:
    """Those that can work on these logits."""
    fits = logits.device.type == "cpu" and logits.dtype == torch.float32 and logits.is_contiguous()
    return library.find() if fits else None


def pick(found: Library, logits: Tensor, said: Said, bounds: Bounds) -> Tensor:
    """The likeliest ids (N,) int32 that are allowed; the logits stay as they are."""
    out, jobs, said = torch.empty(len(logits), dtype=torch.int32), ctypes.c_int32(), said.own()
    found.pick(ctypes.byref(task(logits, said, bounds, out, jobs)), ctypes.byref(found.pool()))
    return out


def mask(found: Library, logits: Tensor, said: Said, bounds: Bounds) -> None:
    """-inf in place of what is not allowed."""
    jobs, said = ctypes.c_int32(), said.own()
    found.pick(ctypes.byref(task(logits, said, bounds, None, jobs)), ctypes.byref(found.pool()))
