"""Kernels that are right and yet differ: other orders of summation, other fusions, other formulas for one function.

Each is as good as any; their rounding differs. Sums are made in float32 and rounded once to the dtype, unless one says
otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Product = Callable[[Tensor, Tensor], Tensor]
Attention = Callable[[Tensor, Tensor, Tensor, "Tensor | None"], Tensor]
Statistics = Callable[[Tensor], "tuple[Tensor, Tensor]"]
AS_THE_CPU = "as the CPU"


def _pieces(count: int) -> Product:
    """Split-K: so many partial products, added up at the end."""

    def product(left: Tensor, right: Tensor) -> Tensor:
        parts = zip(left.float().chunk(count, 1), right.float().chunk(count, 0), strict=True)
        return torch.stack([a @ b for a, b in parts]).sum(0)

    return product


def _coarse_pieces(count: int) -> Product:
    """Split-K whose partial products are rounded to the dtype before they are added up, as cuBLAS may by default."""

    def product(left: Tensor, right: Tensor) -> Tensor:
        parts = zip(left.float().chunk(count, 1), right.float().chunk(count, 0), strict=True)
        return torch.stack([(a @ b).to(left.dtype) for a, b in parts]).float().sum(0)

    return product


def _blocks(size: int) -> Product:
    """Blocks of K one after the other into one accumulator, as matrix units do."""

    def product(left: Tensor, right: Tensor) -> Tensor:
        total = torch.zeros(left.shape[0], right.shape[1])
        for at in range(0, left.shape[1], size):
            total.addmm_(left[:, at : at + size].float(), right[at : at + size].float())
        return total

    return product


def _reordered(order: Callable[[int], Tensor]) -> Product:
    def product(left: Tensor, right: Tensor) -> Tensor:
        places = order(left.shape[1])
        return left[:, places].float() @ right[places].float()

    return product


def _racing(left: Tensor, right: Tensor) -> Tensor:
    """Partial products added in whatever order they are ready: another one in every call."""
    places = torch.randperm(left.shape[1], generator=torch.Generator().manual_seed(_calls()))
    return _pieces(4)(left[:, places], right[places])


def _exact(left: Tensor, right: Tensor) -> Tensor:
    """Summed in float64."""
    return (left.double() @ right.double()).float()


def _rows(left: Tensor, right: Tensor) -> Tensor:
    """Sixteen rows at a time."""
    return torch.cat([part @ right.float() for part in torch.split(left.float(), 16)])


_count = iter(range(2**62))


def _calls() -> int:
    return next(_count)


PRODUCTS: dict[str, Product | None] = {
    AS_THE_CPU: None,
    "split K by 2": _pieces(2),
    "split K by 3": _pieces(3),
    "split K by 8": _pieces(8),
    "split K by 3 in the dtype": _coarse_pieces(3),
    "blocks of 8": _blocks(8),
    "blocks of 16": _blocks(16),
    "blocks of 64": _blocks(64),
    "from the end": _reordered(lambda count: torch.arange(count - 1, -1, -1)),
    "even then odd": _reordered(lambda count: torch.cat([torch.arange(0, count, 2), torch.arange(1, count, 2)])),
    "in a race": _racing,
    "in float64": _exact,
    "sixteen rows": _rows,
}


def _fused_attention(block: int, narrow: bool) -> Attention:
    """Blocks of keys with a running maximum (Dao et al., 2022); `narrow`: weights rounded to the dtype, as it does."""

    def attention(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        top = query.new_full((*query.shape[:3], 1), -1e30, dtype=torch.float32)
        total, out = torch.zeros_like(top), torch.zeros(*query.shape[:3], values.shape[-1])
        for at in range(0, keys.shape[2], block):
            scores = query.float() @ keys[:, :, at : at + block].float().transpose(-1, -2)
            if mask is not None:
                scores = scores.masked_fill(~mask[..., at : at + block], -math.inf)
            higher = torch.maximum(top, scores.amax(-1, keepdim=True))
            weights, fade = (scores - higher).exp(), (top - higher).exp()
            total = total * fade + weights.sum(-1, keepdim=True)
            used = weights.to(query.dtype).float() if narrow else weights
            out, top = out * fade + used @ values[:, :, at : at + block].float(), higher
        return out / total

    return attention


def _plain_attention(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Scores and weights in memory, in float32 until the weights are rounded to the dtype, as torch's math path."""
    scores = query.float() @ keys.float().transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1).to(query.dtype).float() @ values.float()


def _attention_by_powers_of_two(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """2 ** (x log2 e) for the exponential, and a division at the end."""
    scores = (query.float() @ keys.float().transpose(-1, -2)) * math.log2(math.e)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.exp2(scores - scores.amax(-1, keepdim=True))
    return (weights @ values.float()) / weights.sum(-1, keepdim=True)


ATTENTIONS: dict[str, Attention | None] = {
    AS_THE_CPU: None,
    "fused, 32 keys": _fused_attention(32, narrow=True),
    "fused, 128 keys": _fused_attention(128, narrow=True),
    "fused, wide weights": _fused_attention(64, narrow=False),
    "plain": _plain_attention,
    "powers of two": _attention_by_powers_of_two,
}


def _two_passes(rows: Tensor) -> tuple[Tensor, Tensor]:
    return rows.mean(-1, keepdim=True), rows.var(-1, correction=0, keepdim=True)


def _one_pass(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of squares less the square of the mean."""
    mean = rows.mean(-1, keepdim=True)
    return mean, (rows.square().mean(-1, keepdim=True) - mean.square()).clamp(min=0)


def _combined(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Of four parts, then of the whole (Chan et al., 1979)."""
    parts = torch.stack(rows.chunk(4, -1))
    means, spread = parts.mean(-1, keepdim=True), parts.var(-1, correction=0, keepdim=True)
    return means.mean(0), spread.mean(0) + means.var(0, correction=0)


NORMS: dict[str, Statistics | None] = {
    AS_THE_CPU: None,
    "two passes": _two_passes,
    "one pass": _one_pass,
    "four parts": _combined,
}


def _gelu_by_erfc(x: Tensor) -> Tensor:
    return x * (0.5 * torch.erfc(x * -math.sqrt(0.5)))


def _gelu_by_polynomial(x: Tensor) -> Tensor:
    """Abramowitz and Stegun's erf 7.1.26, which oneDNN uses: right to 1.5e-7."""
    z = x.abs() * math.sqrt(0.5)
    t = 1 / (1 + 0.3275911 * z)
    series = ((((1.061405429 * t - 1.453152027) * t) + 1.421413741) * t - 0.284496736) * t + 0.254829592
    return 0.5 * x * (1 + torch.sign(x) * (1 - series * t * (-z * z).exp()))


GELUS: dict[str, Callable[[Tensor], Tensor] | None] = {
    AS_THE_CPU: None,
    "by erfc": _gelu_by_erfc,
    "by a polynomial": _gelu_by_polynomial,
}


def convolved(product: Product, sound: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """A convolution (B, C, H, T) as one matrix product of the taps beside each other: (B, O, 1, H' T')."""
    taps = weight.shape[-2:]
    columns = F.unfold(sound.float(), taps, padding=tuple(padding), stride=tuple(stride))  # (B, C H W, S)
    rows = columns.transpose(1, 2).flatten(0, 1).to(sound.dtype)
    out = product(rows, weight.reshape(len(weight), -1).t())
    return out.view(len(sound), -1, len(weight)).transpose(1, 2)[:, :, None]
