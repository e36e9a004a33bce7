"""Plain greedy decoding of a batch, one token a row and step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from literatim.decode.rules import RowState, Rules, apply

CHOSEN_BLOCK = 64  # places for tokens come in blocks, so that few shapes occur

Step = Callable[[Tensor, Tensor, int, Tensor], Tensor]
"""`step(tokens (B, K), lengths (B,), limit, wanted (B, P)) -> logits (B, P, V)` float32.

Feeds `tokens` after each row's first `lengths` positions, `limit` bounding length + K, and returns the logits at the
`wanted` ones of the K. All three are int32, as is every id and place here: accelerators compare int64 slowly. It may be
called with lengths smaller than before: what was fed after them is forgotten.
"""


@dataclass(frozen=True)
class Prompts:
    """What each row starts from, padded on the right: `tokens` (B, K), `lengths` (B,), `sot` (B,) places; int32.

    `longest` of the lengths is below K where K was chosen so that few shapes occur.
    """

    tokens: Tensor
    lengths: Tensor
    sot: Tensor
    longest: int

    @classmethod
    def make(cls, rows: Sequence[Sequence[int]], sot: int, device: torch.device, width: int = 0) -> Prompts:
        """From lists of ids, each with the start-of-transcript id once; padded to `width` or the longest."""
        longest = max(len(row) for row in rows)
        width = max(width, longest)
        padded = [[*row, *([row[-1]] * (width - len(row)))] for row in rows]
        lengths = [len(row) for row in rows]
        places = [list(row).index(sot) for row in rows]
        values = (torch.tensor(some, dtype=torch.int32, device=device) for some in (padded, lengths, places))
        tokens, counts, starts = values
        return cls(tokens, counts, starts, longest)


@dataclass(frozen=True)
class Decoded:
    """One row's result: tokens without the end, the sum of their log-probabilities and that of the end."""

    tokens: tuple[int, ...]
    sum_logprob: float
    no_speech_prob: float

    @property
    def avg_logprob(self) -> float:
        """openai/whisper's mean: over the tokens and the end of text."""
        return self.sum_logprob / (len(self.tokens) + 1)


def greedy(
    step: Step,
    prompts: Prompts,
    rules: Rules,
    no_speech: int | None,
    most: Tensor,
    exact: Callable[[], Tensor] | None = None,
) -> list[Decoded]:
    """Decode until each row has ended or has as many new tokens as `most` (B,), on the CPU, allows it.

    Where `step` gives single tokens' logits that are right for the choice but not for its probability, `exact` gives
    them in full (B, V) afterwards, one step after the other.
    """
    rows, width = prompts.tokens.shape
    device, lengths, longest = prompts.tokens.device, prompts.lengths, prompts.longest
    steps, limits = int(most.max()), most.to(device, torch.int32)
    wanted = torch.stack([prompts.sot, lengths - 1], 1)
    logits = step(prompts.tokens, torch.zeros_like(lengths), width, wanted)  # (B, 2, V)
    silence = _no_speech(logits[:, 0], no_speech)
    scores, state = logits[:, 1], RowState.start(rows, rules, device)
    places = -(-steps // CHOSEN_BLOCK) * CHOSEN_BLOCK
    chosen = torch.full((rows, places), rules.eot, dtype=torch.int32, device=device)
    tally = _Tally(torch.zeros(rows, device=device), rules)
    ended = torch.zeros(rows, dtype=torch.bool, device=device)
    last = (prompts.lengths + limits - 2).clamp(min=0)  # a row that ended at its limit has no place after it
    only = torch.zeros((rows, 1), dtype=torch.int32, device=device)
    for index in range(steps):
        scores = apply(scores, state, rules)
        token = torch.where(ended, rules.eot, scores.argmax(-1).to(torch.int32))
        chosen[:, index] = token
        if index == 0 or exact is None:
            tally.add(scores, token, ended)
        else:
            tally.postpone(state, token, ended)
        ended = ended | (token == rules.eot) | (limits <= index + 1)
        if bool(ended.all()):  # the one wait for the device in a step
            break
        state = state.after(token, rules)
        scores = step(token[:, None], torch.minimum(lengths, last), longest + index + 1, only)[:, 0]
        lengths = torch.where(ended, lengths, lengths + 1)
    if exact is not None:
        tally.catch_up(exact)
    return _results(chosen, tally.total, silence, rules.eot)


class _Tally:
    """Sums the log-probabilities (B,) of the chosen tokens among those the rules allow."""

    def __init__(self, total: Tensor, rules: Rules) -> None:
        self.total, self._rules = total, rules
        self._open: list[tuple[RowState, Tensor, Tensor]] = []

    def add(self, scores: Tensor, token: Tensor, ended: Tensor) -> None:
        """Count one step; a row that had ended counts nothing."""
        chosen = scores.gather(1, token.long()[:, None])[:, 0]
        self.total = self.total + torch.where(ended, 0.0, chosen - scores.logsumexp(-1))

    def postpone(self, state: RowState, token: Tensor, ended: Tensor) -> None:
        """Remember a step whose logits are to come."""
        self._open.append((state, token, ended))

    def catch_up(self, exact: Callable[[], Tensor]) -> None:
        """Count the steps that were put off."""
        for state, token, ended in self._open:
            self.add(apply(exact(), state, self._rules), token, ended)


def detect_language(step: Step, rows: int, sot: int, languages: Tensor) -> Tensor:
    """Probabilities (B, len(languages)) of the language ids, from one step on the start of transcript."""
    tokens = torch.full((rows, 1), sot, dtype=torch.int32, device=languages.device)
    zeros = torch.zeros(rows, dtype=torch.int32, device=languages.device)
    logits = step(tokens, zeros, 1, zeros[:, None])[:, 0]  # (B, V)
    return logits[:, languages].softmax(-1)


def _no_speech(logits: Tensor, token: int | None) -> Tensor:
    """Probabilities (B,), still on the device: nothing waits for them before the end."""
    if token is None:
        return logits.new_zeros(len(logits))
    return logits.softmax(-1)[:, token]


def _results(chosen: Tensor, total: Tensor, silence: Tensor, eot: int) -> list[Decoded]:
    results = []
    for row, score, quiet in zip(chosen.tolist(), total.tolist(), silence.tolist(), strict=True):
        tokens = row[: row.index(eot)] if eot in row else row
        results.append(Decoded(tuple(tokens), score, quiet))
    return results
