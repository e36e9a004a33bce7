"""Whisper's rules on what may be said next, vectorised over rows.

They are those of openai/whisper's `decoding.py` (SuppressBlank, SuppressTokens, ApplyTimestampRules), in that
order. A row's state depends on its tokens alone, so any position can be checked on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from literatim.decode.guard import UNGUARDED, Guard
from literatim.native import choice

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
    guard: Guard = UNGUARDED

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

    @classmethod
    def of(cls, numbers: Tensor) -> RowState:
        """From `state_numbers` of each row, (B, 3) int32 on the device."""
        stamp, last, penultimate = numbers.unbind(1)
        return cls(False, stamp, last > 0, penultimate > 0)

    def translated(self, rules: Rules, other: Rules) -> RowState:
        """The same in the ids of other rules, whose timestamps stand in the same order."""
        if rules.timestamp_begin is None or other.timestamp_begin is None:
            return self
        return replace(self, stamp=self.stamp + (other.timestamp_begin - rules.timestamp_begin))

    def along(self, tokens: Tensor, rules: Rules) -> RowState:
        """The states (B * (K + 1),) before `tokens` (B, K) int32 and after each of them, row by row."""
        if rules.timestamp_begin is None or not tokens.shape[1]:
            return self
        stamped = (tokens >= rules.timestamp_begin) & (tokens < rules.timestamp_end)
        places = torch.arange(tokens.shape[1], dtype=torch.int32, device=tokens.device)
        so_far = stamped[:, None] & (places <= places[:, None])  # (B, K, K)
        latest = torch.where(so_far, places, -1).amax(-1)  # (B, K)
        stamps = torch.where(latest < 0, self.stamp[:, None], tokens.gather(1, latest.clamp(min=0).long()))
        last = torch.cat([self.last[:, None], stamped], 1)
        penultimate = torch.cat([self.penultimate[:, None], last[:, :-1]], 1)
        return RowState(
            False, torch.cat([self.stamp[:, None], stamps], 1).flatten(), last.flatten(), penultimate.flatten()
        )


def state_numbers(said: Sequence[int], rules: Rules) -> tuple[int, int, int]:
    """What `RowState` holds of a row that has said at least one token: so can many be brought to a device at once."""
    begin, end = rules.timestamp_begin, rules.timestamp_end
    if begin is None:
        return 0, 0, 0
    stamp = next((token for token in reversed(said) if begin <= token < end), begin - 1)
    return stamp, int(begin <= said[-1] < end), int(len(said) < 2 or begin <= said[-2] < end)


def apply(logits: Tensor, state: RowState, rules: Rules) -> Tensor:
    """Mask what may not come next in `logits` (B, V), float32, in place; returns it."""
    if state.first:
        return _opening(logits, rules)
    kernels = choice.kernels(logits)
    if kernels is None:
        return masked(logits, state, rules)
    choice.mask(kernels, logits, *_given(state, rules))
    return logits


def likeliest(logits: Tensor, state: RowState, rules: Rules, after: Tensor) -> Tensor:
    """The best ids (B (K + 1),) int32 that may come next, in the state and after each of the tokens `after`.

    Those are (B, K) int32; `logits` (B (K + 1), V) may be masked.
    """
    kernels = None if state.first else choice.kernels(logits)
    if kernels is None:
        return argmax(apply(logits, state.along(after, rules), rules))
    said, bounds = _given(state, rules)
    return choice.pick(kernels, logits, replace(said, after=after), bounds)


def argmax(scores: Tensor) -> Tensor:
    """The first of the largest (B,) int32 of (B, V)."""
    if scores.device.type == "cpu":  # numpy's is some ten times as fast
        return torch.from_numpy(scores.numpy().argmax(-1)).to(torch.int32)
    return scores.argmax(-1).to(torch.int32)


def _given(state: RowState, rules: Rules) -> tuple[choice.Said, choice.Bounds]:
    begin = -1 if rules.timestamp_begin is None else rules.timestamp_begin
    bounds = choice.Bounds(rules.suppressed, rules.eot, begin, rules.timestamp_end)
    return choice.Said(state.stamp, state.last, state.penultimate), bounds


def _opening(logits: Tensor, rules: Rules) -> Tensor:
    """Before the first token."""
    logits += rules.suppressed_first
    if rules.timestamp_begin is not None:
        logits[:, : rules.timestamp_begin] = NEVER
        logits[:, max(rules.timestamp_begin, rules.initial_limit) : rules.timestamp_end] = NEVER
    return logits


def masked(logits: Tensor, state: RowState, rules: Rules) -> Tensor:
    """`apply` after the first token by torch's operators, on any device."""
    logits += rules.suppressed
    if rules.timestamp_begin is None:
        return logits
    text, stamps = logits[:, : rules.timestamp_begin], logits[:, rules.timestamp_begin : rules.timestamp_end]
    ids = torch.arange(rules.timestamp_begin, rules.timestamp_end, dtype=torch.int32, device=logits.device)
    opened = state.last & state.penultimate  # a segment has begun: text or the end must follow
    closing = state.last & ~state.penultimate  # a segment has ended: the next one begins, now or later
    allowed_from = torch.where(closing, state.stamp, state.stamp + 1)
    stamps.masked_fill_((ids < allowed_from[:, None]) | opened[:, None], NEVER)
    _forbid(text[:, : rules.eot], closing)
    # when the timestamps together outweigh the likeliest text, one of them comes
    outweigh = stamps.logsumexp(-1) > text.amax(-1)
    _forbid(text, outweigh)
    return logits


def _forbid(logits: Tensor, rows: Tensor) -> None:
    """-inf in those rows (B,) of (B, N); mostly there are none, and a CPU need not wait to know it."""
    if logits.device.type != "cpu" or bool(rows.any()):
        logits.masked_fill_(rows[:, None], NEVER)
