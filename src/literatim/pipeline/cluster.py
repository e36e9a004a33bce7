"""Vectors of voices to speakers: which of them are one voice's, and how many voices there are.

Agglomerative clustering with average linkage over cosine distances: the mean distance of two groups of unit vectors is
one minus the product of their means, so that a group is handled as one vector with a weight. Spectral clustering over
the nearest neighbours (von Luxburg, "A tutorial on spectral clustering", 2007), the number of voices by the eigen-gap.
Above LIMIT vectors both work on groups that were made of neighbours in time before: memory grows no faster than that.

Letters of shapes: N vectors, E their size, K speakers.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from literatim.errors import OptionError
from literatim.needs import need

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Merge = tuple[int, int, float]
"""Two groups by their first members' places in the order of merging, and their distance."""

LIMIT = 5000  # vectors that are compared each with each: 100 MB
BLOCK = 2500  # of more than that, so many neighbours are made into groups at a time
GROUPS = 200  # as many as these
MOST_SPEAKERS = 20  # where nobody says how many there are
FULL = 4  # vectors from which a group can be a speaker's of its own, in a recording of some minutes
NEAR = 0.2  # of cosine: so far may the similarity move to give the number of speakers that is asked for
BETWEEN = 0.8  # cosine with the plane of two groups from which one is made of both
SHARE = 0.25  # of each of them in it, at least
NEIGHBOURS = 10  # of a vector at least, by which spectral clustering knows it


@dataclass(frozen=True)
class Wanted:
    """How vectors are to be grouped.

    `least` and `most` bound the number of speakers; `similarity` is the mean cosine between two groups from which they
    are one speaker's, where that number leaves it open. `method` is agglomerative or spectral; `seed` is the latter's.
    """

    similarity: float
    least: int = 1
    most: int = MOST_SPEAKERS
    method: str = "agglomerative"
    seed: int = 0


