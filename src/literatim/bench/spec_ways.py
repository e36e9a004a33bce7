"""The ways to decode that `bench spec` compares: ours without and with a draft, by the clock, round by round."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from literatim import device as devices
from literatim.bench.runners import OURS
from literatim.bench.runners.base import Ids
from literatim.decode.pace import AdaptivePace, Pace
from literatim.decode.rows import Decoded
from literatim.decode.rules import Rules
from literatim.pipeline.engine import Engine


@dataclass(frozen=True)
class Group:
    """Windows that are decoded together: features (M, T) of each, none without an encoder, and their prompts.

    Each row says `most` tokens at most; `languages` are those of the prompts. With fewer `slots` than windows, the next
    window takes the place of one that has ended.
    """

    features: Sequence[Tensor]
    prompts: Sequence[Sequence[int]]
    languages: Sequence[str]
    most: int | None
    slots: int | None = None

    def __len__(self) -> int:
        return len(self.prompts)


@dataclass(frozen=True)
class Round:
    """A round of the loop: rows, proposals a row, seconds, how many of all proposals were right and were judged."""

    rows: int
    proposals: int
    seconds: float
    right: int
    judged: int


@dataclass(frozen=True)
class Run:
    """A group decoded once: seconds of the encoder (with keys and values of its states) and of all after it."""

    encoder: float
    decoder: float
    ids: Ids
    rounds: tuple[Round, ...] = ()


class Way(Protocol):
    """One program at one dtype, with a draft or without."""

    dtype: str

    @property
    def name(self) -> str:
        """The program's."""
        ...

    @property
    def package(self) -> str:
        """The distribution whose version is shown."""
        ...

    @property
    def what(self) -> str:
        """How it decodes, for the tables."""
        ...

    @property
    def drafted(self) -> bool:
        """Whether a draft helps it."""
        ...

    @property
    def most_rows(self) -> int | None:
        """That it decodes together, None for any number."""
        ...

    def begin(self, groups: Sequence[Group]) -> list[Run]:
        """Untimed runs of the groups that come now, to warm up; the last of each is returned."""
        ...

    def run(self, index: int) -> Run:
        """The group of this number by the clock."""
        ...


class Watch(Pace):
    """Another pace, and a note of every round."""

    def __init__(self, inner: Pace) -> None:
        super().__init__()
        self._inner = inner
        self.rounds: list[Round] = []

    def proposals(self, rows: int, most: int) -> int:
        """The other's."""
        return self._inner.proposals(rows, most)

    def drafts(self, rows: int) -> bool:
        """The other's."""
        return self._inner.drafts(rows)

    def saw(self, rows: int, proposals: int, seconds: float, tried: Sequence[tuple[int, int]]) -> None:
        """Note it, and tell the other."""
        right, judged = (sum(numbers) for numbers in zip(*tried, strict=True))
        self.rounds.append(Round(rows, proposals, seconds, right, judged))
        self._inner.saw(rows, proposals, seconds, tried)


@contextmanager
def with_pace(engine: Engine, pace: Pace, drafted: bool) -> Iterator[None]:
    """The engine at this pace, and as if it had no assistant where it shall not draft."""
    before = engine.assistant, engine.pace
    engine.pace = pace
    if not drafted:
        engine.assistant = None
    try:
        yield
    finally:
        engine.assistant, engine.pace = before


@dataclass
class Ours:
    """An engine; without an encoder, made-up keys and values stand for sound. `proposals`: fixed, else what pays."""

    engine: Engine
    rules: Rules
    dtype: str
    drafted: bool
    what: str
    hears: bool = True
    proposals: int | None = None
    warmup: int = 1
    name: str = OURS
    package: str = OURS
    most_rows: int | None = None
    _groups: Sequence[Group] = field(default_factory=list)
    _pace: Pace = field(default_factory=Pace)

    def begin(self, groups: Sequence[Group]) -> list[Run]:
        """With a pace that knows nothing yet."""
        self._groups = groups
        if not self.hears:
            make_up_sound(self.engine, max(group.slots or len(group) for group in groups))
        if self.drafted:
            self._pace = AdaptivePace() if self.proposals is None else Pace(self.proposals)
        for _ in range(self.warmup - 1):
            for index in range(len(groups)):
                self.run(index)
        return [self.run(index) for index in range(len(groups))]

    def run(self, index: int) -> Run:
        """By the clock."""
        engine, group, watch = self.engine, self._groups[index], Watch(self._pace)
        with with_pace(engine, watch, self.drafted):
            start = time.perf_counter()
            if self.hears:
                engine.listen(list(group.features))
                devices.synchronize(engine.device)
            middle = time.perf_counter()
            if group.slots is None:
                found = engine.decode(group.prompts, self.rules, group.most)
            else:
                found = in_slots(engine, group, self.rules, group.slots)
            devices.synchronize(engine.device)
            end = time.perf_counter()
        return Run(middle - start, end - middle, [list(row.tokens) for row in found], tuple(watch.rounds))


def in_slots(engine: Engine, group: Group, rules: Rules, slots: int) -> list[Decoded]:
    """All windows of a group, so many at once, as `transcribe` does it; the sound is the same in every slot."""
    waiting = deque(replace(engine.request(prompt, group.most), owner=at) for at, prompt in enumerate(group.prompts))
    results: dict[int, Decoded] = {}
    with engine.at_work():
        batch = engine.batch(rules)
        while waiting or batch.rows:
            next_ones = [waiting.popleft() for _ in range(min(slots - len(batch.rows), len(waiting)))]
            if next_ones:
                batch.admit(next_ones, len(batch.rows), engine.width([request.prompt for request in next_ones]))
            if not any(row.finished for row in batch.rows):
                batch.round()
            results |= {row.request.owner: batch.result(row) for row in batch.rows if row.finished}
            batch.close()
    return [results[at] for at in range(len(group))]


def make_up_sound(engine: Engine, rows: int) -> None:
    """Fill caches with keys and values of random states, the same in each row: a decode may move its rows."""
    engine.reserve(rows)
    like, config = engine.model.decoder.positions, engine.config
    states = torch.randn((1, config.source_positions, config.d_model), generator=torch.Generator().manual_seed(0))
    decoders = [(engine.steps, engine._cache)]
    if engine.assistant is not None:
        decoders.append((engine.assistant.steps, engine.assistant._cache))
    for steps, cache in decoders:
        assert cache is not None
        with engine.at_work():
            steps.listen(states.to(like.device, like.dtype), cache, slice(0, 1))
        for row in range(1, rows):
            cache.move(0, row, 0)


def speculation(rounds: Sequence[Round]) -> dict[str, Any]:
    """What a draft did in these rounds; `by_proposals` has the median times of those with all rows at work."""
    judged, right = (sum(getattr(item, name) for item in rounds) for name in ("judged", "right"))
    rows = max((item.rows for item in rounds), default=0)
    passes = sum(item.rows for item in rounds)
    kinds = sorted({item.proposals for item in rounds})
    return {
        "acceptance": right / judged if judged else None,
        "accepted_a_round": right / passes if passes else 0.0,
        "rounds": len(rounds),
        "by_proposals": [_kind(kind, [item for item in rounds if item.proposals == kind], rows) for kind in kinds],
    }


def _kind(proposals: int, rounds: Sequence[Round], rows: int) -> dict[str, Any]:
    full = sorted(item.seconds for item in rounds if item.rows == rows)
    middle = 1000 * full[len(full) // 2] if full else None
    return {"proposals": proposals, "rounds": len(rounds), "full_rounds": len(full), "median_ms": middle}
