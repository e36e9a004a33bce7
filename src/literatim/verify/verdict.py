"""From figures to a verdict: which places are not as they should be, which is the likeliest, and what is wrong with it.

A place is judged by its own error, on the reference's inputs, as a multiple of the noise floor. What strikes only now
and then may have missed that run: so the first place from which the run left to itself strays is a suspect as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from literatim.verify import grades
from literatim.verify.golden import ALL, CONV, PLAIN
from literatim.verify.independent import Place
from literatim.verify.sites import CHOICE, RULES
from literatim.verify.types import (
    FAIL,
    PASS,
    WARN,
    Call,
    Deviation,
    Drafted,
    EndToEnd,
    ModuleFigures,
    Suspect,
    TokenFigures,
    Verdict,
)

WARN_RATIO, FAIL_RATIO = 5.0, 8.0  # times the noise floor, on the reference's inputs
STRAYED, STRAYED_ROW = (
    16.0,
    64.0,
)  # times the noise floor, in the run left to itself: of a result, of a single row of it
MOST_SUSPECTS = 8


@dataclass(frozen=True)
class Expectation:
    """What is granted to a device: the grade of products and convolutions, and whether the floor has it built in.

    `asked` is what the user granted (`--expect`); None where it follows from dtype and device.
    """

    dtype: str
    matmul: str
    conv: str
    asked: str | None = None

    @classmethod
    def of(cls, dtype: str, flags: Mapping[str, Any], asked: str | None) -> Expectation:
        """From `device.precision_flags`."""
        by_flags = (grades.expected(dtype, flags, "matmul"), grades.expected(dtype, flags, "conv"))
        matmul, conv = (asked, asked) if asked is not None else by_flags
        return cls(dtype, matmul, conv, asked)

    @property
    def floor(self) -> str:
        """The floor that has what is granted in it."""
        if self.dtype != "float32":
            return PLAIN
        coarse = {name: getattr(self, name) == grades.TF32 for name in ("matmul", "conv")}
        return ALL if coarse["matmul"] else CONV if coarse["conv"] else PLAIN

    def of_call(self, op: str) -> str:
        """The grade of one operation."""
        return self.conv if op.startswith("conv") else self.matmul if op in _PRODUCTS else self._least()

    @property
    def lenient(self) -> bool:
        """Whether more is granted than any floor has in it, so that the grade alone is judged."""
        own = grades.OF_DTYPE[self.dtype]
        coarsest = max(self.matmul, self.conv, key=grades.GRADES.index)
        return coarsest != own and not (coarsest == grades.TF32 and self.dtype == "float32")

    def _least(self) -> str:
        own = grades.OF_DTYPE[self.dtype]
        return own if not self.lenient else max(self.matmul, self.conv, own, key=grades.GRADES.index)


_PRODUCTS = frozenset({"linear", "matmul", "bmm", "baddbmm", "addmm", "scaled_dot_product_attention"})


def modules(
    own: Mapping[str, Call], through: Mapping[str, Call], expectation: Expectation
) -> tuple[ModuleFigures, ...]:
    """Every place of the network, in the order in which it is first reached."""
    by_site: dict[str, list[str]] = {}
    for key, call in own.items():
        by_site.setdefault(call.module, []).append(key)
    return tuple(
        _module(depth, [own[key] for key in keys], [through[key] for key in keys], expectation)
        for depth, keys in enumerate(by_site.values())
    )


def _module(depth: int, own: list[Call], through: list[Call], expectation: Expectation) -> ModuleFigures:
    worst = max(own, key=lambda call: call.deviation.ratio)
    strayed = max(through, key=lambda call: straying(call.deviation))
    states = [_status(call, expectation) for call in own]
    return ModuleFigures(
        name=worst.module,
        op=worst.op,
        depth=depth,
        calls=len(own),
        own=worst.deviation,
        through=strayed.deviation,
        ratio=worst.deviation.ratio,
        grade=grade_of(worst, expectation.dtype),
        expected=expectation.of_call(worst.op),
        status=FAIL if FAIL in states else WARN if WARN in states else PASS,
        bad_calls=sum(state == FAIL for state in states),
        worst=worst,
    )


def grade_of(call: Call, dtype: str) -> str:
    """The name of a call's own error."""
    found = call.deviation
    if found.differing is not None:
        return grades.BROKEN if found.differing else grades.OF_DTYPE[dtype]
    return grades.grade(found.error, call.plain, dtype, call.grid, found.not_finite)


def straying(found: Deviation) -> float:
    """How many times the CPU's error a result has in the run left to itself."""
    if found.differing is not None:
        return 0.0  # an id that was chosen otherwise is judged by its margin
    if found.not_finite:
        return math.inf
    return max(found.ratios["whole"], found.ratios["row"])


def _has_strayed(found: Deviation) -> bool:
    """A single row may be far off by chance: where attention hangs in the balance, rounding decides what it hears."""
    if found.differing is not None:
        return False
    return bool(found.not_finite) or found.ratios["whole"] > STRAYED or found.ratios["row"] > STRAYED_ROW


def _status(call: Call, expectation: Expectation) -> str:
    found = call.deviation
    if found.differing or found.not_finite:
        return FAIL
    if expectation.lenient:
        fine = grades.acceptable(grade_of(call, expectation.dtype), expectation.of_call(call.op))
        return PASS if fine else FAIL
    return FAIL if found.ratio > FAIL_RATIO else WARN if found.ratio > WARN_RATIO else PASS


