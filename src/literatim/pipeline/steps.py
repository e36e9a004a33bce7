"""Decoders with their caches as the decoding loop calls them: in full, or with the int8 screen."""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor

from literatim.models.screen import Screen
from literatim.models.whisper import Decoder, DecoderCache

CACHE_BLOCK = 64  # positions; attention looks at whole blocks, so that few shapes occur


class CachedDecoder:
    """`decode.network.Network` over a decoder and the cache that holds its sound.

    With a screen, `choose` reads little of the output matrix; `allowed` (V,) is 0, or -inf for tokens never wanted.
    """

    def __init__(
        self, decoder: Decoder, cache: DecoderCache, screen: Screen | None = None, allowed: Tensor | None = None
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

    def _whole(self, positions: int) -> int:
        """Up to the end of a block."""
        return min(-(-positions // CACHE_BLOCK) * CACHE_BLOCK, self.cache.size)
