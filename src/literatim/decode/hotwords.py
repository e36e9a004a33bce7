"""Texts that are to be heard more easily: an automaton (Aho and Corasick, 1975) over their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class _Node:
    """So much of one or more texts; `won` is what the texts that end here bring."""

    depth: int
    next: dict[int, int] = field(default_factory=dict)
    otherwise: int = 0
    won: float = 0.0


class Hotwords:
    """Each token of a text brings `weight`, for good when the text is whole; overlapping texts all count."""

    def __init__(self, texts: Sequence[Sequence[int]], weight: float) -> None:
        """`texts` as tokens; empty ones are left out."""
        self._weight, self._nodes = weight, [_Node(0)]
        for tokens in {tuple(text) for text in texts if text}:
            at = 0
            for token in tokens:
                if token not in self._nodes[at].next:
                    self._nodes[at].next[token] = len(self._nodes)
                    self._nodes.append(_Node(self._nodes[at].depth + 1))
                at = self._nodes[at].next[token]
            self._nodes[at].won += weight * len(tokens)
        self._link()

    def _link(self) -> None:
        """Where to go on when a text breaks off: at the longest end of it that begins another."""
        waiting = [*self._nodes[0].next.values()]
        for number in waiting:  # grows while it is gone through: nodes by their depth
            node = self._nodes[number]
            node.won += self._nodes[node.otherwise].won
            for token, child in node.next.items():
                self._nodes[child].otherwise = self._go(node.otherwise, token)
                waiting.append(child)

    def _go(self, state: int, token: int) -> int:
        while token not in self._nodes[state].next:
            if state == 0:
                return 0
            state = self._nodes[state].otherwise
        return self._nodes[state].next[token]

    def after(self, state: int, token: int) -> tuple[float, int]:
        """What the texts that end with this token bring, and the state then; 0 is the first."""
        state = self._go(state, token)
        won = self._nodes[state].won
        while state and not self._nodes[state].next:  # nothing longer begins like this
            state = self._nodes[state].otherwise
        return won, state

    def promise(self, state: int) -> float:
        """What the longest text that is under way would have brought so far."""
        return self._weight * self._nodes[state].depth