def first_strayed(through: Mapping[str, Call]) -> Call | None:
    """The first call from which the run left to itself is beyond the floor; None where it never is.

    The rules cut off scores where others outweigh them, so that a difference there may come of a tie.
    """
    for call in through.values():
        if call.module not in {RULES, CHOICE} and _has_strayed(call.deviation):
            return call
    return None


def verdict(
    found: Sequence[ModuleFigures],
    through: Mapping[str, Call],
    end_to_end: Sequence[EndToEnd],
    expectation: Expectation,
    rule: str,
    apart: Place | None = None,
    drafted: Sequence[Drafted] = (),
) -> Verdict:
    """By the noise floor (`rule` floor), or by the rule of the published ports (`1pct`), which asks for less.

    With a draft the tokens have to be the same under either.
    """
    suspects = (*_suspects(found, through, expectation), *([] if apart is None else [_apart(apart)]))
    speculated = [_parted(item, token) for item in drafted for token in item.tokens if not token.same]
    if rule == "1pct":
        reasons = [*(sentence for item in end_to_end for sentence in _one_percent(item)), *speculated]
        return Verdict(FAIL if reasons else PASS, tuple(reasons), suspects)
    reasons = [f"{suspect.module}: {suspect.evidence}" for suspect in suspects]
    reasons += [sentence for item in end_to_end for sentence in _not_finite(item)]
    reasons += [sentence for item in end_to_end for sentence in _strayed_vectors(item)]
    reasons += [_parted(item, token) for item in end_to_end for token in item.tokens if not token.same]
    reasons += speculated
    if reasons:
        return Verdict(FAIL, tuple(reasons), suspects)
    warnings = tuple(
        f"{item.name}: {item.ratio:.1f} times the error of the CPU" for item in found if item.status == WARN
    )
    return Verdict(WARN if warnings else PASS, warnings)


def _suspects(
    found: Sequence[ModuleFigures], through: Mapping[str, Call], expectation: Expectation
) -> tuple[Suspect, ...]:
    bad = sorted((item for item in found if item.status == FAIL), key=lambda item: (-item.ratio, item.depth))
    suspects = [
        Suspect(item.name, item.worst.op, item.grade, item.ratio, _evidence(item)) for item in bad[:MOST_SUSPECTS]
    ]
    strayed = None if expectation.lenient else first_strayed(through)
    if strayed is not None and not any(item.name == strayed.module for item in bad):
        ratio = straying(strayed.deviation)
        grade = grade_of(strayed, expectation.dtype)
        evidence = f"the run left to itself strays from here on ({strayed.stage}), {_times(ratio, strayed.deviation)}"
        suspects.append(Suspect(strayed.module, strayed.op, grade, ratio, evidence))
    return tuple(suspects)


def _apart(place: Place) -> Suspect:
    """Where the CPU and transformers first part."""
    size, floor = (item.relative_rms or 0.0 for item in (place.found, place.floor))
    evidence = f"beside transformers the CPU's result is {place.grade}-grade (relative error {size:.2g})"
    return Suspect(place.name, "forward", place.grade, size / floor if floor else math.inf, evidence)


def _evidence(item: ModuleFigures) -> str:
    own, calls = item.own, f"in {item.bad_calls} of {item.calls} calls" if item.calls > 1 else "in its one call"
    where = f"{calls}, worst at {item.worst.stage}"
    if own.differing:
        return f"{own.differing} of {own.elements} values of {item.worst.op} are not what they must be {where}"
    grade = item.grade if item.grade == grades.BROKEN else f"{item.grade}-grade"
    return f"{item.worst.op} is {grade} where {item.expected} is expected, {_times(item.ratio, own)} {where}"


def _times(ratio: float, found: Deviation) -> str:
    if found.not_finite:
        return f"{found.not_finite} values are not finite"
    side = max(found.ratios, key=lambda name: found.ratios[name])
    return f"{ratio:.3g} times the CPU's error (relative error {found.error:.2g}, by {side})"


def _parted(item: EndToEnd | Drafted, token: TokenFigures) -> str:
    return (
        f"{token.clip}: token {token.first_difference} differs from {item.against}"
        + (f", whose margin is {token.margin:.3g}" if token.margin is not None else ", which the rules do not allow")
        + (f" where rounding moves {token.noise:.2g}" if token.noise is not None else "")
    )


def _not_finite(item: EndToEnd) -> list[str]:
    """Figures leave out what is no number, so that it has to be said."""
    counts = {
        "the encoder": item.encoder.get("not_finite", 0),
        "the logits": item.logits.get("raw", {}).get("not_finite", 0),
        "the vectors": item.vectors.get("not_finite", 0),
    }
    return [f"{name} against {item.against}: {count} values are not finite" for name, count in counts.items() if count]


def _strayed_vectors(item: EndToEnd) -> list[str]:
    """One vector of many that is far off, where those that were watched are not: what strikes now and then."""
    worst = item.vectors.get("relative_max", 0.0)
    usual = max(item.vectors.get("watched", 0.0), item.floor.get("vectors", {}).get("relative_max", 0.0))
    if not worst > STRAYED_ROW * usual:
        return []
    return [f"vectors against {item.against}: one is off by {worst:.2g} of its length, those watched by {usual:.2g}"]


def _one_percent(item: EndToEnd) -> tuple[str, ...]:
    same = all(token.first_difference is None for token in item.tokens) if item.tokens else None
    probability = item.logits.get("probability_max_abs")
    embedding = math.inf if item.vectors.get("not_finite") else item.vectors.get("relative_max")
    return grades.one_percent(probability, embedding, same)
