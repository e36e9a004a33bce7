"""The network as step functions for the decoding loops: in full, or with the int8 screen."""

from __future__ import annotations

import torch
from torch import Tensor

from literatim.models.screen import Screen
from literatim.models.whisper import Decoder, DecoderCache

CACHE_BLOCK = 64  # positions; attention looks at whole blocks, so that few shapes occur
EXACT_ROWS = 128  # hidden states that are normalised in one product: 26 MB of logits for Whisper's vocabulary


class FullStep:
    """`decode.greedy.Step` over a decoder and a cache that holds the sound; `wanted` rows are more than padding."""

    def __init__(self, decoder: Decoder, cache: DecoderCache, wanted: int) -> None:
        self.decoder, self._cache, self.wanted = decoder, cache, wanted

    @property
    def rows(self) -> int:
        """Rows of the batch, those included that only fill it."""
        return self._cache.batch

    def hidden(self, tokens: Tensor, lengths: Tensor, limit: int, wanted: Tensor) -> Tensor:
        """Hidden states (B, P, D) at the wanted ones of the positions fed."""
        bound = min(-(-limit // CACHE_BLOCK) * CACHE_BLOCK, self._cache.size)
        hidden: Tensor = self.decoder(tokens, lengths, self._cache, bound)  # (B, K, D)
        if tokens.shape[1] == wanted.shape[1] == 1:
            return hidden
        return hidden.gather(1, wanted.long()[..., None].expand(-1, -1, hidden.shape[-1]))

    def __call__(self, tokens: Tensor, lengths: Tensor, limit: int, wanted: Tensor) -> Tensor:
        """Logits (B, P, V)."""
        return self.decoder.logits(self.hidden(tokens, lengths, limit, wanted))


class ScreenedStep:
    """A step that screens the output of single tokens, and can say afterwards what it would have been in full."""

    def __init__(self, step: FullStep, screen: Screen, allowed: Tensor) -> None:
        self._step, self._screen, self._allowed = step, screen, allowed
        self._states: list[Tensor] = []  # (B, D) each
        self._exact: list[Tensor] = []  # (B, V) each

    def __call__(self, tokens: Tensor, lengths: Tensor, limit: int, wanted: Tensor) -> Tensor:
        """Logits (B, P, V): exact where a token could be chosen."""
        if wanted.shape[1] > 1:
            return self._step(tokens, lengths, limit, wanted)
        state = self._step.hidden(tokens, lengths, limit, wanted)[:, 0]
        self._states.append(state)
        return self._screen.logits(state, self._allowed)[:, None]

    def exact(self) -> Tensor:
        """Logits (B, V) in full of the first single-token step not asked for yet; many are computed in one product."""
        if not self._exact:
            count = max(1, EXACT_ROWS // self._step.rows)
            states, self._states = torch.stack(self._states[:count]), self._states[count:]
            self._exact = list(self._step.decoder.logits(states))
        return self._exact.pop(0)
