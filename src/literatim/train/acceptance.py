"""How well a draft foretells the main model, and what that is worth on this device: `literatim draft measure`."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from literatim.decode.network import Draft
from literatim.decode.pace import Pace
from literatim.decode.rules import RowState, Rules, apply
from literatim.options import TranscribeOptions
from literatim.pipeline.assistant import Assistant
from literatim.pipeline.engine import Engine
from literatim.train.hear import Heard, hear
from literatim.train.student import read, unpacked

MOST = 8  # proposals a round


@dataclass(frozen=True)
class Rounds:
    """Speculative decoding of some windows with a fixed number of proposals."""

    rounds: int
    tokens: int  # that the rounds gave
    accepted: int
    judged: int  # proposals that were right or the first wrong one of their round

    def __add__(self, other: Rounds) -> Rounds:
        return Rounds(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    @property
    def tokens_per_round(self) -> float:
        """What a round gives; plain decoding gives one."""
        return self.tokens / self.rounds if self.rounds else 1.0

    @property
    def acceptance(self) -> float:
        """Share of the proposals that are right, those before them in the round being right."""
        return self.accepted / self.judged if self.judged else 0.0


@dataclass(frozen=True)
class Judged:
    """One window: which of the tokens said, the end among them, are the draft's likeliest; `most` could be said."""

    right: Sequence[bool]
    most: int


@dataclass
class Clip:
    """One recording, window by window."""

    windows: list[Judged] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens said."""
        return sum(len(window.right) for window in self.windows)

    @property
    def foretold(self) -> float:
        """Share of them that the draft foretells, those before being given."""
        return sum(sum(window.right) for window in self.windows) / max(self.tokens, 1)

    def rounds(self, proposals: int) -> Rounds:
        """As the decoding loop would run."""
        return sum((rounds(window, proposals) for window in self.windows), Rounds(0, 0, 0, 0))


def rounds(window: Judged, proposals: int) -> Rounds:
    """The rounds of one window, whose first token comes with the prompt.

    A round gives the right proposals up to the first wrong one, and the main model's own token after them, for which
    there must be room.
    """
    right, at, count, accepted, judged = window.right, 1, 0, 0, 0
    while at < len(right):
        tried = right[at : min(at + proposals, window.most - 1)]
        good = next((place for place, hit in enumerate(tried) if not hit), len(tried))
        accepted, judged = accepted + good, judged + min(good + 1, len(tried))
        at, count = at + good + 1, count + 1
    return Rounds(count, max(0, len(right) - 1), accepted, judged)


class Timed(Pace):
    """Proposes 0, 1, ... MOST tokens by turns, and remembers the seconds of each kind of round."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = 0
        self.seconds: dict[int, list[float]] = {}

    def proposals(self, rows: int, most: int) -> int:  # noqa: ARG002
        """Of at most `most`."""
        self._turn += 1
        return max(0, min(self._turn % (MOST + 1), most))

    def drafts(self, rows: int) -> bool:  # noqa: ARG002
        """It does."""
        return True

    def saw(self, rows: int, proposals: int, seconds: float, tried: Sequence[tuple[int, int]]) -> None:  # noqa: ARG002
        """A round took so long."""
        self.seconds.setdefault(proposals, []).append(seconds)


def measure(
    engine: Engine, recordings: Iterable[Tensor], options: TranscribeOptions
) -> tuple[list[Clip], dict[int, float]]:
    """A clip for each of the recordings (S,), and the median seconds of a round by its number of proposals.

    The engine must have an assistant.
    """
    before, engine.pace = engine.pace, (pace := Timed())
    try:
        clips = judge(engine, recordings, options)
    finally:
        engine.pace = before
    return clips, {count: statistics.median(times) for count, times in sorted(pace.seconds.items())}


def judge(engine: Engine, recordings: Iterable[Tensor], options: TranscribeOptions) -> list[Clip]:
    """A clip for each of the recordings (S,); the engine must have an assistant."""
    assistant, rules = engine.assistant, engine.rules(options)
    assert assistant is not None, "load the model with an assistant"
    clips: list[Clip] = []
    for heard in hear(engine, recordings, options, assistant.encoder):
        clips += [Clip() for _ in range(heard.recording + 1 - len(clips))]
        with engine.at_work(), unpacked(assistant.steps, assistant.decoder.config.decoder_layers):
            clips[heard.recording].windows.append(Judged(foretold(assistant, heard, rules), heard.most))
    return clips


def foretold(assistant: Assistant, heard: Heard, rules: Rules) -> list[bool]:
    """For each token said, whether it is the draft's likeliest under the rules, those before being given."""
    draft = assistant.draft(rules)
    tokens = torch.tensor([*heard.prompt, *heard.said], dtype=torch.int32, device=heard.states.device)
    hidden = read(assistant.decoder, heard.states[None], draft.own(tokens[None, :-1]))[0, len(heard.prompt) - 1 :]
    said = tokens[len(heard.prompt) :]
    return (likeliest(draft, hidden, said, rules) == said).tolist()


def likeliest(draft: Draft, hidden: Tensor, said: Tensor, rules: Rules) -> Tensor:
    """The draft's choice (K,) int32, in the main model's ids, at each place of `said` (K,), from states (K, D)."""
    start = RowState.start(1, rules, said.device)
    logits = draft.network.choose(hidden)
    chosen = [apply(logits[:1], start.translated(rules, draft.rules), draft.rules).argmax(-1)]
    if len(said) > 1:
        along = start.after(said[:1], rules).along(said[None, 1:-1], rules)
        chosen.append(apply(logits[1:], along.translated(rules, draft.rules), draft.rules).argmax(-1))
    return draft.main(torch.cat(chosen).to(torch.int32))


def figures(clip: Clip) -> dict[str, Any]:
    """What a report says of one recording, or of several together."""
    table = {count: clip.rounds(count) for count in range(1, MOST + 1)}
    return {
        "windows": len(clip.windows),
        "tokens": clip.tokens,
        "foretold": round(clip.foretold, 4),
        "acceptance": round(table[MOST].acceptance, 4),
        "tokens_per_round": {str(count): round(item.tokens_per_round, 3) for count, item in table.items()},
    }


def together(clips: Iterable[Clip]) -> Clip:
    """Several recordings as one."""
    return Clip([window for clip in clips for window in clip.windows])


def speed_ups(clip: Clip, seconds: dict[int, float]) -> dict[str, float]:
    """Tokens a second against plain decoding, by the number of proposals; those whose rounds were timed."""
    return {
        str(count): round(clip.rounds(count).tokens_per_round * seconds[0] / seconds[count], 3)
        for count in range(1, MOST + 1)
        if 0 in seconds and count in seconds
    }
