"""Options: declared once, checked before use."""

from __future__ import annotations

import math
from dataclasses import Field, FrozenInstanceError, dataclass, fields
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from literatim.declare import build, option
from literatim.errors import OptionError
from literatim.options import AudioOptions, HubOptions, LoadOptions, TranscribeOptions

KINDS = (AudioOptions, HubOptions, LoadOptions, TranscribeOptions)
EVERY = [(kind, item) for kind in KINDS for item in fields(kind)]
each_option = pytest.mark.parametrize(("kind", "item"), EVERY, ids=[f"{k.__name__}-{i.name}" for k, i in EVERY])


@dataclass(frozen=True)
class Sample:
    """Options of every sort."""

    share: float = option(0.5, "a share", minimum=0, maximum=1)
    count: int | None = option(None, "a number", minimum=1)
    colour: str | None = option("red", "a colour", choices=("red", "blue"))
    name: str = option("", "anything")


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_stand_when_nothing_is_given(kind: type[Any]) -> None:
    assert build(kind, {}) == kind()


@pytest.mark.parametrize("kind", KINDS)
def test_options_cannot_be_changed(kind: type[Any]) -> None:
    options = kind()
    with pytest.raises(FrozenInstanceError):
        setattr(options, fields(kind)[0].name, None)


@each_option
def test_option_explains_itself(kind: type[Any], item: Field[Any]) -> None:
    assert item.metadata["help"].strip()
    assert not item.metadata["help"].endswith(".")


@each_option
def test_default_passes_its_own_check(kind: type[Any], item: Field[Any]) -> None:
    assert getattr(build(kind, {item.name: item.default}), item.name) == item.default


@each_option
def test_none_is_the_default_where_it_is_no_value(kind: type[Any], item: Field[Any]) -> None:
    """As beam_size and best_of in openai/whisper's calls."""
    expected = None if "None" in str(item.type) else item.default
    assert getattr(build(kind, {item.name: None}), item.name) == expected


@each_option
def test_bounds_are_refused_from_outside(kind: type[Any], item: Field[Any]) -> None:
    low, high, choices = (item.metadata[key] for key in ("minimum", "maximum", "choices"))
    outside = [low - 1] if low is not None else []
    outside += [high + 1] if high is not None else []
    outside += ["no such choice"] if choices is not None else []
    for value in outside:
        with pytest.raises(OptionError, match=item.name):
            build(kind, {item.name: value})
    inside = [value for value in (low, high, *(choices or ())) if value is not None]
    assert [getattr(build(kind, {item.name: value}), item.name) for value in inside] == inside


def test_no_two_kinds_share_a_name() -> None:
    """The command line gives all of them to one command."""
    shared = [
        (one.__name__, two.__name__, item.name)
        for one, two in combinations(KINDS, 2)
        for item in fields(one)
        if item.name in {other.name for other in fields(two)}
    ]
    assert shared == []


def test_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(OptionError, match=r"unknown option colr, nme; .*share, count, colour, name"):
        build(Sample, {"nme": "x", "colr": "red"})


def test_unknown_choice_is_refused_with_those_there_are() -> None:
    with pytest.raises(OptionError, match=r"colour is 'green'; choose one of red, blue"):
        build(Sample, {"colour": "green"})


@pytest.mark.parametrize("value", [0, 0.0, 0.25, 1, 1.0])
def test_bounds_belong_to_the_range(value: float) -> None:
    assert build(Sample, {"share": value}).share == value


@pytest.mark.parametrize("value", [-0.001, 1.001, math.nan, math.inf, -math.inf])
def test_numbers_outside_are_refused(value: float) -> None:
    with pytest.raises(OptionError, match="share"):
        build(Sample, {"share": value})


@pytest.mark.parametrize("value", [True, False, "0.5", [0.5]])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(OptionError, match="share must be a number"):
        build(Sample, {"share": value})


def test_none_means_not_given() -> None:
    assert build(Sample, {"count": None, "colour": None}) == Sample(count=None, colour=None)


@given(st.floats())
def test_a_number_is_kept_or_refused_never_changed(value: float) -> None:
    if 0 <= value <= 1:
        assert build(Sample, {"share": value}).share == value
    else:
        with pytest.raises(OptionError):
            build(Sample, {"share": value})


@given(st.text())
def test_free_text_is_kept(value: str) -> None:
    assert build(Sample, {"name": value}).name == value


@pytest.mark.parametrize(("name", "value"), [("word_timestamps", "False"), ("word_timestamps", 1)])
def test_true_is_no_text_and_no_number(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match="must be True or False"):
        build(TranscribeOptions, {name: value})


@pytest.mark.parametrize("name", ["append_punctuations", "suppress_tokens", "task"])
def test_text_is_text(name: str) -> None:
    with pytest.raises(OptionError, match=r"must be text|choose one of"):
        build(TranscribeOptions, {name: [".", ","]})
