"""Whether proposals that cost nothing would pay: the rest of a rejected draft, and what followed the same words before.

    python -m literatim.bench.tails FILE.json

Nothing of this is in the decoding loop; this says why. demo-draft's proposals after every true beginning of every
bundled clip are made once, and rounds are then replayed over them:

    draft           as the loop does it: K new proposals each round
    recycle         after a wrong proposal, those behind it are proposed again as they are (SpecASR, arXiv 2507.18181)
    merge           new proposals until one agrees with the rejected ones at its place, whose rest then follows
    lookup          what followed the last two tokens where the clip had them before (prompt lookup), else nothing
    lookup, draft   the same, else new proposals

The seconds of a token are those of the rounds replayed: of a plain round, of each further position that the main model
checks, and of each step of the draft, all measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from literatim.api import load
from literatim.bench import spec_clips
from literatim.bench.margins import heard
from literatim.decode.rules import RowState, Rules, apply
from literatim.options import TranscribeOptions
from literatim.pipeline.engine import Engine

MOST = 8
NGRAM = 2
TIMES = 200  # repeated, for the median


@dataclass(frozen=True)
class Text:
    """What a clip's tokens are, the end too, and what the draft proposes after each true beginning of them."""

    said: tuple[int, ...]
    proposals: tuple[tuple[int, ...], ...]


@dataclass
class Replay:
    """Counts over all clips."""

    tokens: int = 0
    rounds: int = 0
    checked: int = 0  # proposals that the main model was given
    steps: int = 0  # of the draft
    accepted: int = 0


@dataclass(frozen=True)
class Seconds:
    """What parts of a round take."""

    plain: float
    position: float
    step: float

    def of(self, replay: Replay) -> float:
        """A token's."""
        spent = self.plain * replay.rounds + self.position * replay.checked + self.step * replay.steps
        return spent / replay.tokens


Source = Callable[[Text, int, Sequence[int], int], tuple[Sequence[int], int]]
"""Proposals at a place, at most so many, with what is left of a rejected draft; and the draft's steps for them."""


def draft(text: Text, at: int, left: Sequence[int], most: int) -> tuple[Sequence[int], int]:  # noqa: ARG001
    """As the loop does it."""
    return text.proposals[at][:most], most


def recycle(text: Text, at: int, left: Sequence[int], most: int) -> tuple[Sequence[int], int]:
    """What is left, else new ones."""
    return (left[:most], 0) if left else draft(text, at, left, most)


def merge(text: Text, at: int, left: Sequence[int], most: int) -> tuple[Sequence[int], int]:
    """New ones up to the first that agrees with what is left."""
    fresh = text.proposals[at][:most]
    for place, (mine, other) in enumerate(zip(fresh, left, strict=False)):
        if mine == other and len(left) > place + 1:
            return [*fresh[: place + 1], *left[place + 1 :]][:most], place + 1
    return fresh, most


def lookup(text: Text, at: int, left: Sequence[int], most: int) -> tuple[Sequence[int], int]:  # noqa: ARG001
    """What followed the same words."""
    last = text.said[at - NGRAM : at] if at >= NGRAM else ()
    for before in range(at - NGRAM - 1, -1, -1) if last else ():
        if text.said[before : before + NGRAM] == last:
            return text.said[before + NGRAM : at][:most], 0
    return (), 0


def lookup_draft(text: Text, at: int, left: Sequence[int], most: int) -> tuple[Sequence[int], int]:
    """What followed the same words, else new ones."""
    found, steps = lookup(text, at, left, most)
    return (found, steps) if found else draft(text, at, left, most)


SOURCES: dict[str, Source] = {
    "draft": draft, "recycle": recycle, "merge": merge, "lookup": lookup, "lookup, draft": lookup_draft
}  # fmt: skip


def replay(texts: Sequence[Text], source: Source, most: int) -> Replay:
    """The rounds of all clips; a clip's first token comes with the prompt."""
    found = Replay()
    for text in texts:
        at, left = 1, list[int]()
        while at < len(text.said):
            tried, steps = source(text, at, left, most)
            good = 0
            while good < len(tried) and at + good < len(text.said) and tried[good] == text.said[at + good]:
                good += 1
            left = list(tried[good + 1 :])
            found.rounds, found.checked, found.steps = found.rounds + 1, found.checked + len(tried), found.steps + steps
            found.accepted += good
            at += good + 1
        found.tokens += len(text.said) - 1
    return found


