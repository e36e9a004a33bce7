"""Tensors with fewer bits: what narrower formats make of them."""

from __future__ import annotations

from torch import Tensor

_DOUBLE = 52  # bits of mantissa


def rounded(values: Tensor, bits: int) -> Tensor:
    """Rounded to so many bits of mantissa, to the nearest; the exponent keeps its range (Dekker, 1971, in float64)."""
    exact: Tensor = values.double()
    shifted = exact.mul(2.0 ** (_DOUBLE - bits) + 1)
    short: Tensor = shifted - (shifted - exact)
    return short.to(values.dtype)


def quantised(weight: Tensor, bits: int, dim: int) -> Tensor:
    """A matrix in whole numbers of so many bits, symmetric, with one scale for each place along `dim`, and back."""
    levels = 2 ** (bits - 1) - 1
    others = [at for at in range(weight.dim()) if at != dim]
    scale = weight.abs().amax(others, keepdim=True).double().clamp(min=1e-30) / levels
    whole: Tensor = (weight.double() / scale).round() * scale
    return whole.to(weight.dtype)
