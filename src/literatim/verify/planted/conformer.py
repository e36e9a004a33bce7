"""Faults of what a Conformer has and a Transformer lacks: gates, batch norms, rotary positions, fillings, SiLU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from literatim.verify.planted.numbers import rounded
from literatim.verify.planted.strike import Change, Struck

_MEAN, _VARIANCE, _EPS = 3, 4, 7  # places among the arguments of a batch norm


def silu_in_pieces(_amount: float) -> Change:
    """x relu6(x + 3) / 6 (Howard et al., 2019)."""
    return lambda call: F.hardswish(call.args[0])


def silu_by_table(step: float) -> Change:
    """SiLU between entries of a table, interpolated linearly."""

    def change(call: Struck) -> Tensor:
        x = call.args[0].float()
        low = (x / step).floor() * step
        return torch.lerp(F.silu(low), F.silu(low + step), (x - low) / step)

    return change


def exchanged_gate(_amount: float) -> Change:
    """A gated linear unit whose halves are taken for each other."""
    return lambda call: call.given(0, torch.cat(call.args[0].chunk(2, -1)[::-1], -1))


def own_statistics(_amount: float) -> Change:
    """A batch norm by the mean and variance of what it is given, as in training."""

    def change(call: Struck) -> Tensor:
        x = call.args[0].float()
        places = [dim for dim in range(x.dim()) if dim != 1]
        values = list(call.args)
        for at, found in ((_MEAN, x.mean(places)), (_VARIANCE, x.var(places, correction=0))):
            values[at] = found.to(values[at].dtype)
        return call.clean(*values)

    return change


def wrong_batch_eps(value: float) -> Change:
    """A batch norm whose epsilon is this."""
    return lambda call: call.given(_EPS, value)


def coarse_result(bits: float) -> Change:
    """A result of so many bits of mantissa."""
    return lambda call: rounded(call.clean(), int(bits))


def moved_result(places: float) -> Change:
    """A result so many rows later."""
    return lambda call: call.clean().roll(int(places), 0)


def left_in(_amount: float) -> Change:
    """A filling that fills nothing."""
    return lambda call: call.args[0]
