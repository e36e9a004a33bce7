"""Faults of what is no product: normalisation, activation, caches, positions, residual sums, the choice."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from literatim.verify.planted.numbers import rounded
from literatim.verify.planted.strike import Change, Struck, layer_norm


def wrong_eps(value: float) -> Change:
    """A LayerNorm whose epsilon is this instead of its own."""
    return lambda call: _normalised(call, layer_norm(_rows(call), value))


def sample_variance(_amount: float) -> Change:
    """A LayerNorm that divides the sum of squares by D - 1."""

    def change(call: Struck) -> Tensor:
        rows = _rows(call)
        width = rows.shape[-1]
        return _normalised(call, layer_norm(rows, _eps(call), of_variance=width / (width - 1)))

    return change


def weaker_centring(share: float) -> Change:
    """A LayerNorm that leaves this share of the mean in; 1 is an RMSNorm."""
    return lambda call: _normalised(call, layer_norm(_rows(call), _eps(call), mean_left=share))


def weaker_shift(share: float) -> Change:
    """A LayerNorm whose bias lacks this share."""
    return lambda call: call.given(0, call.args[0] * (1 - share))


def coarse_statistics(bits: float) -> Change:
    """A LayerNorm whose mean and variance have so many bits of mantissa."""

    def change(call: Struck) -> Tensor:
        rows = _rows(call)
        mean = rounded(rows.mean(-1, keepdim=True), int(bits))
        variance = rounded(rows.var(-1, correction=0, keepdim=True), int(bits))
        return _normalised(call, (rows - mean) * (variance + _eps(call)).rsqrt())

    return change


def _rows(call: Struck) -> Tensor:
    """What is normalised, in float64."""
    assert call.normalised is not None
    rows: Tensor = call.normalised.rows.double().reshape(call.affine[0].shape)
    return rows


def _eps(call: Struck) -> float:
    assert call.normalised is not None
    return call.normalised.eps


def _normalised(call: Struck, wrong: Tensor) -> Tensor:
    """What the device gives, moved by as much as a wrong normalisation is from a right one."""
    clean = call.clean()
    moved: Tensor = (wrong - layer_norm(_rows(call), _eps(call))) * call.affine[1].double()
    return moved.add(clean.double()).to(clean.dtype)


def gelu_by_tanh(_amount: float) -> Change:
    """The tanh form of GELU (Hendrycks and Gimpel, 2016)."""
    return lambda call: F.gelu(call.args[0], approximate="tanh")


def gelu_by_sigmoid(_amount: float) -> Change:
    """x sigmoid(1.702 x), from the same paper."""
    return lambda call: call.args[0] * torch.sigmoid(1.702 * call.args[0])


def gelu_by_table(step: float) -> Change:
    """GELU between entries of a table, interpolated linearly."""

    def change(call: Struck) -> Tensor:
        x = call.args[0].float()
        low = (x / step).floor() * step
        return torch.lerp(F.gelu(low), F.gelu(low + step), (x - low) / step)

    return change


def lost_write(_amount: float) -> Change:
    """A cache that keeps what was there in its first row."""

    def change(call: Struck) -> Tensor:
        cache, clean = call.args[0], call.clean().clone()
        clean[:, 0] = cache[:, 0]
        return clean

    return change


def moved_write(places: float) -> Change:
    """A cache written so many places later."""

    def change(call: Struck) -> Tensor:
        none, rows, also_none, at = call.args[1]
        moved = (at + int(places)).clamp(max=call.args[0].shape[3] - 1)
        return call.given(1, [none, rows, also_none, moved])

    return change


def exchanged_written_rows(_amount: float) -> Change:
    """A cache in which the first two rows of the batch are written into each other's place."""

    def change(call: Struck) -> Tensor:
        values = call.args[2]
        return call.given(2, values[[1, 0, *range(2, len(values))]]) if len(values) > 1 else call.clean()

    return change


def exchanged_keys(_amount: float) -> Change:
    """A cache in which keys are written for values."""
    return lambda call: call.given(2, call.args[2].flip(2))


def coarse_cache(bits: float) -> Change:
    """A cache that keeps so many bits of mantissa."""
    return lambda call: call.given(2, rounded(call.args[2], int(bits)))


def coarse_copy(bits: float) -> Change:
    """A copy that keeps so many bits of mantissa."""
    return lambda call: call.given(1, rounded(call.args[1], int(bits)))


def exchanged_copied_rows(_amount: float) -> Change:
    """A copy in which the first two rows of the batch change places."""

    def change(call: Struck) -> Tensor:
        source = call.args[1]
        return call.given(1, source[[1, 0, *range(2, len(source))]]) if len(source) > 1 else call.clean()

    return change


def moved_position(places: float) -> Change:
    """Positions of the text so many places later."""

    def change(call: Struck) -> Tensor:
        weight, (at,) = call.args[:2]
        return call.given(1, [(at + int(places)).clamp(max=len(weight) - 1)])

    return change


def moved_sound_positions(places: float) -> Change:
    """Positions of the sound so many places later."""
    return lambda call: call.given(1, call.args[1].roll(int(places), 0))


def wrong_row(first: float) -> Change:
    """An embedding that gives the row before for ids from `first` on."""

    def change(call: Struck) -> Tensor:
        ids = call.args[2]
        return call.given(2, torch.where(ids >= int(first), ids - 1, ids))

    return change


def weaker_residual(share: float) -> Change:
    """A residual sum whose first term lacks this share."""
    return lambda call: call.given(0, call.args[0] * (1 - share))


def wrong_logit(amount: float) -> Change:
    """The logit of the second likeliest token of the first call raised in all calls, by so many standard deviations."""

    def change(call: Struck) -> Tensor:
        wrong = call.clean().clone()
        token = call.kept.setdefault("token", int(wrong.view(-1, wrong.shape[-1])[0].topk(2).indices[1]))
        wrong[..., token] += amount * float(wrong.float().std())
        return wrong

    return change


def forbidden_token(rank: float) -> Change:
    """A token that is never suppressed is: the likeliest one of the call of this number, from then on."""

    def change(call: Struck) -> Tensor:
        clean = call.clean()
        if call.count == int(rank):
            call.kept["token"] = int(clean[0].argmax())
        if "token" not in call.kept:
            return clean
        wrong = clean.clone()
        wrong[:, call.kept["token"]] = -math.inf
        return wrong

    return change


def allowed_token(_amount: float) -> Change:
    """A token that is suppressed no more: the first one that should be."""

    def change(call: Struck) -> Tensor:
        rules = call.args[1].clone()
        never = (rules == -math.inf).nonzero().flatten()
        rules[never[:1]] = 0
        return call.given(1, rules)

    return change


def choice_among_first(share: float) -> Change:
    """The likeliest token of the first part of the vocabulary alone."""

    def change(call: Struck) -> Tensor:
        logits = call.args[0]
        return call.given(0, logits[..., : int(share * logits.shape[-1])])

    return change
