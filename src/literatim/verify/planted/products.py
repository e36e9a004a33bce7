"""Faults of matrix products and convolutions: kernels, formats and memory that are slightly or grossly wrong.

Each function makes a `Change` of a given magnitude; what the magnitude means stands in `catalogue`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from literatim.verify.faults import CONVOLUTION
from literatim.verify.planted.numbers import quantised, rounded
from literatim.verify.planted.sites import LINEAR
from literatim.verify.planted.strike import Change, Struck


def scaled(amount: float) -> Change:
    """The result times 1 + amount."""
    return lambda call: call.clean() * (1 + amount)


def noisy(amount: float) -> Change:
    """Noise relative to each number, another in every call, as where threads race."""

    def change(call: Struck) -> Tensor:
        clean = call.clean()
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(call.count))
        return clean * (1 + amount * noise)

    return change


def weaker_bias(share: float) -> Change:
    """The bias without this share of it."""

    def change(call: Struck) -> Tensor:
        at = 2 if call.op == CONVOLUTION else 0
        return call.given(at, call.args[at] * (1 - share))

    return change


def coarse_inputs(bits: float) -> Change:
    """Both factors with so many bits of mantissa: 10 is HF32 and TF32, 7 is bfloat16."""

    def change(call: Struck) -> Tensor:
        return call.clean(*[rounded(item, int(bits)) if _is_factor(item) else item for item in call.args])

    return change


def coarse_weight(bits: float) -> Change:
    """The weights in whole numbers of so many bits, one scale for each output."""

    def change(call: Struck) -> Tensor:
        at = _weight_at(call)
        dim = 0 if call.op == CONVOLUTION else -1
        return call.given(at, quantised(call.args[at], int(bits), dim % call.args[at].dim()))

    return change


def coarse_sums(bits: float) -> Change:
    """Sums of sixteen products added up in so many bits of mantissa."""

    def change(call: Struck) -> Tensor:
        left, right, bias = factors(call)
        total = torch.zeros(*left.shape[:-1], right.shape[-1])
        for at in range(0, left.shape[-1], 16):
            part = left[..., at : at + 16].float() @ right[..., at : at + 16, :].float()
            total = rounded(total + part, int(bits))
        return _whole(call, total, bias)

    return change


def short_sums(count: float) -> Change:
    """The last so many products of every sum left out."""

    def change(call: Struck) -> Tensor:
        at = _weight_at(call)
        weight = call.args[at].clone()
        dim = weight.dim() - 2
        if call.op == CONVOLUTION:
            dim = 1 if weight.shape[1] > 1 else weight.dim() - 1  # of one channel the taps
        left_out = min(int(count), weight.shape[dim])
        weight.narrow(dim, weight.shape[dim] - left_out, left_out).zero_()
        return call.given(at, weight)

    return change


def lost_columns(count: float) -> Change:
    """The last so many outputs never computed: zeros."""

    def change(call: Struck) -> Tensor:
        wrong = call.clean().clone()
        outputs = 1 if call.op == CONVOLUTION else wrong.dim() - 1
        lost = min(int(count), wrong.shape[outputs])
        wrong.narrow(outputs, wrong.shape[outputs] - lost, lost).zero_()
        return wrong

    return change


def exchanged_columns(_amount: float) -> Change:
    """Two neighbouring outputs in each other's place."""

    def change(call: Struck) -> Tensor:
        clean = call.clean()
        outputs = 1 if call.op == CONVOLUTION else clean.dim() - 1
        order = torch.arange(clean.shape[outputs])
        first = min(10, len(order) - 2)
        order[[first, first + 1]] = order[[first + 1, first]]
        return clean.index_select(outputs, order)

    return change


