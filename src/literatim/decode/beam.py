"""Beam search over the rows of one window, as openai/whisper's: patience (Kasai et al., 2022), length penalty."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Beam:
    """The likeliest texts so far of one window: `size` unfinished ones, and those that have ended.

    It ends when size * patience have, or when `most` tokens were said. Sums of log-probabilities are float32, as
    openai/whisper keeps them.
    """

    def __init__(self, size: int, patience: float, eot: int, most: int) -> None:
        self.size, self._eot, self._most = size, eot, most
        self._wanted = max(round(size * patience), 1)
        self._ended: dict[tuple[int, ...], float] = {}  # in the order they came
        self._texts: list[list[int]] = [[]]
        self._sums = torch.zeros(1)

    @property
    def done(self) -> bool:
        """Whether it has come to its end."""
        return len(self._ended) >= self._wanted or len(self._texts[0]) >= self._most

    def step(self, logprobs: Tensor) -> list[tuple[int, list[int]]]:
        """From log-probabilities (texts, V) of what comes next: the new texts, each with the number of the old one.

        The first step takes those of the start alone.
        """
        best = logprobs.cpu().topk(self.size + 1)
        sums = self._sums[:, None] + best.values  # (texts, size + 1)
        found = [
            (score, source, token)
            for source, (scores, tokens) in enumerate(zip(sums.tolist(), best.indices.tolist(), strict=True))
            for score, token in zip(scores, tokens, strict=True)
        ]
        kept, before = [], self._texts
        for score, source, token in sorted(found, key=lambda item: item[0], reverse=True):
            if token != self._eot:
                kept.append((score, source, token))
            elif len(self._ended) < self._wanted:
                self._ended[tuple(before[source])] = score
            if len(kept) == self.size:
                break
        self._sums = torch.tensor([score for score, _, _ in kept])
        self._texts = [[*before[source], token] for _, source, token in kept]
        return [(source, text) for (_, source, _), text in zip(kept, self._texts, strict=True)]

    def best(self, length_penalty: float | None) -> tuple[tuple[int, ...], float]:
        """The best text and its sum; where too few have ended the likeliest of the others stand in."""
        texts = dict(self._ended)
        for at in reversed(self._sums.argsort(stable=True).tolist()):
            if len(texts) >= self.size:
                break
            texts[tuple(self._texts[at])] = float(self._sums[at])
        candidates = list(texts.items())
        lengths, sums = [len(text) for text, _ in candidates], [score for _, score in candidates]
        return candidates[likeliest(sums, lengths, length_penalty)]


def likeliest(sums: Sequence[float], lengths: Sequence[int], length_penalty: float | None) -> int:
    """The best of several texts, by their sum of log-probabilities over their length.

    With a penalty it is over ((5 + length) / 6) ** penalty instead (Wu et al., 2016).
    """

    def score(at: int) -> float:
        length = lengths[at]
        return sums[at] / (max(length, 1) if length_penalty is None else ((5 + length) / 6) ** length_penalty)

    return max(range(len(sums)), key=score)
