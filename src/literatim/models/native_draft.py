"""A draft's proposals by the compiled kernels: all of a round in one call."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from literatim.models.native import NativeCache, NativeDecoder
from literatim.models.native_head import NativeHead
from literatim.models.native_screen import NativeScreen
from literatim.native import choice, library


@dataclass(frozen=True)
class NativeDraft:
    """What proposes: the network, its cache, and its output matrix, of the ids of `bounds`, or an int8 screen of it.

    `to_main` (W,) and `to_own` translate ids, None where they are the same.
    """

    decoder: NativeDecoder
    cache: NativeCache
    head: NativeHead | NativeScreen
    bounds: choice.Bounds
    to_main: Tensor | None
    to_own: Tensor | None

    def propose(self, hidden: Tensor, said: choice.Said, lengths: Tensor, count: int) -> Tensor:
        """Tokens (B, K) int32 of the main model, `count` of them, after the states (B, D) of the last ones said.

        `lengths` (B,) int32 are the positions fed so far.
        """
        rows = len(hidden)
        states = hidden.to(self.decoder.positions.dtype, copy=True, memory_format=torch.contiguous_format)
        scores, out = torch.empty((rows, len(self.bounds.allowed))), torch.empty((rows, count), dtype=torch.int32)
        numbers = torch.empty((4, rows), dtype=torch.int32)  # found, fed, lengths, stamps
        numbers[2], numbers[3] = lengths, said.stamps
        found, fed, places, stamps = numbers
        flags = torch.stack([said.last, said.penultimate])
        jobs, pool = ctypes.c_int32(), self.decoder.kernels.pool()
        own = choice.Said(stamps, flags[0], flags[1])
        step = self.decoder.step(fed[:, None], places, self.cache.part(0, rows), states)
        pick = choice.task(scores, own, self.bounds, found, jobs)
        logits = screen = chosen = None
        if isinstance(self.head, NativeHead):
            logits = self.head.task(states, scores)
        else:
            screen, chosen = self.head.screen, self.head.choice(states, self.bounds.allowed, scores)
        given = library.Draft(
            model=ctypes.addressof(self.decoder.model),
            step=ctypes.addressof(step),
            logits=None if logits is None else ctypes.addressof(logits),
            screen=None if screen is None else ctypes.addressof(screen),
            choice=None if chosen is None else ctypes.addressof(chosen.task),
            pick=ctypes.addressof(pick),
            stamps=stamps.data_ptr(),
            found=found.data_ptr(),
            last=flags[0].data_ptr(),
            penultimate=flags[1].data_ptr(),
            to_main=None if self.to_main is None else self.to_main.data_ptr(),
            to_own=None if self.to_own is None else self.to_own.data_ptr(),
            fed=fed.data_ptr(),
            lengths=places.data_ptr(),
            out=out.data_ptr(),
            rows=rows,
            most=count,
            begin=self.bounds.begin,
            end=self.bounds.end,
        )
        self.decoder.kernels.propose(ctypes.byref(given), ctypes.byref(pool))
        return out