def cluster(vectors: Floats, wanted: Wanted, limit: int = LIMIT) -> Labels:
    """Labels (N,) from 0, in order of first appearance, of vectors (N, E) of any length but 0.

    Never more labels than vectors. Above `limit` vectors the work is done in two levels. Raises OptionError for a
    vector that is zero or holds no number, and DependencyError for spectral clustering without scikit-learn.
    """
    units = unit(vectors)
    if not len(units):
        return np.zeros(0, np.int64)
    groups = np.arange(len(units))
    means, weights = units, np.ones(len(units))
    while len(means) > limit:
        inner = _blocks(means, weights, min(BLOCK, limit), min(GROUPS, max(1, limit // 4)))
        means, weights = _joined(means, weights, inner)
        groups = inner[groups]
    if wanted.method == "spectral":
        labels = _spectral(means, wanted)
    else:
        labels = _agglomerated(means, weights, wanted, full(len(units)))
    labels = _merged(means, weights, ordered(labels), wanted)
    return ordered(_unmixed(means, weights, labels, wanted.least)[groups])


def check_method(method: str) -> None:
    """DependencyError where a method needs packages that are not there: before a recording is heard."""
    if method == "spectral":
        need("sklearn.cluster", "diarize", "spectral clustering")


def unit(vectors: Floats) -> Floats:
    """The same with length 1: (N, E)."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise OptionError("a vector of a voice is zero or no number; the model's weights may be broken")
    units: Floats = (vectors / lengths).astype(np.float32)
    return units


def ordered(labels: Labels) -> Labels:
    """The same groups, numbered from 0 in order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def centroids(units: Floats, labels: Labels) -> Floats:
    """The unit vector in the middle of each label's: (K, E)."""
    sums = np.zeros((labels.max() + 1, units.shape[1]), np.float32)
    np.add.at(sums, labels, units)
    return unit(sums)


def full(count: int) -> int:
    """Vectors from which a group can be a speaker's of its own, among so many."""
    return min(FULL, 1 + count // 40)


def _blocks(means: Floats, weights: NDArray[np.float64], block: int, groups: int) -> Labels:
    """Fine groups of neighbours, at most `groups` of each block: (N,), counted through."""
    labels, count = [], 0
    for first in range(0, len(means), block):
        part = slice(first, first + block)
        merges = agglomerate(means[part], weights[part])
        size = len(means[part])
        found = _grouped(size, merges[: max(0, size - groups)])
        labels.append(found + count)
        count += int(found.max()) + 1
    return np.concatenate(labels)


def _joined(means: Floats, weights: NDArray[np.float64], labels: Labels) -> tuple[Floats, NDArray[np.float64]]:
    """The mean vector of each group, and its weight."""
    count = int(labels.max()) + 1
    total = np.bincount(labels, weights, count).astype(np.float64)
    sums = np.zeros((count, means.shape[1]))
    np.add.at(sums, labels, means * weights[:, None])
    return (sums / total[:, None]).astype(np.float32), total


def agglomerate(means: Floats, weights: NDArray[np.float64]) -> list[Merge]:
    """All N - 1 merges of groups with these means, by distance; each names a member of both its groups.

    Chains of nearest neighbours (Murtagh, 1983), which average linkage allows: time and memory grow with the square.
    """
    count = len(means)
    distance = (1 - means @ means.T).astype(np.float32)  # (N, N)
    for at in range(count):  # a product of matrices is symmetric but for rounding, and a chain could turn in a circle
        distance[at, at + 1 :] = distance[at + 1 :, at]
    np.fill_diagonal(distance, np.inf)
    sizes, alive = weights.copy(), np.ones(count, bool)
    merges: list[Merge] = []
    chain: list[int] = []
    while len(merges) < count - 1:
        if not chain:
            chain.append(int(alive.argmax()))
        tip = chain[-1]
        near = int(distance[tip].argmin())
        if len(chain) > 1 and distance[tip, chain[-2]] <= distance[tip, near]:
            near = chain[-2]
            del chain[-2:]
            merges.append((tip, near, float(distance[tip, near])))
            _merge(distance, sizes, near, tip)
            alive[tip] = False
        else:
            chain.append(near)
    return sorted(merges, key=lambda merge: merge[2])


def _merge(distance: Floats, sizes: NDArray[np.float64], kept: int, gone: int) -> None:
    """Make one group of two, in place."""
    total = sizes[kept] + sizes[gone]
    row = (sizes[kept] * distance[kept] + sizes[gone] * distance[gone]) / total
    row[kept] = row[gone] = np.inf
    distance[kept], distance[:, kept] = row, row
    distance[gone], distance[:, gone] = np.inf, np.inf
    sizes[kept] = total


def _grouped(count: int, merges: Sequence[Merge]) -> Labels:
    """Labels (N,) after some merges."""
    parent = list(range(count))
    for one, other, _ in merges:
        parent[_root(parent, one)] = _root(parent, other)
    return np.unique([_root(parent, at) for at in range(count)], return_inverse=True)[1].astype(np.int64)


def _root(parent: list[int], at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


def _agglomerated(means: Floats, weights: NDArray[np.float64], wanted: Wanted, least_weight: int) -> Labels:
    """Labels of the merges up to the wanted similarity, or of those that leave the wanted number of speakers.

    A group of little weight is no speaker: what is in it goes to the nearest one.
    """
    merges = agglomerate(means, weights)
    heights = np.array([-np.inf, *(distance for _, _, distance in merges), np.inf])
    asked = 1 - wanted.similarity
    close = int(np.searchsorted(heights, asked, side="right")) - 1  # merges up to there
    # how far from what was asked for the distance would have to be for each number of merges
    far = np.maximum(0, np.maximum(asked - heights[1:], heights[:-1] - asked))
    for within in (NEAR, np.inf):  # a speaker is sooner a small group than a part of what is clearly one voice
        for weight in range(least_weight, 0, -1):
            counts = np.array(_heavy_counts(weights, merges, weight))
            speakers = min(max(int(counts[close]), wanted.least), wanted.most, len(means))
            fitting = np.flatnonzero((counts == speakers) & (far <= within))
            if len(fitting):
                at = int(fitting[far[fitting].argmin()])
                return _without_light(means, weights, _grouped(len(means), merges[:at]), weight)
    return np.arange(len(means))  # not reached: of weight 1 any number up to N is there


def _heavy_counts(weights: NDArray[np.float64], merges: Sequence[Merge], least: int) -> list[int]:
    """How many groups have at least this weight, before the first merge and after each."""
    parent, sizes = list(range(len(weights))), weights.copy()
    counts = [int((sizes >= least).sum())]
    for one, other, _ in merges:
        a, b = _root(parent, one), _root(parent, other)
        before = int(sizes[a] >= least) + int(sizes[b] >= least)
        parent[a] = b
        sizes[b] += sizes[a]
        counts.append(counts[-1] - before + int(sizes[b] >= least))
    return counts


def _without_light(means: Floats, weights: NDArray[np.float64], labels: Labels, least: int) -> Labels:
    """The groups of at least this weight; members of the others go to the nearest of them."""
    groups, total = _joined(means, weights, labels)
    heavy = np.flatnonzero(total >= least)
    nearest: Labels = heavy[(groups @ unit(groups[heavy]).T).argmax(1)]
    nearest[heavy] = heavy
    members: Labels = nearest[labels]
    return members


def _spectral(means: Floats, wanted: Wanted) -> Labels:
    """Labels by the leading eigenvectors of the neighbours' graph, as many as lie before the widest gap."""
    kmeans = need("sklearn.cluster", "diarize", "spectral clustering").KMeans
    count = len(means)
    least, most = min(wanted.least, count), min(wanted.most, count)
    if most == 1 or count < 3:
        return np.zeros(count, np.int64) if most == 1 else _agglomerated(means, np.ones(count), wanted, 1)
    values, vectors = _leading(_graph(unit(means)), min(most + 1, count - 1), wanted.seed)
    gaps = values[:-1] - values[1:]
    speakers = least + int(gaps[least - 1 : most].argmax()) if len(gaps) >= least else least
    if speakers == 1:
        return np.zeros(count, np.int64)
    rows = vectors[:, :speakers]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer different rows than speakers: there are fewer labels then
        found = kmeans(speakers, n_init=10, random_state=wanted.seed).fit(rows)
    return np.asarray(found.labels_, dtype=np.int64)


def _merged(means: Floats, weights: NDArray[np.float64], labels: Labels, wanted: Wanted) -> Labels:
    """Groups that are as near to each other as one speaker's made one, as long as enough are left.

    The graph of one voice's vectors has gaps as well, and groups change where light ones are given to the heavy.
    """
    groups, total = _joined(means, weights, labels)
    merges = agglomerate(groups, total)
    close = [merge for merge in merges if merge[2] <= 1 - wanted.similarity]
    return _grouped(len(groups), close[: max(0, len(groups) - wanted.least)])[labels]


def _unmixed(means: Floats, weights: NDArray[np.float64], labels: Labels, least: int) -> Labels:
    """Without groups that lie between two heavier ones: windows in which two speak, or one after the other.

    They go to the nearer of the two, the lightest first, as long as more than `least` groups are there.
    """
    labels = labels.copy()
    for _ in range(int(labels.max()) + 1):
        groups, total = _joined(means, weights, ordered(labels))
        labels = ordered(labels)
        units = unit(groups)
        between = [one for one in np.argsort(total, kind="stable") if _is_between(units, total, int(one))]
        if not between or len(groups) <= least:
            break
        others = np.flatnonzero(np.arange(len(groups)) != between[0])
        own = labels == between[0]
        labels[own] = others[(means[own] @ units[others].T).argmax(1)]
    return labels


def _is_between(units: Floats, weights: NDArray[np.float64], one: int) -> bool:
    """Whether a vector is nearly a sum of two heavier ones, both with a share in it."""
    heavier = units[weights > weights[one]]
    near, angles = heavier @ units[one], heavier @ heavier.T  # (H,), (H, H)
    shares = (near[:, None] - angles * near) / np.maximum(1 - angles**2, 1e-6)  # of the row's, beside the column's
    np.fill_diagonal(shares, 0)
    length = shares * near[:, None] + shares.T * near  # of what is in the plane, squared
    return bool(((np.minimum(shares, shares.T) > SHARE) & (length > BETWEEN**2)).any())


def _graph(units: Floats) -> Any:
    """Each vector with its nearest ones, weighted by their cosines from 0 to 1: a symmetric sparse matrix (N, N)."""
    sparse = need("scipy.sparse", "diarize", "spectral clustering")
    count = len(units)
    near = min(count - 1, max(NEIGHBOURS, count // 50))
    columns = np.empty((count, near), np.int64)
    values = np.empty((count, near), np.float64)
    for first in range(0, count, BLOCK // 5):
        rows = units[first : first + BLOCK // 5] @ units.T  # (n, N)
        rows[np.arange(len(rows)), first + np.arange(len(rows))] = -np.inf
        found = np.argpartition(rows, -near, axis=1)[:, -near:]
        columns[first : first + len(rows)] = found
        values[first : first + len(rows)] = np.take_along_axis(rows, found, axis=1)
    rows = np.repeat(np.arange(count), near)
    graph = sparse.csr_matrix((np.maximum(values.ravel(), 1e-6), (rows, columns.ravel())), (count, count))
    return (graph + graph.T) / 2


def _leading(graph: Any, count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest eigenvalues of the graph, each row divided by its sum, falling, and their vectors (N, count)."""
    eigsh = need("scipy.sparse.linalg", "diarize", "spectral clustering").eigsh
    sparse = need("scipy.sparse", "diarize", "spectral clustering")
    scale = sparse.diags(1 / np.sqrt(np.asarray(graph.sum(1)).ravel()))
    start = np.random.default_rng(seed).normal(size=graph.shape[0])  # else drawn from the process's generator
    values, vectors = eigsh(scale @ graph @ scale, k=count, which="LA", v0=start)
    order = np.argsort(-values)
    return values[order], vectors[:, order]
