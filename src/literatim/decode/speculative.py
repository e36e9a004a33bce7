"""Decoding of a batch: a draft proposes tokens, the main network checks them all in one pass, each row takes its own.

A round feeds the last token of each row and K proposed ones (Leviathan et al., 2023; Chen et al., 2023), applies the
rules at each position, and keeps the proposals up to the first that the main network would not have said, with its own
choice after them. K = 0 is plain decoding. Nothing is cut out of a cache: a row's length says what counts, and the
rest is overwritten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from literatim.decode.network import Draft, Network
from literatim.decode.pace import Pace
from literatim.decode.rows import Decoded, Request, Row
from literatim.decode.rules import RowState, Rules, apply, state_numbers

LOGITS_BLOCK = 64  # positions whose logits are held at once
Place = tuple[int, int, Request]
"""A row of some scores, the position of what is said that it decides, and for whom."""


@dataclass(frozen=True)
class Vocabulary:
    """What the loop must know of the ids: the start of transcript, and no speech where the model has it."""

    sot: int
    no_speech: int | None


class Batch:
    """Rows at work in slots 0, 1, ... of the networks' caches, each at its own length.

    The caller puts sound into a slot, then `admit`s a row there. `fill` says how many slots are fed for so many rows,
    the others idle, so that few shapes occur.
    """

    def __init__(
        self,
        main: Network,
        rules: Rules,
        vocabulary: Vocabulary,
        device: torch.device,
        draft: Draft | None = None,
        pace: Pace | None = None,
        fill: Callable[[int], int] = lambda rows: rows,
    ) -> None:
        self._main, self._rules, self._vocabulary, self._device = main, rules, vocabulary, device
        self._draft, self._pace, self._fill = draft, pace or Pace(), fill
        self.rows: list[Row] = []

    def admit(self, requests: Sequence[Request], start: int, width: int = 0) -> None:
        """New rows in slots from `start` on, in place of finished ones or after the last; says their first token.

        `width`: positions of the longest prompt and of padding, so that few shapes occur.
        """
        count = self._fill(len(requests)) if start == len(self.rows) else len(requests)
        filled = [*requests, *[requests[-1]] * (count - len(requests))]
        width = max(width, *(len(request.prompt) for request in requests))
        tokens = self._ints([[*item.prompt, *[item.prompt[-1]] * (width - len(item.prompt))] for item in filled])
        zeros = torch.zeros_like(tokens[:, 0])
        hidden = self._main.feed(tokens, zeros, width, start)[: len(requests)]  # (B, W, D)
        sots = self._ints([list(item.prompt).index(self._vocabulary.sot) for item in requests])
        lasts = self._ints([len(item.prompt) - 1 for item in requests])
        at_sot, at_last = (_pick(hidden, places) for places in (sots, lasts))
        logits = self._main.logits(torch.cat([at_sot, at_last]))  # (2 B, V)
        silence = self._silence(logits[: len(requests)])
        state = RowState.start(len(requests), self._rules, self._device)
        scores = apply(logits[len(requests) :], state, self._rules)
        first = self._likeliest(scores, [(row, 0, item) for row, item in enumerate(requests)]).tolist()
        heard = self._listen(tokens, zeros, width, start)
        for row, (item, token) in enumerate(zip(requests, first, strict=True)):
            new = Row(item, silence[row], heard=min(heard, len(item.prompt)))
            new.take([token], at_last[row : row + 1], 0, self._rules.eot)
            self.rows[start + row : start + row + 1] = [new]

    def round(self) -> None:
        """One token and the accepted proposals for each row; `close` must have let the finished ones go."""
        rows, began = self.rows, time.perf_counter()
        assert not any(row.finished for row in rows), "close() first"
        idle = self._fill(len(rows)) - len(rows)
        longest = max(row.fed for row in rows)
        proposed = self._pace.proposals(len(rows), min(max(row.left for row in rows) - 1, self._room(longest)))
        everyone = [*rows, *rows[-1:] * idle]
        numbers = self._ints([[row.said[-1], row.fed, *state_numbers(row.said, self._rules)] for row in everyone])
        last, lengths, state = numbers[:, :1], numbers[:, 1], RowState.of(numbers[:, 2:])  # one copy to the device
        drafted = self._propose(proposed, state, lengths) if proposed else last[:, :0]  # (B, K)
        hidden = self._main.feed(torch.cat([last, drafted], 1), lengths, longest + proposed + 1)  # (B, K + 1, D)
        scores = apply(self._main.choose(hidden.flatten(0, 1)), state.along(drafted, self._rules), self._rules)
        chosen = self._sampled(scores, hidden, state, drafted).view(len(last), -1)  # (B, K + 1)
        right = (chosen[:, :-1] == drafted).int().cumprod(1).sum(1, dtype=torch.int32)
        found = torch.cat([chosen, right[:, None]], 1).tolist()  # the one wait for the device in a round
        tried = [
            row.take(said[: accepted + 1], states, proposed, self._rules.eot)
            for row, states, (*said, accepted) in zip(rows, hidden, found, strict=False)
        ]
        self._pace.saw(len(rows), proposed, time.perf_counter() - began, tried)

    def close(self) -> None:
        """Let the finished rows go, whose `result` was taken, and move rows from the end into their slots."""
        for slot in reversed(range(len(self.rows))):
            if not self.rows[slot].finished:
                continue
            last = self.rows.pop()
            if slot < len(self.rows):
                self.rows[slot] = last
                self._main.move(len(self.rows), slot, last.fed)
                if self._draft is not None:
                    self._draft.network.move(len(self.rows), slot, last.heard)

    def result(self, row: Row) -> Decoded:
        """What a finished row said, with the log-probabilities of its tokens among those the rules allowed."""
        hidden, total, done = torch.cat(row.decided), 0.0, 0
        said = [*row.said, self._rules.eot][: len(hidden)]
        for part in torch.split(hidden, LOGITS_BLOCK):
            scores = self._ruled(self._main.logits(part), row.said, done)
            ids = torch.tensor(said[done : done + len(part)], device=self._device)
            logprobs = scores.gather(1, ids[:, None])[:, 0] - scores.logsumexp(-1)
            total += float(logprobs.sum())
            done += len(part)
        return row.result(total, self._draft is not None)

    def _ruled(self, logits: Tensor, said: list[int], start: int) -> Tensor:
        """`logits` (N, V) of positions from `start` on, under the rules."""
        if start == 0:
            apply(logits[:1], RowState.start(1, self._rules, self._device), self._rules)
        after = max(start, 1)
        rest = logits[after - start :]
        if len(rest):
            state = RowState.of(self._ints([list(state_numbers(said[:after], self._rules))]))
            tokens = self._ints([said[after : start + len(logits) - 1]])
            apply(rest, state.along(tokens, self._rules), self._rules)
        return logits

    def _propose(self, most: int, state: RowState, lengths: Tensor) -> Tensor:
        """`most` tokens a row (B, K) from the draft, after it was fed what it has not heard yet."""
        draft, rows = self._draft, self.rows
        assert draft is not None
        hidden, longest = self._catch_up(draft, len(lengths) - len(rows)), max(row.fed for row in rows)
        state = state.translated(self._rules, draft.rules)
        noisy = [(at, row) for at, row in enumerate(rows) if row.request.noise is not None]
        places = lengths + torch.arange(1, most, dtype=torch.int32, device=self._device)[:, None]  # (K - 1, B)
        drafted: list[Tensor] = []
        for index in range(most):
            scores = apply(draft.network.choose(hidden), state, draft.rules)
            token = self._likeliest(scores, [(at, len(row.said) + index, row.request) for at, row in noisy], draft)
            drafted.append(draft.main(token))
            if index + 1 < most:
                state = state.after(token, draft.rules)
                tokens = draft.own(drafted[-1])[:, None]
                hidden = draft.network.feed(tokens, places[index], longest + 2 + index)[:, 0]
        return torch.stack(drafted, 1)

    def _catch_up(self, draft: Draft, idle: int) -> Tensor:
        """Feed the draft all of each row's text; the hidden states (B, D) at the last tokens said."""
        rows = self.rows
        width = max(row.fed + 1 - row.heard for row in rows)
        starts = [max(0, row.fed + 1 - width) for row in rows]
        texts = [row.text(start)[:width] for row, start in zip(rows, starts, strict=True)]
        texts = [[*text, *text[-1:] * (width - len(text))] for text in texts]
        ends = [row.fed - start for row, start in zip(rows, starts, strict=True)]
        tokens, places = self._ints([*texts, *texts[-1:] * idle]), self._ints([*starts, *[0] * idle])
        hidden = draft.network.feed(draft.own(tokens), places, max(starts) + width)
        return hidden[:, 0] if width == 1 else _pick(hidden, self._ints([*ends, *[0] * idle]))

    def _sampled(self, scores: Tensor, hidden: Tensor, state: RowState, drafted: Tensor) -> Tensor:
        """The choice at each of the positions (B * (K + 1),); rows with noise need their logits right everywhere."""
        width, places = hidden.shape[1], []
        for at, row in enumerate(self.rows):
            if row.request.noise is None:
                continue
            logits, states = self._main.logits(hidden[at]), state.row(at).along(drafted[at : at + 1], self._rules)
            scores[at * width : (at + 1) * width] = apply(logits, states, self._rules)
            places += [(at * width + offset, len(row.said) + offset, row.request) for offset in range(width)]
        return self._likeliest(scores, places)

    def _likeliest(self, scores: Tensor, places: Sequence[Place], draft: Draft | None = None) -> Tensor:
        """The best id (N,) int32 of `scores` (N, V), with the noise of those places that have it."""
        for at, position, request in places:
            if request.noise is not None:
                noise = request.noise.at(position, len(self._rules.suppressed)).to(scores.device)
                if draft is not None and draft.to_main is not None:
                    noise = noise[draft.to_main]
                scores[at] = scores[at] / request.noise.temperature + noise
        if scores.device.type == "cpu":  # numpy's is some ten times as fast
            return torch.from_numpy(scores.numpy().argmax(-1)).to(torch.int32)
        return scores.argmax(-1).to(torch.int32)

    def _listen(self, tokens: Tensor, zeros: Tensor, width: int, start: int) -> int:
        """Feed prompts to the draft as well; returns how many positions it has heard."""
        if self._draft is None or width > self._draft.room:
            return 0
        self._draft.network.feed(self._draft.own(tokens), zeros, width, start)
        return width

    def _room(self, longest: int) -> int:
        """Tokens that the draft may propose after so many positions."""
        return 0 if self._draft is None else self._draft.room - longest - 1

    def _silence(self, logits: Tensor) -> list[float]:
        token = self._vocabulary.no_speech
        return [0.0] * len(logits) if token is None else logits.softmax(-1)[:, token].tolist()

    def _ints(self, values: list[int] | list[list[int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.int32, device=self._device)


def _pick(hidden: Tensor, places: Tensor) -> Tensor:
    """(B, K, D) at one place (B,) of each row: (B, D)."""
    return hidden.gather(1, places.long()[:, None, None].expand(-1, -1, hidden.shape[-1]))[:, 0]


def decode(batch: Batch, requests: Sequence[Request], width: int = 0) -> list[Decoded]:
    """All of `requests`, whose sound is in the slots from the first on, until each has ended."""
    batch.admit([replace(request, owner=index) for index, request in enumerate(requests)], 0, width)
    results: dict[int, Decoded] = {}
    while batch.rows:
        results |= {row.request.owner: batch.result(row) for row in batch.rows if row.finished}
        batch.close()
        if batch.rows:
            batch.round()
    return [results[index] for index in range(len(requests))]
