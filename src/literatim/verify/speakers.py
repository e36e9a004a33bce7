"""Figures of speaker vectors: how far each is from its truth, and what that does to scores and error rates."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from literatim.pipeline.error_rates import equal_error_rate


@dataclass(frozen=True)
class Vectors:
    """N vectors beside theirs: mean and worst of three figures.

    They are the relative error |device - truth| / |truth|, the cosine, and the largest absolute difference.
    """

    samples: int
    not_finite: int
    relative: float
    relative_max: float
    cosine: float
    cosine_min: float
    max_abs: float
    max_abs_max: float


@dataclass(frozen=True)
class Scores:
    """Cosine scores of pairs from both: mean and largest change, the equal error rates, and the change of those."""

    pairs: int
    mean_change: float
    max_change: float
    eer: float | None
    eer_truth: float | None

    @property
    def eer_change(self) -> float | None:
        """The device's less the truth's."""
        return None if self.eer is None or self.eer_truth is None else self.eer - self.eer_truth


def vectors(got: Tensor, truth: Tensor) -> Vectors:
    """Of (N, D). Rows that are not finite are counted and left out; ValueError where none is left."""
    mine, true = got.detach().cpu().double(), truth.detach().cpu().double()
    finite = (mine.isfinite() & true.isfinite()).all(-1)
    if not finite.any():
        raise ValueError(f"none of {len(finite)} vectors is finite")
    mine, true = mine[finite], true[finite]
    relative = (mine - true).norm(dim=-1) / true.norm(dim=-1)
    cosine, most = F.cosine_similarity(mine, true, -1), (mine - true).abs().amax(-1)
    return Vectors(
        samples=len(finite),
        not_finite=len(finite) - len(true),
        relative=float(relative.mean()),
        relative_max=float(relative.max()),
        cosine=float(cosine.mean()),
        cosine_min=float(cosine.min()),
        max_abs=float(most.mean()),
        max_abs_max=float(most.max()),
    )


def scores(got: Tensor, truth: Tensor, pairs: Tensor, same: Tensor) -> Scores:
    """Of vectors (N, D), pairs (P, 2) of their numbers, and whether each is of one speaker (P,) bool."""
    mine, true = (_scored(one.detach().cpu().double(), pairs) for one in (got, truth))
    change, right = (mine - true).abs(), same.cpu().numpy()
    return Scores(
        pairs=len(pairs),
        mean_change=float(change.mean()),
        max_change=float(change.max()),
        eer=equal_error_rate(mine.numpy(), right),
        eer_truth=equal_error_rate(true.numpy(), right),
    )


def _scored(embedded: Tensor, pairs: Tensor) -> Tensor:
    left, right = embedded[pairs[:, 0]], embedded[pairs[:, 1]]
    return F.cosine_similarity(left, right, -1)
