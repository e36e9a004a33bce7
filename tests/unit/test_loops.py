"""Loops: what is one, where it is cut, and that other text is left alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from literatim.api import Recognizer, load
from literatim.decode.loops import LENGTH, TIMES, Loop, find
from literatim.pipeline import loops
from literatim.pipeline.pieces import Piece, Window, split
from literatim.pipeline.windows import Walk
from literatim.types import Word
from whisper_builders import random_whisper_folder, rewrite

BEGIN, WINDOW = 1000, 3000
RATE = 16_000


def is_text(token: int) -> bool:
    return token < BEGIN


def at(seconds: float) -> int:
    """The timestamp token so many seconds after the window's start."""
    return BEGIN + round(50 * seconds)


def text_of(tokens: Any) -> str:
    return "".join(f" {token}" for token in tokens if is_text(token))


@pytest.mark.parametrize(
    ("tokens", "loop"),
    [
        ([1, 2, 3] + [7] * 20, Loop(3, 1, 20)),
        ([1, 2, 3] + [7] * 19, None),
        ([1, 2, 3] + [7, 8, 9, 6] * 5, Loop(3, 4, 5)),
        ([1, 2, 3] + [7, 8, 9, 6] * 5 + [7, 8], Loop(3, 4, 5)),
        ([1, 2, 3] + [7, 8, 9, 6] * 4 + [7, 8, 9], None),
        ([4, 5, 6, 7, 8, 9, 10] * 5, Loop(0, 7, 5)),
        ([1, 1, 2] * 7, Loop(0, 3, 7)),
        ([1] + [4, 5] * 12 + [1, 2, 3], None),
        ([], None),
        (list(range(200)), None),
    ],
)
def test_what_is_a_loop(tokens: list[int], loop: Loop | None) -> None:
    assert find(tokens) == loop


@given(
    st.lists(st.integers(0, 50), max_size=20, unique=True),
    st.lists(st.integers(51, 99), min_size=1, max_size=9, unique=True),
    st.integers(1, 30),
)
def test_a_loop_at_the_end_is_found_whole(before: list[int], unit: list[int], times: int) -> None:
    found = find([*before, *unit * times])
    if times < TIMES or times * len(unit) < LENGTH:
        assert found is None
    else:
        assert found == Loop(len(before), len(unit), times)


@given(st.lists(st.sampled_from([1, 2, 3]), max_size=60))
def test_a_loop_is_what_it_is_said_to_be(tokens: list[int]) -> None:
    loop = find(tokens)
    if loop is not None:
        unit, rest = tokens[loop.start : loop.start + loop.length], tokens[loop.start :]
        assert rest == (unit * (loop.times + 1))[: len(rest)]
        assert len(rest) // loop.length == loop.times >= TIMES
        assert len(rest) >= LENGTH
        assert loop.start == 0 or tokens[loop.start - 1] != tokens[loop.start - 1 + loop.length]


# what is kept of a window


def cut_pieces(pieces: Sequence[Piece]) -> list[Piece]:
    return loops.cut(pieces, is_text)


def cut(tokens: list[int]) -> list[Piece]:
    return cut_pieces(split(tokens, Window(0, WINDOW), BEGIN)[0])


def test_segments_of_the_same_text_are_kept_once() -> None:
    tokens = [at(0), 1, 2, at(2)]
    for second in range(2, 14):
        tokens += [at(second), 7, 8, at(second + 1)]
    pieces = cut(tokens)
    assert [(piece.start, piece.end, piece.tokens) for piece in pieces] == [
        (0, 2, (at(0), 1, 2, at(2))),
        (2, 3, (at(2), 7, 8, at(3))),
    ]
    assert [piece.repeats for piece in pieces] == [0, 11]


def test_within_a_segment_its_end_stays() -> None:
    (piece,) = cut([at(0), 1, 2, 3, *[7, 8] * 12, at(20)])
    assert piece == Piece(0, 20, (at(0), 1, 2, 3, 7, 8, at(20)), repeats=11)


def test_what_begins_like_the_end_of_the_loop_is_no_part_of_a_word_cut_in_two() -> None:
    """I thank you. Thank you. Thank you. ...: the cycle is found from "you" on, and cut after a full stop."""
    i, thank, you, capital, stop = 1, 2, 3, 4, 5
    (piece,) = cut([i, thank, you, stop, *[capital, you, stop] * 9])
    assert piece.tokens == (i, thank, you, stop, capital, you, stop)
    assert piece.repeats == 8


def test_segments_without_length_are_not_counted() -> None:
    """They are not told, so that what is kept may not be one."""
    tokens = [at(1), 7, 8, at(1)]
    for second in range(1, 13):
        tokens += [at(second), 7, 8, at(second + 1)]
    pieces = cut(tokens)
    assert [(piece.start, piece.end, piece.repeats) for piece in pieces] == [(1, 1, 0), (1, 2, 11)]


