"""A decoder's steps recorded once for each shape and replayed: a device is given one call instead of hundreds.

A recorded step works in its own memory and in that of one cache: what it is given is copied there, what it gives is
copied from there. It is used only once it has given, bit for bit, what the step as it is gives.

Letters of shapes as in `whisper.py`.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from literatim import device as devices
from literatim.models.whisper import Decoder, DecoderCache, DecoderLayer, Head

MOST = 17  # queries of a step that is recorded: the last token and the most proposals; prompts come in many lengths
BEFORE = 2  # times that a step runs as it is: then it is worth it, and its kernels are prepared


@dataclass(frozen=True)
class Recorded:
    """A step of one shape in one cache: where it finds tokens and lengths, where its result is, and how it runs."""

    tokens: Tensor
    lengths: Tensor
    result: Tensor
    replay: Callable[[], None]

    def __call__(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states (B, K, D), which stay as they are when it runs again."""
        self.tokens.copy_(tokens)
        self.lengths.copy_(lengths)
        self.replay()
        return self.result.clone()


class GraphedDecoder:
    """A `Decoder` whose steps of few queries are recorded.

    They run as they are while the decoder, a layer of it or its last norm has a hook: what is replayed calls none.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder, self.config, self.positions = decoder, decoder.config, decoder.positions
        self._recorded: dict[tuple[int, ...], Recorded] = {}
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._refused = False
        self._parts = (decoder, *decoder.layers, decoder.norm)

    def allocate(self, batch: int) -> DecoderCache:
        """As `Decoder.allocate`. What was recorded for earlier caches is forgotten: it would keep them in memory."""
        self._recorded.clear()
        self._seen.clear()
        return self.decoder.allocate(batch)

    def listen(self, audio: Tensor, cache: DecoderCache, rows: slice = slice(None)) -> None:
        """As `Decoder.listen`."""
        self.decoder.listen(audio, cache, rows)

    def whole(self, index: int) -> AbstractContextManager[DecoderLayer]:
        """As `Decoder.whole`."""
        return self.decoder.whole(index)

    def follow(self, tokens: Tensor, cache: DecoderCache, heads: Sequence[Head]) -> tuple[Tensor, Tensor]:
        """As `Decoder.follow`."""
        return self.decoder.follow(tokens, cache, heads)

    def logits(self, hidden: Tensor) -> Tensor:
        """As `Decoder.logits`."""
        return self.decoder.logits(hidden)

    def __call__(self, tokens: Tensor, lengths: Tensor, cache: DecoderCache, limit: int) -> Tensor:
        """As `Decoder.forward`."""
        kind = (cache.text.data_ptr(), *tokens.shape, limit)
        if self._refused or tokens.shape[1] > MOST or self._is_watched():
            return self._plain(tokens, lengths, cache, limit)
        if kind in self._recorded:
            return self._recorded[kind](tokens, lengths)
        plain = self._plain(tokens, lengths, cache, limit)
        self._seen[kind] += 1
        if self._seen[kind] > BEFORE:
            self._record(kind, tokens, lengths, cache, limit, plain)
        return plain

    def _is_watched(self) -> bool:
        return any(part._forward_hooks or part._forward_pre_hooks for part in self._parts)

    def _plain(self, tokens: Tensor, lengths: Tensor, cache: DecoderCache, limit: int) -> Tensor:
        out: Tensor = self.decoder(tokens, lengths, cache, limit)
        return out

    def _record(
        self, kind: tuple[int, ...], tokens: Tensor, lengths: Tensor, cache: DecoderCache, limit: int, plain: Tensor
    ) -> None:
        """Have the step that gave `plain` ready as a recorded one, or none any more where that is not the same."""
        device, own = tokens.device, (tokens.clone(), lengths.clone())
        try:
            result, replay = devices.record(device, partial(self._plain, *own, cache, limit))
            step = Recorded(*own, result, replay)
            same = torch.equal(step(tokens, lengths), plain)
            problem = "" if same else "recorded steps give other numbers than the same steps as they are"
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            problem = str(error).strip().split("\n")[0]
        if not problem:
            self._recorded[kind] = step
            return
        self._refused = True
        self._recorded.clear()
        warnings.warn(
            f"{device.type} does without graphs, as if LITERATIM_GRAPHS were not 1: {problem}",
            devices.DeviceWarning,
            stacklevel=2,
        )


def graphed(decoder: Decoder) -> Decoder | GraphedDecoder:
    """The decoder with recorded steps, where they are wanted and the device has them; else itself."""
    return GraphedDecoder(decoder) if devices.wants_graphs(decoder.positions.device) else decoder
