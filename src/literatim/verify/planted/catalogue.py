"""The kinds of faults that are planted: where each can sit, and how large it is made."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from literatim.verify.faults import ATTENTION, CONVOLUTION
from literatim.verify.planted import attention, conformer, parts, products, resnet
from literatim.verify.planted.sites import (
    ADD,
    BATCHED,
    CHOOSE,
    CLIP,
    COPY,
    COSINE,
    FILL,
    GELU,
    GLU,
    INDEX,
    LINEAR,
    LOOKUP,
    MATRIX,
    MULTIPLY,
    NORM,
    NORMALISED,
    ROOT,
    SILU,
    SINE,
    SUBTRACT,
    UNSHIFTED,
    WRITE,
    Sites,
)
from literatim.verify.planted.strike import Change, Strike

Places = Mapping[str, tuple[str, ...]]  # the parts of a network by what can be wrong with them
EVERYWHERE = "everywhere"
_BIASED = (LINEAR, CONVOLUTION)
_MATRICES = (LINEAR, MATRIX, BATCHED)
_PRODUCTS = (*_MATRICES, CONVOLUTION)
_NORMS = (NORM, UNSHIFTED)


@dataclass(frozen=True)
class Kind:
    """One kind of fault. `make` makes a change of each of the `magnitudes`, which mean what `unit` says.

    `ops` are those it can strike, `at` the parts of the network (see `families`); a network without such parts is
    spared. It strikes once in each of `periods` calls.
    """

    name: str
    ops: tuple[str, ...]
    at: str
    make: Callable[[float], Change]
    magnitudes: tuple[float, ...]
    unit: str
    periods: tuple[int, ...] = (1,)


KINDS: tuple[Kind, ...] = (
    # products: kernels, formats, tiles, memory
    Kind("scaled product", _PRODUCTS, "products", products.scaled, (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1), "factor - 1"),
    Kind("noisy product", _PRODUCTS, "products", products.noisy, (1e-6, 1e-5, 1e-4, 1e-3, 1e-2), "relative noise"),
    Kind("dropped bias", _BIASED, "biased", products.weaker_bias, (1e-3, 1e-2, 0.1, 1.0), "share of the bias"),
    Kind("coarse inputs", _PRODUCTS, "matrices", products.coarse_inputs, (19, 16, 13, 10, 7), "mantissa bits"),
    Kind("coarse weights", _PRODUCTS, "products", products.coarse_weight, (16, 12, 8, 6, 4), "bits"),
    Kind("coarse sums", _MATRICES, "matrices", products.coarse_sums, (19, 16, 13, 10, 7), "mantissa bits"),
    Kind("short sums", _PRODUCTS, "products", products.short_sums, (1, 2, 8, 16), "products left out"),
    Kind("lost columns", _PRODUCTS, "products", products.lost_columns, (1, 8, 16), "columns"),
    Kind("exchanged columns", _PRODUCTS, "products", products.exchanged_columns, (1,), "pairs"),
    Kind("old rows", _MATRICES, "encoder linears", products.old_rows, (1, 8, 16), "rows"),
    Kind("one wrong row", _MATRICES, "matrices", products.one_row, (1e-4, 1e-3, 1e-2, 0.1, 1), "factor - 1"),
    Kind("saturation", _PRODUCTS, "products", products.saturated, (0.9, 0.7, 0.5, 0.2), "of the largest"),
    Kind("flushed to zero", _PRODUCTS, "products", products.flushed, (1e-4, 1e-3, 1e-2, 0.1), "of the RMS"),
    Kind("late convolution", (CONVOLUTION,), "convolutions", products.shifted, (1, 2), "frames"),
    Kind("repeated edges", (CONVOLUTION,), "padded convolutions", products.repeated_edges, (1,), "edges"),
    Kind("exchanged channels", (CONVOLUTION,), "convolutions", products.exchanged_channels, (1,), "pairs"),
    # normalisation and activation
    Kind("wrong eps", _NORMS, "norms", parts.wrong_eps, (0, 1e-4, 1e-3, 1e-2, 0.1), "instead of its own"),
    Kind("sample variance", _NORMS, "norms", parts.sample_variance, (1,), "D - 1 for D"),
    Kind("mean left in", _NORMS, "norms", parts.weaker_centring, (1e-2, 0.1, 1.0), "share"),
    Kind("norm without bias", (NORM,), "shifted norms", parts.weaker_shift, (1e-2, 0.1, 1.0), "share"),
    Kind("coarse statistics", _NORMS, "norms", parts.coarse_statistics, (16, 13, 10, 7), "mantissa bits"),
    Kind("GELU by tanh", (GELU,), "activations", parts.gelu_by_tanh, (1,), ""),
    Kind("GELU by sigmoid", (GELU,), "activations", parts.gelu_by_sigmoid, (1,), ""),
    Kind("GELU by table", (GELU,), "activations", parts.gelu_by_table, (2**-10, 2**-7, 2**-4, 2**-2), "step"),
    Kind("SiLU in pieces", (SILU,), "SiLUs", conformer.silu_in_pieces, (1,), ""),
    Kind("SiLU by table", (SILU,), "SiLUs", conformer.silu_by_table, (2**-10, 2**-7, 2**-4, 2**-2), "step"),
    Kind("exchanged gate", (GLU,), "gates", conformer.exchanged_gate, (1,), ""),
    Kind("batch statistics", (NORMALISED,), "batch norms", conformer.own_statistics, (1,), "instead of the trained"),
    Kind("wrong batch eps", (NORMALISED,), "batch norms", conformer.wrong_batch_eps, (1e-3, 1e-2, 0.1), "for its own"),
    # attention
    Kind("wrong scale", (ATTENTION,), "attention", attention.sharper, (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 7), "factor - 1"),
    Kind("exchanged heads", (ATTENTION,), "attention", attention.exchanged_heads, (1,), "pairs"),
    Kind("exchanged rows", (ATTENTION,), "attention", attention.exchanged_rows, (1,), "pairs"),
    Kind("no mask", (ATTENTION,), "masked attention", attention.without_mask, (1,), ""),
    Kind("inverted mask", (ATTENTION,), "masked attention", attention.inverted_mask, (1,), ""),
    Kind("moved mask", (ATTENTION,), "masked attention", attention.moved_mask, (1, -1), "places"),
    Kind("lost keys", (ATTENTION,), "sound attention", attention.lost_keys, (1, 4, 16, 80), "keys"),
    Kind("empty keys seen", (ATTENTION,), "sound attention", attention.empty_keys, (1, 8, 48), "keys"),
    Kind("late values", (ATTENTION,), "attention", attention.late_values, (1,), "places"),
    Kind("coarse softmax", (ATTENTION,), "attention", attention.coarse_weights, (19, 16, 13, 10, 7), "mantissa bits"),
    Kind("coarse scores", (ATTENTION,), "attention", attention.coarse_scores, (19, 16, 13, 10, 7), "mantissa bits"),
    Kind(
        "wrong exponential",
        (ATTENTION,),
        "attention",
        attention.wrong_exponential,
        (1e-5, 1e-4, 1e-3, 1e-2),
        "relative",
    ),
    # caches, positions, embeddings, sums
    Kind("stale cache row", (WRITE,), "caches", parts.lost_write, (1,), "row", periods=(2, 5)),
    Kind("cache off by one", (WRITE,), "caches", parts.moved_write, (1, 2), "places"),
    Kind("cache rows exchanged", (WRITE,), "caches", parts.exchanged_written_rows, (1,), "pairs"),
    Kind("keys for values", (WRITE,), "caches", parts.exchanged_keys, (1,), ""),
    Kind("coarse cache", (WRITE,), "caches", parts.coarse_cache, (16, 10, 7, 3), "mantissa bits"),
    Kind("coarse sound cache", (COPY,), "sound caches", parts.coarse_copy, (16, 10, 7, 3), "mantissa bits"),
    Kind("sound of another row", (COPY,), "sound caches", parts.exchanged_copied_rows, (1,), "pairs"),
    Kind("position off by one", (INDEX,), "positions", parts.moved_position, (1, 2), "places"),
    Kind("sound position off", (ADD,), "sound positions", parts.moved_sound_positions, (1, 4), "places"),
    Kind("wrong embedding", (LOOKUP,), "embedding", parts.wrong_row, (0, 200, 1304), "from id"),
    Kind("weaker residual", (ADD,), "sums", parts.weaker_residual, (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1), "share"),
    Kind("coarse rotation", (COSINE, SINE), "rotation", conformer.coarse_result, (16, 10, 7), "mantissa bits"),
    Kind("rotation off by one", (COSINE,), "rotation", conformer.moved_result, (1,), "places"),
    Kind("filling left in", (FILL,), "fillings", conformer.left_in, (1,), ""),
    # of networks for voices
    Kind("leaking ReLU", (CLIP,), "ReLUs", resnet.leaking, (1e-6, 1e-4, 1e-2, 0.2), "share"),
    Kind("capped ReLU", (CLIP,), "ReLUs", resnet.capped, (0.9, 0.7, 0.5, 0.2), "of the largest"),
    Kind("frames unmasked", (MULTIPLY,), "masks", resnet.unmasked, (1,), ""),
    Kind("mask of frames off", (MULTIPLY,), "masks", resnet.late_mask, (1, -1, 4), "frames"),
    Kind("variance of all", (SUBTRACT,), "pooling", resnet.of_all, (1,), "N for N - 1"),
    Kind("wrong floor of the root", (ADD,), "pooling", resnet.wrong_floor, (0, 1e-5, 1e-3, 0.1), "for 1e-7"),
    Kind("coarse root", (ROOT,), "pooling", resnet.coarse_root, (16, 13, 10, 7), "mantissa bits"),
    # vocabulary
    Kind(
        "wrong logit",
        (MATRIX, LINEAR),
        "logits",
        parts.wrong_logit,
        (1e-4, 1e-3, 1e-2, 0.1, 1, 10),
        "standard deviations",
    ),
    Kind("token suppressed", (ADD,), "rules", parts.forbidden_token, (1, 3), "found at call"),
    Kind("token not suppressed", (ADD,), "rules", parts.allowed_token, (1,), ""),
    Kind("choice among the first", (CHOOSE,), "choice", parts.choice_among_first, (0.25, 0.7), "of the vocabulary"),
    # anywhere, now and then
    Kind("NaN now and then", (), EVERYWHERE, products.not_a_number, (1,), "", periods=(100, 1000)),
    Kind("flipped bit", (), EVERYWHERE, products.flipped_bit, (0, 5, 9, 12, 16), "bits below the sign", periods=(500,)),
)


@dataclass(frozen=True)
class Case:
    """One fault to plant: a kind, its magnitude, how often, and the part it sits in (None: wherever it strikes)."""

    kind: Kind
    magnitude: float
    period: int
    site: str | None
    dtype: str
    seed: int

    @property
    def name(self) -> str:
        """For people."""
        where = self.site or EVERYWHERE
        often = f", once in {self.period} calls" if self.period > 1 else ""
        return f"{self.kind.name} {self.magnitude:g} {self.kind.unit}".rstrip() + f" at {where}{often}, {self.dtype}"

    def strike(self, sites: Sites) -> Strike:
        """The fault itself, to be planted."""
        ops = frozenset(self.kind.ops) or None
        where = None if self.site is None else frozenset({self.site})
        phase = self.seed % self.period
        return Strike(sites, ops, where, self.kind.make(self.magnitude), lambda count: count % self.period == phase)


def cases(places: Places, dtype: str, repeats: int, seed: int = 0, kinds: Sequence[Kind] = KINDS) -> list[Case]:
    """Every kind at every magnitude, each in `repeats` parts drawn by chance (fewer where there are fewer)."""
    found = []
    for kind in kinds:
        if kind.at != EVERYWHERE and kind.at not in places:
            continue
        for magnitude in kind.magnitudes:
            for period in kind.periods:
                draw = random.Random(f"{seed} {kind.name} {magnitude} {period} {dtype}")
                sites = (
                    [None] * repeats
                    if kind.at == EVERYWHERE
                    else draw.sample(places[kind.at], min(repeats, len(places[kind.at])))
                )
                found += [Case(kind, magnitude, period, site, dtype, draw.randrange(10**6)) for site in sites]
    return found