@pytest.mark.parametrize("tokens", [[], [at(0)], [at(0), 1, 2, 3, at(2)], [at(0), *[7] * 19, at(9)]])
def test_other_windows_stay_as_they_are(tokens: list[int]) -> None:
    assert cut(tokens) == split(tokens, Window(0, WINDOW), BEGIN)[0]


# the way through a recording


def walk() -> Walk:
    return Walk(10 * WINDOW, WINDOW, (), True)


def accept(way: Walk, tokens: list[int], *, on: bool = True) -> list[Piece]:
    return way.accept(tokens, BEGIN, text_of, cut=cut_pieces if on else None)


@pytest.mark.parametrize("on", [True, False])
def test_a_loop_is_no_condition_and_the_window_is_done(on: bool) -> None:
    way = walk()
    accept(way, [at(0), 1, 2, at(29)], on=on)
    assert way.prompt(99) == [at(0), 1, 2, at(29)]
    (piece,) = accept(way, [at(0), *[7, 8] * 20, at(29)], on=on)
    assert (way.prompt(99) == []) is on
    assert way.seek == 2 * WINDOW
    assert piece.tokens == ((at(0), 7, 8, at(29)) if on else (at(0), *[7, 8] * 20, at(29)))


def test_with_words_a_window_with_a_loop_is_done_as_without() -> None:
    """The words that are kept end long before the loop did."""

    def align(pieces: Sequence[Piece], _: float) -> list[Piece]:
        return [replace(piece, words=(Word(" x", 0.0, 1.0, 0.5),)) for piece in pieces]

    way = walk()
    way.accept([at(0), *[7, 8] * 20, at(20), at(20)], BEGIN, text_of, align=align, cut=cut_pieces)
    assert way.seek == 2000


@pytest.mark.parametrize("on", [True, False])
def test_the_same_text_window_after_window_is_no_condition(on: bool) -> None:
    way, kept = walk(), []
    for tokens in ([1, 2], [1, 2], [3], [1, 2], [1, 2], [1, 2], [1, 2], [3]):
        accept(way, tokens, on=on)
        kept.append(len(way.prompt(99)))
    assert kept == ([2, 4, 5, 7, 9, 0, 0, 1] if on else [2, 4, 5, 7, 9, 11, 13, 14])


def test_silence_between_is_not_the_same_text() -> None:
    way = walk()
    for tokens in ([1], [1], [], [1], [1], [1, 2]):
        accept(way, tokens)
    assert len(way.prompt(99)) == 6


# whole recordings


@pytest.fixture(scope="module")
def stuck(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    """A random network without positions in its text, which says the same on and on."""
    folder = random_whisper_folder(tmp_path_factory.mktemp("stuck"), 3, end_gain=0.0)
    positions = "model.decoder.embed_positions.weight"
    rewrite(folder, lambda tensors: {**tensors, positions: 0 * tensors[positions]})
    return load(folder, device="cpu", assistant="none")


@pytest.mark.parametrize("strategy", ["sequential", "batched"])
def test_the_result_says_so(strategy: str, stuck: Recognizer) -> None:
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 5 * RATE).astype(np.float32)
    asked: dict[str, Any] = {"language": "en", "no_speech_threshold": None, "temperature": 0.0}
    asked |= {"without_timestamps": True, "strategy": strategy, "vad_filter": False}
    found, whole = (stuck.transcribe(samples, cut_loops=on, **asked) for on in (True, False))
    looped = [segment for segment in found.segments if segment.repeats]
    assert looped
    assert not any(segment.repeats for segment in whole.segments)
    assert whole.warnings == ()
    (warning,) = found.warnings
    for segment in looped:
        assert f"{segment.start:.2f} s ({segment.repeats} repeats)" in warning
    assert [item.get("repeats", 0) for item in json.loads(json.dumps(found.to_dict()))["segments"]] == [
        segment.repeats for segment in found.segments
    ]
    first, other = looped[0], next(item for item in whole.segments if item.seek == looped[0].seek)
    assert other.tokens[: len(first.tokens)] == first.tokens
    assert len(other.tokens) > len(first.tokens) + 15


def test_the_result_of_chunks_says_so(stuck: Recognizer) -> None:
    """Of each window of a chunk the loop is cut before the chunks are put together."""
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 5 * RATE).astype(np.float32)
    asked: dict[str, Any] = {"language": "en", "no_speech_threshold": None, "temperature": 0.0}
    asked |= {"without_timestamps": True, "strategy": "chunked", "stride_length_s": 0.0}
    (found,), (whole,) = (stuck.transcribe(samples, cut_loops=on, **asked).segments for on in (True, False))
    assert found.repeats > 0 == whole.repeats
    assert len(found.tokens) < len(whole.tokens) - found.repeats
    assert f"({found.repeats} repeats)" in stuck.transcribe(samples, **asked).warnings[0]
