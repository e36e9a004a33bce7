"""Two runs of verify beside each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import verify_builders as built
from literatim.errors import OptionError
from literatim.verify.baseline import compare
from literatim.verify.report import from_dict, to_dict
from literatim.verify.types import PASS, WARN, Report, Verdict

CLEAN = built.passed()


def test_a_run_is_as_itself() -> None:
    for made in (built.report(), CLEAN, from_dict(to_dict(built.report()))):
        found = compare(made, made)
        assert found.sentences == ("as the baseline",)
        assert (found.worse, found.better, found.changed, found.differs) == ((), (), (), ())


def _place(report: Report, index: int, **changes: Any) -> Report:
    places = list(report.modules)
    places[index] = replace(places[index], **changes)
    return replace(report, modules=tuple(places))


def _logits(report: Report, factor: float) -> Report:
    whole = report.end_to_end[0]
    raw = {**whole.logits["raw"], "relative_rms": whole.logits["raw"]["relative_rms"] * factor}
    return replace(report, end_to_end=(replace(whole, logits={**whole.logits, "raw": raw}),))


CHANGES: dict[str, tuple[Callable[[], Report], str]] = {
    "verdict": (lambda: replace(CLEAN, verdict=Verdict(WARN, ())), "the verdict, warn against pass"),
    "grade": (lambda: _place(CLEAN, 3, grade="tf32-hf32"), "attention.out, tf32-hf32-grade against fp32"),
    "ratio": (lambda: _place(CLEAN, 3, ratio=40.0), "attention.out, 40 times the CPU's error against 1.1"),
    "figure": (lambda: _logits(CLEAN, 5.0), "logits against float64, relative error 0.0051 against 0.001"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_worse_one_way_is_better_the_other(name: str) -> None:
    make, said = CHANGES[name]
    changed = make()
    (sentence,) = compare(CLEAN, changed).worse
    assert said in sentence
    back = compare(changed, CLEAN)
    assert back.worse == ()
    assert len(back.better) == 1
    assert compare(CLEAN, changed).sentences == (f"worse than the baseline: {sentence}",)


@pytest.mark.parametrize("made", [_place(CLEAN, 3, ratio=2.9), _place(CLEAN, 3, status=WARN), _logits(CLEAN, 2.5)])
def test_a_small_move_is_none(made: Report) -> None:
    assert compare(CLEAN, made).sentences == ("as the baseline",)


def test_other_letters_are_told_though_they_may_be_a_tie() -> None:
    whole = CLEAN.end_to_end[0]
    other = replace(whole, tokens=(replace(whole.tokens[0], device=(1, 2)),))
    found = compare(CLEAN, replace(CLEAN, end_to_end=(other,)))
    assert found.changed == ("same, other letters from token 1 on",)
    assert found.worse == ()


def test_places_that_one_of_them_has() -> None:
    fewer = replace(CLEAN, modules=CLEAN.modules[1:])
    name = CLEAN.modules[0].name
    assert compare(CLEAN, fewer).changed == (f"{name} is not there any more",)
    assert compare(fewer, CLEAN).changed == (f"{name} is new",)


def test_what_they_were_made_with_is_told() -> None:
    environment = {**CLEAN.environment, "cpu": "another", "date": "2027-01-01"}
    other = replace(CLEAN, environment=environment, device="npu:1", settings={**CLEAN.settings, "rule": "1pct"})
    found = compare(CLEAN, other).differs
    assert len(found) == 2
    assert "cpu A & B / another" in found[0]
    assert "device npu:0 / npu:1" in found[0]
    assert "rule ratio / 1pct" in found[1]


def test_another_model_or_dtype_cannot_be_compared() -> None:
    with pytest.raises(OptionError, match=r"another dtype \(float32\) than this run \(float16\)"):
        compare(CLEAN, replace(CLEAN, dtype="float16"))
    with pytest.raises(OptionError, match="another model"):
        compare(CLEAN, replace(CLEAN, model="other"))
    known = [replace(CLEAN, environment={"model": {"sha256": letter * 64}}, model=letter) for letter in "ab"]
    with pytest.raises(OptionError, match="another model"):
        compare(*known)
    moved = replace(known[0], model="the same weights by another name")
    assert compare(known[0], moved).worse == ()
    assert moved.verdict.status == PASS
