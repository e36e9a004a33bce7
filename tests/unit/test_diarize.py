"""Who speaks when, on recordings whose samples say it themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from diarization_builders import RATE, FakeSilero, Script, script
from literatim.bench.der import Errors, errors
from literatim.declare import build
from literatim.errors import OptionError
from literatim.pipeline.cluster import Wanted, centroids, cluster, unit
from literatim.pipeline.diarize import HOP, LONGEST, SPEECH, WINDOW, Heard, diarize, hear, windows_of
from literatim.pipeline.turns import STEP, Stretch, joined, likeliest, without_short
from literatim.speaker_options import DiarizeOptions
from literatim.types import Diarization, Turn

PAD = SPEECH.vad_speech_pad_ms / 1000 + 0.04  # around speech, and the frame in which it begins or ends


def found(told: Script, wanted: Wanted, noise: float = 0.8, block: int = RATE) -> Diarization:
    return diarize(hear(told.blocks(block), FakeSilero(), told.embed(noise)), wanted, told.seconds)


@pytest.mark.parametrize("speakers", [1, 2, 3, 4, 6])
def test_turns_are_those_of_the_script(speakers: int) -> None:
    total = Errors()
    for seed in range(3):
        told = script(seed, speakers, 40.0 * (1 + speakers))
        turns = found(told, Wanted(0.3))
        assert len(turns.speakers) == speakers
        total += errors(told.turns, turns.turns, collar=0.25)
        assert errors(told.turns, turns.turns).missed < 0.02 * total.scored
    assert total.rate is not None
    assert total.rate < 0.01


def test_a_diarization_is_whole() -> None:
    told = script(3, 3, 90.0)
    turns = found(told, Wanted(0.3))
    assert turns.speakers == ("SPEAKER_00", "SPEAKER_01", "SPEAKER_02")
    assert [turn.speaker for turn in turns.turns[:1]] == ["SPEAKER_00"]
    assert all(one.end <= other.start for one, other in pairwise(turns.turns))
    assert all(0 <= turn.start < turn.end <= told.seconds for turn in turns.turns)
    assert len(turns.voices) == 3
    assert np.allclose(np.linalg.norm(turns.voices, axis=1), 1, atol=1e-5)
    said = turns.to_dict()
    assert sum(one["seconds"] for one in said["speakers"]) == pytest.approx(
        sum(turn.end - turn.start for turn in turns.turns), abs=0.01
    )


def test_blocks_of_any_size_give_the_same() -> None:
    told = script(4, 3, 60.0)
    assert found(told, Wanted(0.3), block=RATE) == found(told, Wanted(0.3), block=12_345)


def test_who_is_who_changes_no_turn() -> None:
    told = script(5, 3, 60.0)
    other = replace(
        told,
        turns=tuple(replace(turn, speaker=str((int(turn.speaker) + 1) % 3)) for turn in told.turns),
        centres=np.roll(told.centres, 1, axis=0),
    )
    assert [(turn.start, turn.end, turn.speaker) for turn in found(told, Wanted(0.3), noise=0.0).turns] == [
        (turn.start, turn.end, turn.speaker) for turn in found(other, Wanted(0.3), noise=0.0).turns
    ]


def test_a_speaker_who_says_little_is_found_where_so_many_are_asked_for() -> None:
    told = script(6, 2, 60.0)
    short = Turn(64.0, 65.2, "2")
    told = replace(
        told, turns=(*told.turns, short), seconds=70.0, centres=np.vstack([told.centres, -told.centres.sum(0)])
    )
    turns = found(told, Wanted(0.3, least=3, most=3), noise=0.4)
    assert turns.turns[-1].speaker == "SPEAKER_02"
    assert turns.turns[-1].start == pytest.approx(64.0, abs=PAD)
    assert turns.warnings == ()


def test_short_speech_makes_no_speaker() -> None:
    """Windows below a second tell voices badly: however many there are, they join the groups of longer ones."""
    told = script(6, 2, 60.0)
    short = tuple(Turn(62.0 + 1.2 * at, 62.6 + 1.2 * at, "2") for at in range(8))
    told = replace(
        told, turns=(*told.turns, *short), seconds=73.0, centres=np.vstack([told.centres, -told.centres.sum(0)])
    )
    turns = found(told, Wanted(0.3), noise=0.4)
    assert turns.speakers == ("SPEAKER_00", "SPEAKER_01")
    assert turns.turns[-1].end == pytest.approx(short[-1].end, abs=PAD)


def test_each_window_is_the_nearest_speakers() -> None:
    """Average linkage leaves some where they are not; here two rounds are enough."""
    drawn = np.random.default_rng(4)
    centres = drawn.normal(size=(3, 8))
    vectors = (centres[np.arange(90) % 3] + 1.2 * drawn.normal(size=(90, 8))).astype(np.float32)
    spans = tuple((at * 2 * WINDOW, at * 2 * WINDOW + WINDOW) for at in range(90))
    heard = Heard(spans, spans, vectors, tuple(np.ones(WINDOW // STEP, np.float32) for _ in spans))
    voices = np.array(diarize(heard, Wanted(0.3, least=3, most=3), 90 * 2 * WINDOW / RATE).voices)
    units = unit(vectors)
    nearest = (units @ voices.T).argmax(1)
    assert np.allclose(centroids(units, nearest), voices, atol=1e-6)
    alone = cluster(vectors, Wanted(0.3, least=3, most=3))
    assert not (alone == (units @ centroids(units, alone).T).argmax(1)).all()


def test_more_speakers_than_there_is_speech_are_told() -> None:
    told = Script((Turn(1.0, 2.0, "0"),), 3.0, script(0, 1, 10.0).centres)
    turns = found(told, Wanted(0.3, least=3, most=3))
    assert turns.speakers == ("SPEAKER_00",)
    assert turns.warnings == ("1 speaker was found where 3 were asked for",)


def test_silence_has_no_turns() -> None:
    turns = found(Script((), 5.0, script(0, 1, 10.0).centres), Wanted(0.3))
    assert (turns.turns, turns.speakers, turns.voices) == ((), (), ())
    assert turns.warnings == ("no speech was found",)


def test_a_change_is_where_it_is_quiet() -> None:
    """The change lies anywhere between two windows: a short dip says where."""
    told = script(0, 2, 30.0)
    a, b = Turn(1.0, 7.13, "0"), Turn(7.18, 14.0, "1")
    turns = found(replace(told, turns=(a, b)), Wanted(0.3), noise=0.3).turns
    assert len(turns) == 2
    assert turns[0].end == pytest.approx(7.15, abs=0.06)


@pytest.mark.parametrize("length", [1, 399, 16_000, WINDOW, WINDOW + 1, WINDOW + HOP, WINDOW + HOP + 1, 10 * RATE + 77])
def test_windows_cover_a_span(length: int) -> None:
    windows = windows_of(length)
    assert windows[0][0] == 0
    assert 0 <= length - windows[-1][1] < 160
    for (start, end), (after, _) in pairwise(windows):
        assert start < after < end
        assert after - start <= HOP
        assert start % 160 == 0
    assert all(end - start == min(WINDOW, length) for start, end in windows)


def test_half_a_minute_of_sound_is_held_at_most() -> None:
    told, seen = script(8, 4, 200.0, size=32), list[int]()
    embed = told.embed(0.5)

    def watched(samples: torch.Tensor, windows: Sequence[tuple[int, int]]) -> np.ndarray:
        seen.append(len(samples))
        return embed(samples, windows)

    hear(told.blocks(), None, watched)
    assert len(seen) > 5
    assert max(seen) <= LONGEST
    assert sum(seen) == 200 * RATE


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_ten_minutes() -> None:
    """Of fake sound, each in a process of its own: what is kept is vectors, not samples (230 MB an hour)."""

    def peak(seconds: float) -> int:
        lines = (
            "from diarization_builders import FakeSilero, script",
            "from literatim.pipeline.diarize import hear, diarize",
            "from literatim.pipeline.cluster import Wanted",
            f"told = script(8, 4, {seconds}, size=64)",
            f"turns = diarize(hear(told.blocks(), FakeSilero(), told.embed(0.5)), Wanted(0.3), {seconds})",
            "assert len(turns.speakers) == 4, turns.speakers",
            "import resource",
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)",
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True, env=environment
        )
        return int(done.stdout)

    # in KiB; each with each of 4,800 windows are 92 MB at once and as much again for a moment
    assert peak(3600.0) - peak(600.0) < 220_000


def test_the_likeliest_course_is_the_best_of_all() -> None:
    """Against every course of a few steps."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        near = random.normal(size=(6, 3)).astype(np.float32)
        costs = random.uniform(0, 0.1, 6).astype(np.float32)

        def worth(course: tuple[int, ...], near: np.ndarray = near, costs: np.ndarray = costs) -> float:
            changes = sum(costs[at] for at in range(1, 6) if course[at] != course[at - 1])
            return float(sum(near[at, one] for at, one in enumerate(course)) * STEP / RATE - changes)

        best = max(product(range(3), repeat=6), key=worth)
        assert worth(tuple(likeliest(near, costs).tolist())) == pytest.approx(worth(best), abs=1e-6)


