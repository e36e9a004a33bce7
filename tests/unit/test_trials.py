"""Trial lists in the forms they come in, and scores beside plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from literatim.bench import trials_draw
from literatim.bench.trial_vectors import Kept, by_speaker
from literatim.bench.trials import as_norm, cohort_statistics, cosines, read_trials, summary
from literatim.errors import OptionError

VOXCELEB = "1 id1/a.wav id1/b.wav\n0 id1/a.wav id2/c.wav\n\n"


def _list(folder: Path, text: str) -> Path:
    path = folder / "trials.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_three_forms_say_the_same(tmp_path: Path) -> None:
    forms = [
        VOXCELEB,
        "id1/a.wav id1/b.wav target\nid1/a.wav id2/c.wav nontarget\n",
        "id1/a.wav id1/b.wav 0.75 target\nid1/a.wav id2/c.wav -0.1 nontarget\n",
        "1\tid1/a.wav\tid1/b.wav\r\n0\tid1/a.wav\tid2/c.wav",
    ]
    for form in forms:
        found = read_trials(_list(tmp_path, form))
        assert found.names == ("id1/a.wav", "id1/b.wav", "id2/c.wav")
        assert found.pairs.tolist() == [[0, 1], [0, 2]]
        assert found.same.tolist() == [True, False]
        assert (None if found.scores is None else found.scores.tolist()) == ([0.75, -0.1] if "0.75" in form else None)
    spaces = read_trials(_list(tmp_path, "1\ta voice.wav\tb.wav\n"))
    assert spaces.names == ("a voice.wav", "b.wav")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no trials in it"),
        (VOXCELEB + "2 a b\n", "line 4: '2 a b' is no trial"),
        ("1 a\n", "line 1"),
        ("a b nan target", "line 1"),
        ("a b high target", "line 1"),
        ("a b 0.5 target\n1 a b\n", "1 of 2 trials have a score"),
    ],
)
def test_what_is_no_list(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        read_trials(_list(tmp_path, text))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="No such file"):
        read_trials(tmp_path / "none")
    with pytest.raises(OptionError, match="give a text file"):
        read_trials(tmp_path)
    (tmp_path / "sound").write_bytes(b"RIFF\xff\xfe\x80")
    with pytest.raises(OptionError, match="give a text file"):
        read_trials(tmp_path / "sound")


def test_recordings_that_failed_leave_their_trials_out(tmp_path: Path) -> None:
    found = read_trials(_list(tmp_path, VOXCELEB + "0 id1/b.wav id2/c.wav\n"))
    left = found.among(np.array([True, False, True]))
    assert left.pairs.tolist() == [[0, 2]]
    assert left.same.tolist() == [False]


def _vectors(count: int, seed: int = 0, width: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width)) + 0.3


def test_scores_are_cosines_however_many() -> None:
    vectors = _vectors(9).astype(np.float32)
    pairs = np.random.default_rng(1).integers(0, 9, (40_000, 2))
    found = cosines(vectors, pairs)
    for at in (0, 17_000, 39_999):
        assert found[at] == pytest.approx(1 - cosine(*vectors[pairs[at]].astype(float)), abs=1e-9)


@pytest.mark.parametrize("top", [5, 300])
def test_normalisation_beside_a_plain_loop(top: int) -> None:
    vectors, cohort = _vectors(700), _vectors(40, 2)
    pairs = np.random.default_rng(3).integers(0, 700, (50, 2))
    scores = cosines(vectors, pairs)
    found = as_norm(scores, pairs, cohort_statistics(vectors, cohort, top))
    for at, (one, two) in enumerate(pairs):
        sides = []
        for side in (one, two):
            best = sorted((1 - cosine(vectors[side], other) for other in cohort), reverse=True)[:top]
            sides.append((scores[at] - np.mean(best)) / np.std(best))
        assert found[at] == pytest.approx(np.mean(sides), abs=1e-9)


def test_normalisation_mends_what_all_recordings_share() -> None:
    """Each has some of one common part, more or less, which makes those with much of it alike."""
    random = np.random.default_rng(5)
    which, width = random.integers(0, 60, 600), 32
    own = random.standard_normal((60, width))[which] + 0.7 * random.standard_normal((600, width))
    vectors = own + random.uniform(0, 2, (600, 1))
    cohort = random.standard_normal((400, width)) + random.uniform(0, 2, (400, 1))
    pairs = random.integers(0, 600, (20_000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    same = which[pairs[:, 0]] == which[pairs[:, 1]]
    plain = cosines(vectors, pairs)
    normalised = as_norm(plain, pairs, cohort_statistics(vectors, cohort, 100))
    assert summary(normalised, same, 0.01)["eer"] < 0.7 * summary(plain, same, 0.01)["eer"]


def test_cohorts_that_say_nothing() -> None:
    with pytest.raises(OptionError, match="cohort of 1"):
        cohort_statistics(_vectors(3), _vectors(1))
    with pytest.raises(OptionError, match="all alike"):
        cohort_statistics(_vectors(3), np.ones((5, 12)))


def test_a_speaker_of_a_cohort_is_the_mean_of_directions() -> None:
    """However long the vectors are; a file in no folder is a speaker of its own."""
    along = np.eye(3, dtype=np.float32)
    kept = Kept("", found={"anna/1.wav": 9 * along[0], "anna/b/2.wav": along[1], "c.wav": 5 * along[2]})
    means = by_speaker(kept, ["anna/1.wav", "anna/b/2.wav", "unread.wav", "c.wav"])
    assert means.tolist() == [[0.5, 0.5, 0], [0, 0, 1]]
    with pytest.raises(OptionError, match="none of the cohort"):
        by_speaker(kept, ["unread.wav"])


def test_the_summary_at_a_threshold() -> None:
    scores, same = np.array([0.9, 0.4, 0.6, 0.1]), np.array([True, True, False, False])
    found = summary(scores, same, 0.5, 0.5)
    assert found["at"] == {"threshold": 0.5, "refused": 0.5, "taken": 0.5}
    assert found["eer"] == 0.5
    assert found["min_dcf"] == 0.5  # at 0.7 one of two is refused and none is taken
    alone = summary(scores[:2], same[:2], 0.01, 0.5)
    assert alone == {"eer": None, "eer_threshold": None, "min_dcf": None, "prior": 0.01}


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_drawing(tmp_path: Path, suffix: str) -> None:
    random = np.random.default_rng(0)
    same = random.random(500) < 0.5
    scores = np.where(same, 0.7, 0.2) + 0.1 * random.standard_normal(500)
    for name in "ab":
        trials_draw.draw(scores, same, 0.45, "a title", tmp_path / f"{name}.{suffix}")
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    assert first == second
    if suffix == "svg":
        text = first.decode()
        assert "threshold 0.450" in text
        assert f"two speakers, {int((~same).sum())} pairs" in text
