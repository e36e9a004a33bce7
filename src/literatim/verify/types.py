"""What the parts of `verify` hand to each other: figures of places in the network, of tokens, a verdict, a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1
"""Of the report's JSON; a change that a reader must know of is a new number."""

PASS, WARN, FAIL = "pass", "warn", "fail"


@dataclass(frozen=True)
class Deviation:
    """How far a tensor is from the truth (`error`), and how far the CPU in the same dtype is (`floor`).

    Both are root mean squares of the difference by that of the truth; 0 where the results are the same to the last
    bit. `ratios` compare the device with the CPU from several sides, by name: `whole` the two above, `row` and
    `channel` the worst vector along the last dimension and across it, so that one bad row among hundreds is not
    averaged away, `gain` a common factor, which rounding has not. 1 is as good as the CPU. `max_abs`: the largest
    difference. `not_finite`: values that are NaN or infinite where the truth is not, or the reverse. `differing`:
    elements of a result that has to be exact (ids, masks, copies) and is not; None for arithmetic.
    """

    elements: int
    error: float
    floor: float
    ratios: Mapping[str, float]
    max_abs: float
    cosine: float
    not_finite: int = 0
    differing: int | None = None

    @property
    def ratio(self) -> float:
        """The largest of the ratios; infinite where values are not finite or an exact result is not exact."""
        if self.not_finite or self.differing:
            return math.inf
        return max(self.ratios.values(), default=0.0)


@dataclass(frozen=True)
class Call:
    """One operation of a run: its place in the order of all, its module, and what came out of it.

    `stage` is where in the work it was: `encoder`, `language`, `prompt`, `step 1`, ... `plain` is the floor without
    shortened factors, where `deviation` was held against one with them; `grid` is `figures.lattice` of a suspicious
    result.
    """

    index: int
    module: str
    op: str
    stage: str
    shape: tuple[int, ...]
    dtype: str
    deviation: Deviation
    plain: float = 0.0
    grid: str | None = None


@dataclass(frozen=True)
class ModuleFigures:
    """One place of the network over all its calls, in the order of their first.

    `name` is a module's (`encoder.layers.0.attention.qkv`) or that of a part without a module of its own
    (`encoder.layers.0.attention.product`, `.add`, `decoder.rules`). `own`: its worst call when every operation is given
    the reference's inputs, so that the error is this module's alone. `through`: its worst call in a run left to itself,
    with all errors from before it. `ratio` is the one that is judged (see `verdict`); `bad_calls` of `calls` were
    beyond it, and `worst` says which was the worst.
    """

    name: str
    op: str
    depth: int
    calls: int
    own: Deviation
    through: Deviation
    ratio: float
    grade: str
    expected: str
    status: str
    bad_calls: int
    worst: Call


@dataclass(frozen=True)
class TokenFigures:
    """One clip's greedy tokens beside the reference's.

    `first_difference` is an index of `reference`, None where there is none; there, `margin` is how far the fp64 logits
    (after the rules) of the two tokens are apart, `noise` what the same dtype on the CPU changes them by, and `tie`
    whether the margin is within it, so that either token is right. `wer` counts against the reference's text; `truth`
    and `truth_wer` (device, reference) against the words that were said, where they are known. `pieces` is the text of
    each token of both.
    """

    clip: str
    reference: tuple[int, ...]
    device: tuple[int, ...]
    reference_text: str
    device_text: str
    first_difference: int | None = None
    margin: float | None = None
    noise: float | None = None
    tie: bool = False
    wer: float | None = None
    truth: str | None = None
    truth_wer: tuple[float, float] | None = None
    pieces: Mapping[int, str] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether the tokens are, or differ from a tie on."""
        return self.first_difference is None or self.tie


@dataclass(frozen=True)
class EndToEnd:
    """The whole way, against one reference (`against`: fp64, the CPU in the same dtype, transformers, ...).

    `encoder` and `logits` hold the published figures by name, as `figures` computes them: raw, of probabilities, and
    with each position's mean removed (a shift of all logits changes no probability). `floor` holds the same of the CPU
    in the same dtype. `positions` are those at which logits were compared. A network for voices has `vectors` alone,
    and under that name in `floor`: the figures of `speakers`, those of pairs beginning with `scores_`.
    """

    against: str
    encoder: Mapping[str, Any]
    logits: Mapping[str, Any]
    floor: Mapping[str, Any]
    positions: int
    tokens: tuple[TokenFigures, ...]
    vectors: Mapping[str, Any] = field(default_factory=dict)

    @property
    def greedy_match(self) -> float:
        """Share of clips with the same tokens, ties granted."""
        return sum(item.same for item in self.tokens) / len(self.tokens) if self.tokens else 1.0


@dataclass(frozen=True)
class Drafted:
    """The device with a draft beside the device without it: tokens, and how many of those proposed were right."""

    assistant: str
    proposed: int
    accepted: int
    tokens: tuple[TokenFigures, ...]

    @property
    def against(self) -> str:
        """What the tokens are compared with."""
        return f"the device without {self.assistant}"


@dataclass(frozen=True)
class Suspect:
    """A place where a fault may sit, the likeliest first: `op` is the operation inside, `evidence` a sentence."""

    module: str
    op: str
    grade: str
    ratio: float
    evidence: str


@dataclass(frozen=True)
class Verdict:
    """`status` is pass, warn or fail; each reason is a sentence. A warning is no failure."""

    status: str
    reasons: tuple[str, ...]
    suspects: tuple[Suspect, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: as it should be; 1: it is not."""
        return int(self.status == FAIL)


@dataclass(frozen=True)
class Report:
    """All that a run found. `settings` are the options it ran under, `environment` is the fingerprint.

    `reference` says how and where the reference was made. `zoom` holds, for the likeliest suspect, the operations
    inside it; `drafted` what an assistant did to the tokens. `to_dict` and the page are in `report` and `page`.
    """

    model: str
    device: str
    dtype: str
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    reference: Mapping[str, Any]
    verdict: Verdict
    end_to_end: tuple[EndToEnd, ...]
    modules: tuple[ModuleFigures, ...]
    zoom: tuple[Call, ...] = ()
    drafted: tuple[Drafted, ...] = ()
    schema: int = SCHEMA