def test_short_pauses_are_no_ends_and_short_turns_are_their_neighbours() -> None:
    first, pause, second = Stretch(0, RATE, 0), Stretch(RATE + 100, 2 * RATE, 0), Stretch(2 * RATE, 2 * RATE + 800, 1)
    assert joined([first, pause]) == [Stretch(0, 2 * RATE, 0)]
    assert without_short([pause, second]) == [pause, replace(second, speaker=0)]
    alone = replace(second, start=3 * RATE, end=3 * RATE + 800)
    assert without_short([pause, alone]) == [pause, alone]  # nobody speaks beside it


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_speakers": 2, "min_speakers": 1}, "leave min_speakers out"),
        ({"min_speakers": 4, "max_speakers": 2}, "swap them"),
        ({"num_speakers": 0}, "between 1"),
        ({"num_speakers": 1.5}, "whole number"),
        ({"clustering": "k-means"}, "choose one of"),
        ({"speaker_similarity": 2}, "between -1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build(DiarizeOptions, options)


def test_bounds_of_options() -> None:
    assert (DiarizeOptions().least, DiarizeOptions().most) == (1, 20)
    assert (DiarizeOptions(num_speakers=3).least, DiarizeOptions(num_speakers=3).most) == (3, 3)
    assert DiarizeOptions(min_speakers=30).most == 30


def test_without_a_detector_all_of_it_is_speech() -> None:
    told = script(1, 1, 10.0)
    silence = torch.zeros(RATE)
    heard = hear([silence, silence], None, told.embed(0.1))
    assert heard.spans == ((0, 2 * RATE),)
