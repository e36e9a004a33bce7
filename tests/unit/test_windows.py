"""The walk through a recording: openai/whisper's seek rules on cases worked by hand, and what always holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from literatim.pipeline.pieces import Piece, Window, split
from literatim.pipeline.windows import Walk

BEGIN = 100  # the id of <|0.00|>; ids below are text
WINDOW = 200  # mel frames: 100 steps of 20 ms
A, B, C = 1, 2, 3


def at(step: int) -> int:
    """The timestamp token `step` times 20 ms after the window's start."""
    return BEGIN + step


def text_of(tokens: Sequence[int]) -> str:
    """Letters for text tokens; 0 is a space."""
    return "".join(" abcdefghi"[token] for token in tokens if token < 10)


CASES: dict[str, tuple[list[int], list[tuple[float, float, list[int]]], int]] = {
    # name: tokens, (start, end, tokens) of the pieces, frames to go on by
    "two segments, the last with a lone end": (
        [at(0), A, at(50), at(50), B, at(90)],
        [(0.0, 1.0, [at(0), A, at(50)]), (1.0, 1.8, [at(50), B, at(90)])],
        WINDOW,
    ),
    "the last segment has no end: it is heard again": (
        [at(0), A, at(50), at(60), B, C],
        [(0.0, 1.0, [at(0), A, at(50)])],
        100,
    ),
    "ends with a pair": ([at(10), A, at(50), at(50)], [(0.2, 1.0, [at(10), A, at(50)])], 100),
    "three segments and a pair": (
        [at(0), A, at(10), at(20), B, at(30), at(40), C, at(70), at(80)],
        [(0.0, 0.2, [at(0), A, at(10)]), (0.4, 0.6, [at(20), B, at(30)]), (0.8, 1.4, [at(40), C, at(70)])],
        140,
    ),
    "one segment with a lone end": ([at(0), A, B, at(30)], [(0.0, 0.6, [at(0), A, B, at(30)])], WINDOW),
    "one segment that begins late": ([at(10), A, at(30)], [(0.0, 0.6, [at(10), A, at(30)])], WINDOW),
    "a beginning and no end": ([at(0), A, B], [(0.0, 2.0, [at(0), A, B])], WINDOW),
    # openai/whisper takes the only timestamp for the end, even where it was the beginning
    "a late beginning and no end": ([at(10), A, B], [(0.0, 0.2, [at(10), A, B])], WINDOW),
    "no timestamps": ([A, B], [(0.0, 2.0, [A, B])], WINDOW),
    "a timestamp only": ([at(0)], [(0.0, 2.0, [at(0)])], WINDOW),
    "nothing": ([], [(0.0, 2.0, [])], WINDOW),
    "a lone pair": ([at(20), at(30)], [(0.4, 0.4, [at(20)])], 40),
}


