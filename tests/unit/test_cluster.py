"""Vectors to speakers, on random geometry, beside SciPy's linkage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from literatim.errors import OptionError
from literatim.pipeline.cluster import Wanted, agglomerate, cluster, full, ordered, unit

METHODS = ("agglomerative", "spectral")


def drawn(seed: int, speakers: int, count: int, noise: float = 0.6, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (N, E) around unit vectors, of lengths from 0.5 to 2, and whose each is; the first of each come first."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(speakers, size))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    labels = np.concatenate([np.arange(speakers), random.integers(speakers, size=count - speakers)])
    vectors = centres[labels] + noise * random.normal(size=(count, size)) / np.sqrt(size)
    return (vectors * random.uniform(0.5, 2, (count, 1))).astype(np.float32), labels


def are_the_same(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("speakers", [1, 2, 3, 5, 8])
def test_speakers_are_found_and_counted(method: str, speakers: int) -> None:
    for seed in range(5):
        vectors, labels = drawn(seed, speakers, 40 * speakers)
        found = cluster(vectors, Wanted(0.3, method=method))
        assert are_the_same(found, labels)
        assert list(dict.fromkeys(found.tolist())) == list(range(speakers))  # in order of appearance


@given(st.integers(0, 10_000), st.sampled_from(METHODS))
@settings(max_examples=15, deadline=None)
def test_the_order_of_the_vectors_changes_no_group(seed: int, method: str) -> None:
    random = np.random.default_rng(seed)
    vectors, labels = drawn(seed, int(random.integers(1, 6)), 150)
    order = random.permutation(len(vectors))
    found = cluster(vectors[order], Wanted(0.3, method=method))
    assert are_the_same(found, labels[order])


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_labels_even_where_nothing_is_clear(method: str) -> None:
    vectors, _ = drawn(1, 4, 300, noise=2.5)
    wanted = Wanted(0.3, least=4, most=4, method=method, seed=3)
    first = cluster(vectors, wanted)
    np.random.default_rng(9).normal(size=10)
    assert (cluster(vectors, wanted) == first).all()


@given(st.integers(0, 10_000), st.integers(2, 40))
@settings(max_examples=40, deadline=None)
def test_average_linkage_is_scipys(seed: int, count: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    units = unit(vectors)
    merges = agglomerate(units, np.ones(count))
    theirs = linkage(units.astype(np.float64), "average", "cosine")
    assert np.allclose([distance for _, _, distance in merges], theirs[:, 2], atol=1e-5)


def test_groups_with_a_weight_go_on_as_their_members_would() -> None:
    vectors, _ = drawn(4, 6, 60, noise=1.2)
    units = unit(vectors)
    theirs = linkage(units.astype(np.float64), "average", "cosine")
    fine = fcluster(theirs, 20, "maxclust") - 1
    weights = np.bincount(fine).astype(float)
    means = np.stack([units[fine == label].mean(0) for label in range(len(weights))])
    merges = agglomerate(means, weights)
    assert np.allclose([distance for _, _, distance in merges], theirs[-len(merges) :, 2], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("asked", [1, 2, 4, 6])
def test_as_many_speakers_as_are_asked_for(method: str, asked: int) -> None:
    vectors, labels = drawn(2, 4, 200)
    found = cluster(vectors, Wanted(0.3, least=asked, most=asked, method=method))
    assert found.max() + 1 == asked
    if asked == 4:
        assert are_the_same(found, labels)


@pytest.mark.parametrize("method", METHODS)
def test_bounds_hold(method: str) -> None:
    vectors, _ = drawn(2, 4, 200)
    assert cluster(vectors, Wanted(0.3, least=2, most=3, method=method)).max() + 1 in (2, 3)
    assert cluster(vectors, Wanted(0.3, least=5, most=9, method=method)).max() + 1 in range(5, 10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_few_vectors_are_no_trouble(method: str, count: int) -> None:
    vectors, _ = drawn(3, count, count)
    assert len(cluster(vectors, Wanted(0.3, method=method))) == count
    assert cluster(vectors, Wanted(0.3, least=9, most=9, method=method)).max() + 1 <= count


def test_none_give_none() -> None:
    assert cluster(np.zeros((0, 8), np.float32), Wanted(0.3)).tolist() == []


def test_stray_vectors_are_no_speakers_unless_so_many_are_asked_for() -> None:
    vectors, labels = drawn(5, 2, 200)
    stray, _ = drawn(77, 2, 2)
    every = np.concatenate([vectors, stray])
    found = cluster(every, Wanted(0.3))
    assert full(len(every)) > 1
    assert found.max() == 1
    assert are_the_same(found[:200], labels)
    assert cluster(every, Wanted(0.3, least=4, most=4)).max() == 3


def test_a_speaker_of_a_short_recording_may_say_little() -> None:
    """What is enough to be a speaker's grows with the recording: one vector of twenty, four of hundreds."""
    assert [full(count) for count in (1, 39, 40, 79, 80, 119, 120, 5000)] == [1, 1, 2, 2, 3, 3, 4, 4]
    for count, speakers in ((20, 2), (200, 1)):
        vectors, _ = drawn(5, 1, count)
        assert cluster(np.concatenate([vectors, drawn(77, 1, 1)[0]]), Wanted(0.3)).max() + 1 == speakers


@pytest.mark.parametrize("method", METHODS)
def test_two_levels_find_what_one_does(method: str) -> None:
    vectors, labels = drawn(6, 5, 1500)
    wanted = Wanted(0.3, method=method)
    assert are_the_same(cluster(vectors, wanted), labels)
    assert (cluster(vectors, wanted, limit=400) == cluster(vectors, wanted)).all()
    assert (cluster(vectors, wanted, limit=150) == cluster(vectors, wanted)).all()  # three levels


@pytest.mark.parametrize("broken", [0.0, np.nan, np.inf])
def test_a_vector_that_is_none_is_refused(broken: float) -> None:
    vectors, _ = drawn(1, 2, 10)
    vectors[3] = broken
    with pytest.raises(OptionError, match="zero or no number"):
        cluster(vectors, Wanted(0.3))


def test_labels_are_counted_in_order_of_appearance() -> None:
    assert ordered(np.array([5, 5, 2, 9, 2])).tolist() == [0, 0, 1, 2, 1]


@pytest.mark.parametrize("method", METHODS)
def test_windows_in_which_two_speak_are_no_third_speaker(method: str) -> None:
    """Sums of two voices lie between them, and as near to each other as one voice's windows do."""
    vectors, labels = drawn(7, 3, 240, noise=0.4)
    units = unit(vectors)
    both = units[labels == 0][:8] + units[labels == 1][:8]
    found = cluster(np.concatenate([units, both]), Wanted(0.75, method=method))
    assert found.max() == 2
    assert are_the_same(found[:240], labels)
    assert set(found[240:]) <= {found[labels.tolist().index(0)], found[labels.tolist().index(1)]}
    assert cluster(np.concatenate([units, both]), Wanted(0.75, least=4, most=4, method=method)).max() == 3
