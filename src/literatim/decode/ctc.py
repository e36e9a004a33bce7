"""Connectionist temporal classification (Graves et al., 2006): from steps to tokens.

A step says a token or the blank; a token that is said in several steps running is said once, and a blank between two
equal ones keeps them apart, as the two m of "inflammation".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Token:
    """A token that is said in the steps [start, end); `logprob` is the mean of its log-probabilities there."""

    id: int
    start: int
    end: int
    logprob: float


@dataclass(frozen=True, eq=False)
class Steps:
    """What is likeliest in each step: ids (S,) int64 and their log-probabilities (S,) float32, on the CPU.

    `whole` are the log-probabilities (S, V) float32 of all tokens, where they were asked for.
    """

    ids: np.ndarray
    logprobs: np.ndarray
    whole: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> Steps:
        """Steps [start, stop)."""
        whole = None if self.whole is None else self.whole[start:stop]
        return Steps(self.ids[start:stop], self.logprobs[start:stop], whole)

    @classmethod
    def joined(cls, parts: Iterable[Steps]) -> Steps:
        """One after the other."""
        found = [*parts]
        if not found:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.float32))
        wholes = [part.whole for part in found if part.whole is not None]
        ids, logprobs = (np.concatenate([getattr(part, name) for part in found]) for name in ("ids", "logprobs"))
        return cls(ids, logprobs, np.concatenate(wholes) if wholes else None)


def likeliest(logits: Tensor, counts: Iterable[int], *, whole: bool = False) -> list[Steps]:
    """Of logits (B, S, V), the likeliest of each row's first `counts` steps; `whole`: and those of all tokens."""
    everything = logits.log_softmax(-1).float().cpu().numpy() if whole else None
    ids = logits.argmax(-1)
    values = logits.gather(-1, ids[..., None])[..., 0]
    logprobs = (values - logits.logsumexp(-1)).float().cpu().numpy()
    rows = enumerate(zip(ids.cpu().numpy(), logprobs, counts, strict=True))
    return [
        Steps(said[:count].copy(), sure[:count].copy(), None if everything is None else everything[row, :count].copy())
        for row, (said, sure, count) in rows
    ]


def collapse(steps: Steps, blank: int, first: int = 0) -> list[Token]:
    """The tokens of steps that are numbered from `first` on."""
    if not len(steps):
        return []
    starts = np.flatnonzero(np.diff(steps.ids, prepend=steps.ids[0] - 1))
    ends = np.append(starts[1:], len(steps))
    means = np.add.reduceat(steps.logprobs.astype(np.float64), starts) / (ends - starts)
    said = zip(steps.ids[starts].tolist(), starts.tolist(), ends.tolist(), means.tolist(), strict=True)
    return [Token(id, first + start, first + end, mean) for id, start, end, mean in said if id != blank]