@pytest.mark.parametrize("name", CASES)
def test_split_by_hand(name: str) -> None:
    tokens, expected, advance = CASES[name]
    pieces, found = split(tokens, Window(0, WINDOW), BEGIN)
    assert found == advance
    assert [piece.tokens for piece in pieces] == [tuple(tokens) for *_, tokens in expected]
    times = [time for piece in pieces for time in (piece.start, piece.end)]
    assert times == pytest.approx([time for start, end, _ in expected for time in (start, end)], abs=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_split_further_into_the_recording(name: str) -> None:
    tokens, expected, advance = CASES[name]
    pieces, found = split(tokens, Window(1234, WINDOW), BEGIN)
    assert found == advance
    times = [time for piece in pieces for time in (piece.start, piece.end)]
    expected_times = [12.34 + time for start, end, _ in expected for time in (start, end)]
    assert times == pytest.approx(expected_times, abs=1e-9)


def test_a_short_last_window_ends_with_its_own_frames() -> None:
    pieces, advance = split([A], Window(400, 60), BEGIN)
    assert (pieces[0].start, pieces[0].end) == pytest.approx((4.0, 4.6))
    assert advance == 60


def walk(total: int = 1000, prompt: Sequence[int] = (), conditioned: bool = True) -> Walk:
    return Walk(total, WINDOW, prompt, conditioned)


def take(walk: Walk, *tokens: int) -> list[Piece]:
    return walk.accept(tokens, BEGIN, text_of)


def test_windows_follow_the_last_complete_segment() -> None:
    way = walk(total=450)
    assert way.window == Window(0, 200)
    take(way, at(0), A, at(45), at(50), B)  # the next window begins where a ended, not where b does
    assert way.window == Window(90, 200)
    take(way, at(0), B, at(70))
    assert way.window == Window(290, 160)  # what is left
    take(way, A)
    assert way.window is None
    assert way.seek == 450


def test_an_exact_number_of_windows_has_no_empty_one_after() -> None:
    way = walk(total=2 * WINDOW)
    take(way, A)
    assert way.window == Window(WINDOW, WINDOW)
    take(way, A)
    assert way.window is None


def test_a_recording_shorter_than_a_frame_has_no_window() -> None:
    assert walk(total=0).window is None


def test_pieces_without_text_or_length_are_left_out() -> None:
    way = walk()
    pieces = take(way, at(0), 0, at(10), at(10), A, at(20), at(20), at(20), B, at(30), at(30))
    assert [piece.text for piece in pieces] == ["a", "b"]
    assert way.prompt(99) == [at(10), A, at(20), at(20), B, at(30)]


def test_text_keeps_its_space() -> None:
    (piece,) = take(walk(), at(0), 0, A, at(10))
    assert piece.text == " a"


def test_a_skipped_window_leaves_the_prompt_alone() -> None:
    way = walk(prompt=[A])
    way.skip()
    assert way.window == Window(200, 200)
    assert way.prompt(99) == [A]
    way = walk(prompt=[A], conditioned=False)
    way.skip()
    assert way.prompt(99) == [A]  # as in openai/whisper, where a silent window changes nothing


def test_the_prompt_is_what_was_said_before() -> None:
    way = walk(prompt=[7, 8])
    assert way.prompt(99) == [7, 8]
    take(way, at(0), A, at(50), at(50), B)
    assert way.prompt(99) == [7, 8, at(0), A, at(50)]
    take(way, at(0), C, at(90))
    said = [7, 8, at(0), A, at(50), at(0), C, at(90)]
    assert way.prompt(99) == said
    assert way.prompt(3) == said[-3:]
    assert way.prompt(0) == []


def test_without_conditioning_only_the_first_window_has_the_initial_prompt() -> None:
    way = walk(prompt=[7, 8], conditioned=False)
    assert way.prompt(99) == [7, 8]
    take(way, at(0), A, at(50), at(50))
    assert way.prompt(99) == []
    take(way, at(0), B, at(50), at(50))
    assert way.prompt(99) == []


def _spoken(frames: int) -> st.SearchStrategy[list[int]]:
    """What the rules let a model say in a window of `frames`: pairs of times that never go back."""
    step = st.integers(0, frames // 2)
    segment = st.tuples(step, step, st.lists(st.integers(0, 9), max_size=3))

    def legal(segments: list[Any]) -> list[int]:
        tokens, last = [], 0
        for first, length, text in segments:
            begin = min(max(first, last), frames // 2)
            last = min(begin + length % 20, frames // 2)
            tokens += [at(begin), *text, at(last)]
        return tokens

    whole = st.lists(segment, max_size=4).map(legal)
    return st.tuples(whole, st.booleans()).map(lambda pair: pair[0][:-1] if pair[1] else pair[0])


@settings(max_examples=150, deadline=None)
@given(total=st.integers(0, 900), data=st.data(), conditioned=st.booleans(), skips=st.integers(0, 3))
def test_a_walk_ends_and_its_pieces_lie_within(total: int, data: st.DataObject, conditioned: bool, skips: int) -> None:
    way = walk(total, [A], conditioned)
    seek = way.seek
    while (window := way.window) is not None:
        assert window.seek == seek < total
        assert 0 < window.frames <= min(WINDOW, total - seek)
        if skips and data.draw(st.booleans()):
            skips -= 1
            way.skip()
            pieces = []
        else:
            pieces = way.accept(data.draw(_spoken(window.frames)), BEGIN, text_of)
        for piece in pieces:
            assert window.seek * 0.01 - 1e-9 <= piece.start < piece.end
            assert piece.end <= (window.seek + window.frames) * 0.01 + 1e-9
            assert piece.text.strip()
        assert len(way.prompt(5)) <= 5
        assert conditioned or way.prompt(99) in ([], [A])
        assert way.seek > seek
        seek = way.seek
    assert seek == total


@settings(max_examples=100, deadline=None)
@given(total=st.integers(1, 900), data=st.data())
def test_a_walk_ends_whatever_is_said(total: int, data: st.DataObject) -> None:
    way = walk(total)
    windows = 0
    while way.window is not None:
        windows += 1
        way.accept(data.draw(st.lists(st.integers(0, BEGIN + 110), max_size=6)), BEGIN, text_of)
        assert windows <= total
    assert way.seek == total


# parts of a recording, and what is carried along


def test_parts_are_walked_through_one_after_another() -> None:
    """Windows end with their part; a part without a frame, or behind the recording, is passed."""
    way = Walk(1000, WINDOW, (), True, clips=[(100, 350), (40, 90), (500, 500), (900, 5000), (2000, 3000)])
    seen = []
    while way.window is not None:
        seen.append((way.window.seek, way.window.frames))
        way.skip()
    assert seen == [(100, 200), (300, 50), (40, 50), (900, 100)]
    assert way.seek == 1000


def test_a_part_behind_the_recording_is_none() -> None:
    assert Walk(1000, WINDOW, (), True, clips=[(1000, 2000)]).window is None


def test_what_is_carried_along_stands_before_what_was_said() -> None:
    way = Walk(1000, WINDOW, (), True, carried=[1, 2, 3])
    assert way.prompt(5) == [1, 2, 3]
    take(way, A, B, C)
    assert way.prompt(5) == [1, 2, 3, B, C]
    assert way.prompt(3) == [1, 2, 3]
    assert way.prompt(2) == [1, 2]


def test_only_the_first_window_is_the_first() -> None:
    way = walk()
    assert way.first
    way.skip()
    assert not way.first


@pytest.mark.parametrize(("temperature", "told"), [(0.5, [A, B]), (0.6, [])])
def test_text_of_a_high_temperature_is_forgotten(temperature: float, told: list[int]) -> None:
    way = walk()
    way.accept([A, B], BEGIN, text_of, temperature=temperature)
    assert way.prompt(9) == told
