"""Whisper's rules on what may be said next, vectorised over rows.

They are those of openai/whisper's `decoding.py` (SuppressBlank, SuppressTokens, ApplyTimestampRules), in that
order. A row's state depends on its tokens alone, so any position can be checked on its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

NEVER = -torch.inf


@dataclass(frozen=True)
class Rules:
    """What holds for a whole decode.

    `suppressed` (V,) and `suppressed_first` (V,) are added to every and to the first position's logits: 0 or
    -inf. `timestamp_begin` is None when no timestamps are wanted; `initial_limit` is one past the last timestamp id
    that the first token may be.
    """

    suppressed: Tensor
    suppressed_first: Tensor
    eot: int
    timestamp_begin: int | None
    timestamp_end: int
    initial_limit: int

    @classmethod
    def make(
        cls,
        vocab_size: int,
        eot: int,
        suppress: tuple[int, ...],
        suppress_first: tuple[int, ...],
        timestamps: tuple[int, int, int] | None,
        device: torch.device,
    ) -> Rules:
        """`timestamps`: first id, one past the last id, one past the last id a window may begin with."""
        every = torch.zeros(vocab_size)
        every[[token for token in suppress if token < vocab_size]] = NEVER
        if timestamps is not None:
            every[timestamps[0] - 1] = NEVER  # <|notimestamps|>
            every[timestamps[1] :] = NEVER  # tokens that were added after the timestamps mean nothing here
        first = every.clone()
        first[[token for token in suppress_first if token < vocab_size]] = NEVER
        begin, end, limit = timestamps or (None, vocab_size, vocab_size)
        return cls(every.to(device), first.to(device), eot, begin, end, limit)


@dataclass(frozen=True)
class RowState:
    """What the rules need of the tokens so far; all (B,) on the device, ids in int32.

    `stamp` is the last timestamp id, one below the first id before there is any; `last`, `penultimate`: was that
    token a timestamp (a position before the first counts as one for `penultimate`, as in openai/whisper).
    """

    first: bool
    stamp: Tensor
    last: Tensor
    penultimate: Tensor

    @classmethod
    def start(cls, rows: int, rules: Rules, device: torch.device) -> RowState:
        """Before the first token."""
        stamp = torch.full((rows,), (rules.timestamp_begin or 0) - 1, dtype=torch.int32, device=device)
        no = torch.zeros(rows, dtype=torch.bool, device=device)
        return cls(True, stamp, no, ~no)

    def after(self, tokens: Tensor, rules: Rules) -> RowState:
        """The state once `tokens` (B,) int32 were chosen."""
        if rules.timestamp_begin is None:
            return replace(self, first=False) if self.first else self
        stamped = (tokens >= rules.timestamp_begin) & (tokens < rules.timestamp_end)
        penultimate = self.penultimate if self.first else self.last
        return RowState(False, torch.where(stamped, tokens, self.stamp), stamped, penultimate)


def apply(logits: Tensor, state: RowState, rules: Rules) -> Tensor:
    """Mask what may not come next in `logits` (B, V), float32, in place; returns it."""
    logits += rules.suppressed_first if state.first else rules.suppressed
    if rules.timestamp_begin is None:
        return logits
    text, stamps = logits[:, : rules.timestamp_begin], logits[:, rules.timestamp_begin : rules.timestamp_end]
    if state.first:
        text.fill_(NEVER)
        stamps[:, max(0, rules.initial_limit - rules.timestamp_begin) :] = NEVER
        return logits
    ids = torch.arange(rules.timestamp_begin, rules.timestamp_end, dtype=torch.int32, device=logits.device)
    opened = state.last & state.penultimate  # a segment has begun: text or the end must follow
    closing = state.last & ~state.penultimate  # a segment has ended: the next one begins, now or later
    allowed_from = torch.where(closing, state.stamp, state.stamp + 1)
    stamps.masked_fill_((ids < allowed_from[:, None]) | opened[:, None], NEVER)
    text[:, : rules.eot].masked_fill_(closing[:, None], NEVER)
    # when the timestamps together outweigh the likeliest text, one of them comes
    outweigh = stamps.logsumexp(-1) > text.amax(-1)
    text.masked_fill_(outweigh[:, None], NEVER)
    return logits
