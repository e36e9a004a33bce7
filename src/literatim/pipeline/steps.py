"""Decoders with their caches as the decoding loop calls them: in full, or with the int8 screen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, Protocol

from torch import Tensor

from literatim.models.graphed import graphed
from literatim.models.native import native
from literatim.models.native_screen import AnyScreen
from literatim.models.whisper import Decoder, DecoderLayer, Head

CACHE_BLOCK = 64  # positions; attention looks at whole blocks, so that few shapes occur


class Cache(Protocol):
    """Keys and values of rows: of their text and of their sound."""

    @property
    def size(self) -> int:
        """Places for the text."""
        ...

    @property
    def batch(self) -> int:
        """Rows it was made for."""
        ...

    def part(self, start: int, count: int) -> Cache:
        """Rows [start, start + count), as views."""
        ...

    def forget(self, rows: slice) -> None:
        """What the rows held may not spoil what comes."""
        ...

    def move(self, source: int, target: int, positions: int, /) -> None:
        """Copy a row, of whose text `positions` are filled, over another."""
        ...

    def branch(self, source: int, target: int, positions: int, /) -> None:
        """Copy a row's text, of which `positions` are filled, over another's."""
        ...


class Steps(Protocol):
    """A decoder, by torch's modules (`models.whisper.Decoder`) or by the compiled kernels; caches are its own."""

    def allocate(self, batch: int) -> Any:
        """A cache for so many rows."""
        ...

    def listen(self, audio: Tensor, cache: Any, rows: slice = ...) -> None:
        """Put the keys and values of encoder states (B, S, D) into rows of the cache."""
        ...

    def whole(self, index: int) -> AbstractContextManager[DecoderLayer]:
        """A layer that torch can run, with its weights for as long as that lasts."""
        ...

    def __call__(self, tokens: Tensor, lengths: Tensor, cache: Any, limit: int, /) -> Any:
        """Hidden states (B, K, D) of `tokens` (B, K) after `lengths` (B,) of each row; `limit` bounds their sum."""
        ...

    def follow(self, tokens: Tensor, cache: Any, heads: Sequence[Head], /) -> tuple[Tensor, Tensor]:
        """Hidden states (K, D) of a whole text (K,), int32, and the scores (A, K, S) of some heads over the sound."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V) in float32."""
        ...


def fastest(decoder: Decoder) -> Steps:
    """The decoder by the compiled kernels, or recorded, where its device can; else itself."""
    found = native(decoder)
    return graphed(found) if isinstance(found, Decoder) else found


class CachedDecoder:
    """`decode.network.Network` over a decoder and the cache that holds its sound.

    With a screen, `choose` reads little of the output matrix; `allowed` (V,) is 0, or -inf for tokens never wanted.
    """

    def __init__(
        self, decoder: Steps, cache: Cache, screen: AnyScreen | None = None, allowed: Tensor | None = None
    ) -> None:
        self.decoder, self.cache = decoder, cache
        self._screen, self._allowed = screen, allowed
        self._part = lru_cache(maxsize=4)(cache.part)

    def feed(self, tokens: Tensor, lengths: Tensor, limit: int, start: int = 0) -> Tensor:
        """Hidden states (B, K, D)."""
        hidden: Tensor = self.decoder(tokens, lengths, self._part(start, len(tokens)), self._whole(limit))
        return hidden

    def choose(self, hidden: Tensor) -> Tensor:
        """(N, D) -> (N, V), exact where a token could be chosen."""
        if self._screen is None or self._allowed is None:
            return self.decoder.logits(hidden)
        return self._screen.logits(hidden, self._allowed)

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, D) -> (N, V)."""
        return self.decoder.logits(hidden)

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy a row of the cache over another."""
        self.cache.move(source, target, self._whole(positions))

    def branch(self, source: int, target: int, positions: int) -> None:
        """Copy a row's text over another's."""
        self.cache.branch(source, target, self._whole(positions))

    def _whole(self, positions: int) -> int:
        """Up to the end of a block."""
        return min(-(-positions // CACHE_BLOCK) * CACHE_BLOCK, self.cache.size)
