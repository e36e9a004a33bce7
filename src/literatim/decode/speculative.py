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

from literatim.decode.beam import likeliest as likeliest_text
from literatim.decode.network import Draft, Network
from literatim.decode.noise import Place, sampled
from literatim.decode.pace import Pace
from literatim.decode.rows import Decoded, Request, Row
from literatim.decode.rules import RowState, Rules, apply, likeliest, state_numbers

LOGITS_BLOCK = 64  # positions whose logits are held at once


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
        first = sampled(scores, [(row, 0, item.noise) for row, item in enumerate(requests)]).tolist()
        heard = self._listen(tokens, zeros, width, start)
        for row, (item, token) in enumerate(zip(requests, first, strict=True)):
            new = Row(item, silence[row], heard=min(heard, len(item.prompt)))
            new.take([token], at_last[row : row + 1], 0, self._rules.eot)
            self.rows[start + row : start + row + 1] = [new]
        for row in range(len(requests)):
            self._spread(start + row)

    def again(self, slot: int, request: Request) -> None:
        """In place of a row whose answer was taken another of the same prompt: all before its first token is there."""
        before = self.rows[slot]
        assert before.taken, "result() first"
        opening = before.decided[0][:1]  # (1, D)
        new = Row(request, before.no_speech_prob, heard=min(before.heard, len(request.prompt)))
        new.take(self._first(opening, request), opening, 0, self._rules.eot)
        self.rows[slot] = new
        self._spread(slot)

    def _first(self, opening: Tensor, request: Request) -> list[int]:
        """The first token after a prompt, from the hidden state (1, D) at its end."""
        return sampled(self._opened(opening), [(0, 0, request.noise)]).tolist()

    def _opened(self, opening: Tensor) -> Tensor:
        """Scores (1, V) of what may come first."""
        return apply(self._main.logits(opening), RowState.start(1, self._rules, self._device), self._rules)

    def _spread(self, slot: int) -> None:
        """Rows for the other samples, or for the other texts of a beam, of a row that was just begun."""
        row, request = self.rows[slot], self.rows[slot].request
        opening = row.decided[0]
        for noise in request.others:
            other = self._fork(slot)
            other.request = replace(request, noise=noise, others=())
            other.take(self._first(opening, other.request), opening, 0, self._rules.eot)
        if request.beam is not None:
            for number, (_, said) in enumerate(request.beam.step(self._opened(opening).log_softmax(-1))):
                new = row if number == 0 else self._fork(slot)
                new.said, new.finished, new.decided = said, request.beam.done, [opening]

    def _fork(self, slot: int) -> Row:
        """A row more of the request in a slot: with its sound and prompt, and nothing said."""
        row, free = self.rows[slot], next((at for at, old in enumerate(self.rows) if old.taken), len(self.rows))
        new = Row(row.request, row.no_speech_prob, heard=min(row.heard, len(row.request.prompt)), group=row.group)
        row.group.append(new)
        self.rows[free : free + 1] = [new]
        self._main.move(slot, free, len(row.request.prompt))
        if self._draft is not None:
            self._draft.network.move(slot, free, new.heard)
        return new

    def round(self) -> None:
        """One token and the accepted proposals for each row; `close` must have let the finished ones go."""
        rows, began = self.rows, time.perf_counter()
        assert not any(row.finished for row in rows), "close() first"
        idle = self._fill(len(rows)) - len(rows)
        longest = max(row.fed for row in rows)
        most = 0 if any(row.request.beam is not None for row in rows) else max(row.left for row in rows) - 1
        proposed = self._pace.proposals(len(rows), min(most, self._room(longest)))
        everyone = [*rows, *rows[-1:] * idle]
        numbers = self._ints([[row.said[-1], row.fed, *state_numbers(row.said, self._rules)] for row in everyone])
        last, lengths, state = numbers[:, :1], numbers[:, 1], RowState.of(numbers[:, 2:])  # one copy to the device
        drafted = self._propose(proposed, state, lengths) if proposed else last[:, :0]  # (B, K)
        hidden = self._main.feed(torch.cat([last, drafted], 1), lengths, longest + proposed + 1)  # (B, K + 1, D)
        scores = self._guarded(self._scores(hidden), drafted)
        if all(row.plain for row in rows):
            chosen = likeliest(scores, state, self._rules, drafted)
        else:
            scores = apply(scores, state.along(drafted, self._rules), self._rules)
            chosen = sampled(scores, self._places(proposed + 1))
        chosen = chosen.view(len(last), -1)  # (B, K + 1)
        found = torch.cat([chosen, drafted], 1).tolist()  # the one wait for the device in a round
        every = [(said[: proposed + 1], _agreed(said, said[proposed + 1 :])) for said in found]
        tried = [
            row.take(said[: accepted + 1], decided, proposed, self._rules.eot)
            for row, decided, (said, accepted) in zip(rows, hidden, every, strict=False)
            if row.request.beam is None
        ]
        if len(tried) < len(rows):
            self._search(scores)
        self._pace.saw(len(rows), proposed, time.perf_counter() - began, tried)

    def _search(self, scores: Tensor) -> None:
        """Another token for the texts of beams, from the scores (B, V) of a round without proposals."""
        groups = {id(row.group): row.group for row in self.rows if row.request.beam is not None}
        slots = {id(row): slot for slot, row in enumerate(self.rows)}
        for group in groups.values():
            beam, places = group[0].request.beam, [slots[id(row)] for row in group]
            assert beam is not None
            kept, fed = beam.step(scores[places].log_softmax(-1)), group[0].fed
            sources = [source for source, _ in kept]
            idle = [row for at, row in enumerate(group) if at not in sources]
            following: list[Row] = []
            for number, source in enumerate(sources):
                row = group[source]
                if source in sources[:number]:  # another has gone on from there: a copy of it does
                    row = idle.pop()
                    self._main.branch(slots[id(group[source])], slots[id(row)], fed)
                following.append(row)
            for row, (_, said) in zip(following, kept, strict=True):
                row.said, row.finished = said, beam.done
            group[:] = following

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
        """What came of a finished request; its slots may be used again then."""
        group = row.group
        for each in group:
            each.taken = True
        request = row.request
        if request.beam is not None:
            tokens, total = request.beam.best(request.length_penalty)
            return Decoded(tokens, total, row.no_speech_prob)
        every = [self._said(each) for each in group]
        sums, lengths = [found.sum_logprob for found in every], [len(found.tokens) for found in every]
        best = every[likeliest_text(sums, lengths, request.length_penalty)]
        done = [found.speculation for found in every if found.speculation is not None]
        return replace(best, speculation=sum(done[1:], done[0])) if len(done) > 1 else best

    def _said(self, row: Row) -> Decoded:
        """What a finished row said, with the log-probabilities of its tokens among those the rules allowed."""
        hidden, total, done = row.states(self._fill), 0.0, 0
        count = sum(map(len, row.decided))  # what follows fills it up
        said = [*row.said, *[self._rules.eot] * (len(hidden) + 1)][: len(hidden)]
        for part in torch.split(hidden, LOGITS_BLOCK):
            scores = self._ruled(self._main.logits(part), said, done)
            ids = torch.tensor(said[done : done + len(part)], device=self._device)
            logprobs = scores.gather(1, ids[:, None])[:, 0] - scores.logsumexp(-1)
            if count < done + len(part):
                places = torch.arange(len(part), dtype=torch.int32, device=self._device)
                logprobs = torch.where(places < count - done, logprobs, 0.0)
            total += float(logprobs.sum())
            done += len(part)
        return row.result(total, self._draft is not None)

    def _ruled(self, logits: Tensor, said: list[int], start: int) -> Tensor:
        """`logits` (N, V) of positions from `start` on, under the rules."""
        if self._rules.guard.on:
            for index, row in enumerate(logits):
                self._rules.guard.apply(row, said[: start + index])
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
        if draft.run is not None and not noisy:
            return draft.run(hidden, state, lengths + 1, most)
        places = lengths + torch.arange(1, most, dtype=torch.int32, device=self._device)[:, None]  # (K - 1, B)
        drafted: list[Tensor] = []
        nothing = places.new_empty((len(lengths), 0))
        for index in range(most):
            scores = draft.network.choose(hidden)
            if noisy:
                where = [(at, len(row.said) + index, row.request.noise) for at, row in noisy]
                token = sampled(apply(scores, state, draft.rules), where, draft.to_main, len(self._rules.suppressed))
            else:
                token = likeliest(scores, state, draft.rules, nothing)
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

    def _scores(self, hidden: Tensor) -> Tensor:
        """Logits (B (K + 1), V) of states (B, K + 1, D): right everywhere for rows that need it."""
        if self._rules.guard.on:
            return self._main.logits(hidden.flatten(0, 1))
        noisy = [at for at, row in enumerate(self.rows) if not row.plain]
        if not noisy:
            return self._main.choose(hidden.flatten(0, 1))
        if len(noisy) == len(hidden) or self._device.type != "cpu":  # few shapes
            return self._main.logits(hidden.flatten(0, 1))
        plain = [at for at in range(len(hidden)) if at not in noisy]  # idle slots among them
        every = torch.empty((*hidden.shape[:2], len(self._rules.suppressed)), device=self._device)
        every[plain] = self._main.choose(hidden[plain].flatten(0, 1)).view(len(plain), hidden.shape[1], -1)
        every[noisy] = self._main.logits(hidden[noisy].flatten(0, 1)).view(len(noisy), hidden.shape[1], -1)
        return every.flatten(0, 1)

    def _guarded(self, logits: Tensor, drafted: Tensor) -> Tensor:
        """`logits` (B (K + 1), V) after what each row has said and the proposals (B, K) so far, guarded."""
        if self._rules.guard.on:
            width = drafted.shape[1] + 1
            for at, (row, tokens) in enumerate(zip(self.rows, drafted.tolist(), strict=False)):
                for index in range(width):
                    self._rules.guard.apply(logits[at * width + index], [*row.said, *tokens[:index]])
        return logits

    def _places(self, width: int) -> list[Place]:
        """Where noise is wanted, of `width` scores a row."""
        return [
            (at * width + offset, len(row.said) + offset, row.request.noise)
            for at, row in enumerate(self.rows)
            for offset in range(width)
        ]

    def _listen(self, tokens: Tensor, zeros: Tensor, width: int, start: int) -> int:
        """Feed prompts to the draft as well, unless it is seldom asked; returns how many positions it has heard."""
        seldom = self._device.type == "cpu" and not self._pace.drafts(start + len(tokens))  # elsewhere few shapes count
        if self._draft is None or seldom or width > self._draft.room:
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


def _agreed(said: Sequence[int], proposed: Sequence[int]) -> int:
    """How many of the proposals, from the first on, are what was said."""
    for at, token in enumerate(proposed):
        if token != said[at]:
            return at
    return len(proposed)


def _pick(hidden: Tensor, places: Tensor) -> Tensor:
    """(B, K, D) at one place (B,) of each row: (B, D)."""
    return hidden.gather(1, places.long()[:, None, None].expand(-1, -1, hidden.shape[-1]))[:, 0]


def decode(batch: Batch, requests: Sequence[Request], width: int = 0) -> list[Decoded]:
    """All of `requests`, whose sound is in the slots from the first on, until each has ended."""
    batch.admit([replace(request, owner=index) for index, request in enumerate(requests)], 0, width)
    results: dict[int, Decoded] = {}
    while batch.rows:
        results |= {row.request.owner: batch.result(row) for row in batch.rows if row.answered}
        batch.close()
        if batch.rows:
            batch.round()
    return [results[index] for index in range(len(requests))]
