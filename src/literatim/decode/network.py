"""What the decoding loop needs of a network: the main model's, and a draft's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from literatim.decode.rules import RowState, Rules


class Network(Protocol):
    """A decoder with a cache of rows that hold their sound.

    Ids and places are int32: accelerators compare int64 slowly.
    """

    def feed(self, tokens: Tensor, lengths: Tensor, limit: int, start: int = 0) -> Tensor:
        """Hidden states (B, K, D) of `tokens` (B, K), fed after each row's first `lengths` (B,) positions.

        The rows are those from `start` on; `limit` bounds length + K. Lengths may be smaller than before: what was fed
        after them is forgotten.
        """
        ...

    def choose(self, hidden: Tensor) -> Tensor:
        """(N, D) -> (N, V) float32, right for the choice of the likeliest token."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, D) -> (N, V) float32, right everywhere."""
        ...

    def move(self, source: int, target: int, positions: int) -> None:
        """Copy row `source`, `positions` of whose text are filled, over row `target`."""
        ...

    def branch(self, source: int, target: int, positions: int) -> None:
        """Copy those positions of the text alone: both rows have the same sound."""
        ...


@dataclass(frozen=True)
class Draft:
    """A network that proposes tokens, perhaps from fewer or other ids than the main model's.

    `rules` are the main model's, said in the draft's ids; `to_main` (its V,) and `to_own` (the main V,) translate, None
    where the ids are the same; `room` is how many positions it has.

    `run`, where there is something faster than a loop over `network`: from the states (B, D) at the last tokens said,
    what the rules know of these, and the positions (B,) fed, so many likeliest tokens (B, K) int32, the main model's.
    """

    network: Network
    rules: Rules
    room: int
    to_main: Tensor | None = None
    to_own: Tensor | None = None
    run: Callable[[Tensor, RowState, Tensor, int], Tensor] | None = None

    def own(self, tokens: Tensor) -> Tensor:
        """The ids to feed for the main model's `tokens`."""
        return tokens if self.to_own is None else self.to_own[tokens]

    def main(self, tokens: Tensor) -> Tensor:
        """The main model's ids of what the draft chose."""
        return tokens if self.to_main is None else self.to_main[tokens]


def detect_language(network: Network, start: int, rows: int, sot: int, languages: Tensor) -> Tensor:
    """Probabilities (B, len(languages)) of the language ids, from one step on the start of transcript."""
    tokens = torch.full((rows, 1), sot, dtype=torch.int32, device=languages.device)
    zeros = torch.zeros(rows, dtype=torch.int32, device=languages.device)
    logits = network.logits(network.feed(tokens, zeros, 1, start)[:, 0])  # (B, V)
    return logits[:, languages].softmax(-1)