def behind(texts: Sequence[Text]) -> dict[str, float]:
    """How often the proposal right behind a wrong one is right, and how often a new one in its place."""
    wrong = [
        (text, at) for text in texts for at in range(1, len(text.said) - 1) if text.proposals[at][0] != text.said[at]
    ]
    kept = sum(text.proposals[at][1] == text.said[at + 1] for text, at in wrong)
    new = sum(text.proposals[at + 1][0] == text.said[at + 1] for text, at in wrong)
    return {"rejected": kept / max(1, len(wrong)), "new": new / max(1, len(wrong))}


def proposals(engine: Engine, prompt: list[int], said: list[int], rules: Rules) -> tuple[tuple[int, ...], ...]:
    """MOST of them after each beginning of `said`; the clip must have been heard last."""
    assert engine.assistant is not None
    drafter = engine.assistant.draft(rules)
    after = RowState.start(1, rules, engine.device).after(_ints(said[:1]), rules).translated(rules, drafter.rules)
    made: list[tuple[int, ...]] = [()]
    with engine.at_work():
        drafter.network.feed(drafter.own(_ints([prompt])), _ints([0]), len(prompt))
        for at in range(1, len(said)):
            token, place, row = _ints([[said[at - 1]]]), len(prompt) + at - 1, list[int]()
            for offset in range(MOST):
                length = min(place + offset, engine.config.target_positions - 1)
                hidden = drafter.network.feed(drafter.own(token), _ints([length]), length + 1)[:, 0]
                best = apply(drafter.network.choose(hidden), after, drafter.rules).argmax(-1).int()
                row.append(int(drafter.main(best)))
                token = _ints([row[-1:]])
            made.append(tuple(row))
    return tuple(made)


def measured(engine: Engine, rules: Rules) -> Seconds:
    """Medians on the clip that was heard last."""
    assert engine.assistant is not None
    main, drafter = engine._decoder(rules.suppressed), engine.assistant.draft(rules)
    lengths, tokens = _ints([20]), _ints([[100] * (MOST + 1)])

    def main_pass(count: int) -> None:
        main.choose(main.feed(tokens[:, :count], lengths, 20 + count)[0]).argmax(-1)

    def draft_step() -> None:
        drafter.network.choose(drafter.network.feed(tokens[:, :1], lengths, 21)[0]).argmax(-1)

    with engine.at_work():
        plain, long, step = (_median(work) for work in (lambda: main_pass(1), lambda: main_pass(MOST + 1), draft_step))
    return Seconds(plain, max(0.0, (long - plain) / MOST), step)


def _median(work: Callable[[], None]) -> float:
    times = []
    for _ in range(TIMES):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _ints(values: list[int] | list[list[int]]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


def study(limit: int | None = None) -> dict[str, Any]:
    """What the file holds: for each source the number of proposals that is best for it, and all of them."""
    engine = load("demo", assistant="demo-draft", device="cpu")._engine
    rules = engine.rules(TranscribeOptions(without_timestamps=True))
    texts = []
    for clip in spec_clips.read(spec_clips.cases()[:limit], engine.config):
        prompt, said = heard(engine, clip, rules)
        texts.append(Text(tuple(said), proposals(engine, prompt, said, rules)))
    seconds = measured(engine, rules)
    kinds = [(name, most) for name in SOURCES for most in range(1, MOST + 1)]
    rows = [_row(name, most, replay(texts, SOURCES[name], most), seconds) for name, most in kinds]
    best = {name: min((row for row in rows if row["source"] == name), key=lambda row: row["ms"]) for name in SOURCES}
    parts = {name: 1000 * value for name, value in vars(seconds).items()}
    found = {"clips": len(texts), "ms": parts, "behind_a_wrong_one": behind(texts), "best": best, "rows": rows}
    return {"made": "python -m literatim.bench.tails", **found}


def _row(name: str, most: int, found: Replay, seconds: Seconds) -> dict[str, Any]:
    return {
        "source": name,
        "proposals": most,
        "tokens_a_round": found.tokens / found.rounds,
        "accepted": found.accepted / found.checked if found.checked else 0.0,
        "draft_steps_a_token": found.steps / found.tokens,
        "ms": 1000 * seconds.of(found),
        "speed_up": seconds.plain / seconds.of(found),
    }


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--limit", type=int, help="only the first so many clips")
    given = parser.parse_args()
    given.file.write_text(json.dumps(study(given.limit), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