def old_rows(count: float) -> Change:
    """The last so many rows are those of the call before, or zeros at first: memory that was not written."""

    def change(call: Struck) -> Tensor:
        clean = call.clean()
        rows = clean.reshape(-1, clean.shape[-1]).clone()
        number = min(int(count), len(rows))
        before = call.kept.get(f"{call.site} {tuple(rows.shape)}")
        call.kept[f"{call.site} {tuple(rows.shape)}"] = rows[-number:].clone()
        rows[-number:] = 0 if before is None else before
        return rows.view(clean.shape)

    return change


def one_row(amount: float) -> Change:
    """One row in the middle times 1 + amount."""

    def change(call: Struck) -> Tensor:
        wrong = call.clean().clone()
        rows = wrong.view(-1, wrong.shape[-1])
        rows[len(rows) // 2] *= 1 + amount
        return wrong

    return change


def saturated(share: float) -> Change:
    """Clamped to this share of the largest magnitude."""

    def change(call: Struck) -> Tensor:
        clean = call.clean()
        limit = share * float(clean.abs().max())
        return clean.clamp(-limit, limit)

    return change


def flushed(limit: float) -> Change:
    """What is smaller than this share of the root mean square becomes zero."""

    def change(call: Struck) -> Tensor:
        clean = call.clean()
        size = float(clean.double().square().mean().sqrt())
        return torch.where(clean.abs() < limit * size, torch.zeros_like(clean), clean)

    return change


def shifted(frames: float) -> Change:
    """A convolution that is so many frames late."""
    return lambda call: call.clean().roll(int(frames), -1)


def repeated_edges(_amount: float) -> Change:
    """A convolution that continues the sound at its ends instead of padding it with zeros."""

    def change(call: Struck) -> Tensor:
        sound, weight, bias, stride, padding, *rest = call.args
        edges = [sound[..., :1]] * padding[-1], [sound[..., -1:]] * padding[-1]
        continued = torch.cat([*edges[0], sound, *edges[1]], -1)
        return call.clean(continued, weight, bias, stride, [*padding[:-1], 0], *rest)

    return change


def exchanged_channels(_amount: float) -> Change:
    """A convolution that takes two neighbouring channels of its input for each other."""

    def change(call: Struck) -> Tensor:
        order = torch.arange(call.args[0].shape[1])
        middle = len(order) // 4
        order[[middle, middle + 1]] = order[[middle + 1, middle]]
        return call.given(0, call.args[0][:, order])

    return change


def not_a_number(_amount: float) -> Change:
    """The first number is NaN."""

    def change(call: Struck) -> Tensor:
        wrong = call.clean().clone(memory_format=torch.contiguous_format)
        if wrong.is_floating_point():
            wrong.view(-1)[:1] = math.nan
        return wrong

    return change


def flipped_bit(below: float) -> Change:
    """One bit of one number, counted from the one below the sign; the number's place depends on the call."""

    def change(call: Struck) -> Tensor:
        wrong = call.clean().clone(memory_format=torch.contiguous_format)
        whole, bits = {2: (torch.int16, 16), 4: (torch.int32, 32)}.get(wrong.element_size(), (None, 0))
        if whole is None or not wrong.is_floating_point() or below > bits - 2:
            return wrong
        numbers = wrong.view(-1).view(whole)
        numbers[(call.count * 7919) % len(numbers)] ^= 1 << (bits - 2 - int(below))
        return wrong

    return change


def factors(call: Struck) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows (..., R, K), matrix (..., K, N) and bias of a linear layer or of the logits."""
    if call.op == LINEAR:
        bias, left, right = call.args[:3]
        return left, right, bias
    left, right = call.args[:2]
    return left, right, None


def _whole(call: Struck, product: Tensor, bias: Tensor | None) -> Tensor:
    whole = product if bias is None else product + bias.float()
    return whole.to(call.args[0].dtype)


def _weight_at(call: Struck) -> int:
    return 2 if call.op == LINEAR else 1


def _is_factor(item: object) -> bool:
    return isinstance(item, Tensor) and item.is_floating_point() and item.dim() > 1
