"""What makes it harder for a text to repeat itself: a penalty on tokens that were said, and no run of them twice.

As transformers' RepetitionPenaltyLogitsProcessor and NoRepeatNGramLogitsProcessor (Keskar et al., 2019), over what was
said in the window, timestamps among it; the prompt does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Guard:
    """`penalty`: of tokens that were said, positive logits are divided by it and negative ones multiplied.

    No `run` tokens in a row occur twice; 0: they may.
    """

    penalty: float = 1.0
    run: int = 0

    @property
    def on(self) -> bool:
        """Whether anything changes."""
        return self.penalty != 1 or self.run > 0

    def apply(self, logits: Tensor, said: Sequence[int]) -> None:
        """Change the logits (V,) of what comes after the tokens `said`, in place."""
        if self.penalty != 1 and said:
            ids = torch.tensor(sorted(set(said)), device=logits.device)
            found = logits[ids]
            logits[ids] = torch.where(found < 0, found * self.penalty, found / self.penalty)
        banned = list(self._followers(said))
        if banned:
            logits[torch.tensor(banned, device=logits.device)] = -torch.inf

    def _followers(self, said: Sequence[int]) -> Iterator[int]:
        """What came after the last run - 1 tokens where they occurred before."""
        if self.run == 0 or len(said) < self.run - 1:
            return
        last = tuple(said[len(said) - self.run + 1 :])
        for at in range(len(said) - self.run + 1):
            if tuple(said[at : at + self.run - 1]) == last:
                yield said[at + self.run - 1]


UNGUARDED = Guard()
