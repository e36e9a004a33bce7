"""The rows of a batch: what each is asked for, what it has said so far, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from literatim.decode.beam import Beam
from literatim.decode.noise import Noise
from literatim.types import Speculation


@dataclass(frozen=True)
class Request:
    """A prompt with the start-of-transcript id in it once, and the most tokens that may follow.

    With `noise` it is sampled, once more for each of `others`; with a `beam` it is searched. The best of
    several texts is chosen with `length_penalty`. `owner` is whatever the caller knows it by.
    """

    prompt: Sequence[int]
    most: int
    noise: Noise | None = None
    owner: Any = None
    others: tuple[Noise, ...] = ()
    beam: Beam | None = None
    length_penalty: float | None = None

    @property
    def temperature(self) -> float:
        """0 where the likeliest token is taken."""
        return 0.0 if self.noise is None else self.noise.temperature


@dataclass(frozen=True)
class Decoded:
    """One row's result: tokens without the end, the sum of their log-probabilities and that of the end."""

    tokens: tuple[int, ...]
    sum_logprob: float
    no_speech_prob: float
    speculation: Speculation | None = None
    temperature: float = 0.0

    @property
    def avg_logprob(self) -> float:
        """openai/whisper's mean: over the tokens and the end of text."""
        return self.sum_logprob / (len(self.tokens) + 1)


@dataclass
class Row:
    """A row under way; it is not asked for more once `finished`.

    `group` are the rows of one request, itself among them: the request is answered when all of them have finished. Once
    the answer was `taken`, the row's slot may be given to another.
    """

    request: Request
    no_speech_prob: float
    said: list[int] = field(default_factory=list)
    decided: list[Tensor] = field(default_factory=list)  # (n, D) each: the hidden states behind the tokens and the end
    finished: bool = False
    heard: int = 0  # positions of the text that the draft has been fed
    proposed: int = 0
    accepted: int = 0
    lengths: list[int] = field(default_factory=list)  # tokens proposed in each round
    group: list[Row] = field(default_factory=list)
    taken: bool = False

    def __post_init__(self) -> None:
        self.group = self.group or [self]

    @property
    def answered(self) -> bool:
        """Whether the request has come to its end, and nobody took what came of it."""
        return not self.taken and all(row.finished for row in self.group)

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is all that is wanted of its logits."""
        return self.request.noise is None and self.request.beam is None

    @property
    def fed(self) -> int:
        """Positions that the main network has been fed: all but the last token said."""
        return len(self.request.prompt) + len(self.said) - 1

    @property
    def left(self) -> int:
        """Tokens that may still be said."""
        return self.request.most - len(self.said)

    def text(self, start: int) -> list[int]:
        """Prompt and tokens said, from a position on."""
        prompt = self.request.prompt
        if start >= len(prompt):
            return self.said[start - len(prompt) :]
        return [*prompt[start:], *self.said]

    def take(self, tokens: Sequence[int], hidden: Tensor, proposed: int, eot: int) -> tuple[int, int]:
        """Say the tokens (at most those that are left, up to the end); (K, D) are the states behind them.

        All but the last of them are proposals that were right. Returns how many of the `proposed` were right, and how
        many were judged: those after a wrong one, or after the end, were not.
        """
        before, used = self.fed + 1, 0
        while used < len(tokens) and not self.finished:
            if tokens[used] != eot:
                self.said.append(tokens[used])
            self.finished = tokens[used] == eot or not self.left
            used += 1
        self.decided.append(hidden[:used])
        self.lengths.append(proposed)
        right = min(used, len(tokens) - 1)
        if proposed:
            self.heard = before + min(right, proposed - 1)
            self.proposed += proposed
            self.accepted += right
        if self.request.noise is not None:
            self.request.noise.forget(len(self.said))
        return right, used if used <= right else min(proposed, right + 1)

    def states(self, fill: Callable[[int], int]) -> Tensor:
        """The hidden states (N, D) behind what was said; off the CPU N is what it is to be filled up to."""
        if self.decided[0].device.type == "cpu":
            return torch.cat(self.decided)
        made = self.decided[0].new_zeros(fill(sum(map(len, self.decided))), self.decided[0].shape[1])
        done = 0
        for part in self.decided:
            made[done : done + len(part)] = part
            done += len(part)
        return made

    def result(self, sum_logprob: float, drafted: bool) -> Decoded:
        """Once finished."""
        speculation = Speculation(self.proposed, self.accepted, tuple(self.lengths)) if drafted else None
        found = tuple(self.said), sum_logprob, self.no_speech_prob
        return Decoded(*found, speculation, self.request.temperature)
