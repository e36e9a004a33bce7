"""Faults of attention: its scores, its mask, its softmax, and what it looks at."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from literatim.verify.planted.numbers import rounded
from literatim.verify.planted.strike import Change, Struck

QUERY, KEYS, VALUES, MASK = range(4)  # places among the arguments of attention


def sharper(amount: float) -> Change:
    """Attention whose scores are 1 + amount times what they should be."""
    return lambda call: call.given(QUERY, call.args[QUERY] * (1 + amount))


def exchanged_heads(_amount: float) -> Change:
    """Attention that gives the first two heads in each other's place."""

    def change(call: Struck) -> Tensor:
        clean = call.clean()
        return clean[:, [1, 0, *range(2, clean.shape[1])]]

    return change


def exchanged_rows(_amount: float) -> Change:
    """The first two rows of the batch in each other's place."""

    def change(call: Struck) -> Tensor:
        clean = call.clean()
        return clean[[1, 0, *range(2, len(clean))]] if len(clean) > 1 else clean

    return change


def without_mask(_amount: float) -> Change:
    """Attention that looks everywhere."""
    return lambda call: call.given(MASK, None)


def inverted_mask(_amount: float) -> Change:
    """A mask taken for its opposite; who may look nowhere then gets the first place, or all would be NaN."""

    def change(call: Struck) -> Tensor:
        mask = ~call.args[MASK]
        mask[..., 0] |= ~mask.any(-1)
        return call.given(MASK, mask)

    return change


def moved_mask(places: float) -> Change:
    """A mask that shows so many places too many, or too few where below 0 (the first place stays)."""

    def change(call: Struck) -> Tensor:
        mask = call.args[MASK].roll(int(places), -1)
        if places > 0:
            mask[..., : int(places)] = True
        else:
            mask[..., int(places) :] = False
            mask[..., 0] = True
        return call.given(MASK, mask)

    return change


def lost_keys(count: float) -> Change:
    """Attention that does not see the last so many keys."""

    def change(call: Struck) -> Tensor:
        keys, values = (call.args[at][:, :, : -int(count)] for at in (KEYS, VALUES))
        return call.clean(call.args[QUERY], keys, values, *call.args[MASK:])

    return change


def empty_keys(count: float) -> Change:
    """Attention that also sees so many keys of zeros: the rest of a block that was not masked."""

    def change(call: Struck) -> Tensor:
        keys, values = (F.pad(call.args[at], (0, 0, 0, int(count))) for at in (KEYS, VALUES))
        return call.clean(call.args[QUERY], keys, values, *call.args[MASK:])

    return change


def late_values(_amount: float) -> Change:
    """Attention whose values are one place behind their keys."""
    return lambda call: call.given(VALUES, call.args[VALUES].roll(1, 2))


def coarse_weights(bits: float) -> Change:
    """Attention whose weights, after the softmax, have so many bits of mantissa."""

    def change(call: Struck) -> Tensor:
        out: Tensor = rounded(scores_of(call).softmax(-1), int(bits)) @ call.args[VALUES].float()
        return out.to(call.args[VALUES].dtype)

    return change


def coarse_scores(bits: float) -> Change:
    """Attention whose scores, before the softmax, have so many bits of mantissa."""

    def change(call: Struck) -> Tensor:
        scores = scores_of(call)
        short = torch.where(scores.isfinite(), rounded(scores, int(bits)), scores)
        out: Tensor = short.softmax(-1) @ call.args[VALUES].float()
        return out.to(call.args[VALUES].dtype)

    return change


def wrong_exponential(amount: float) -> Change:
    """Attention whose exponentials are wrong by up to this much, as a coarse approximation is, by their place."""

    def change(call: Struck) -> Tensor:
        scores = scores_of(call)
        wave = torch.where(scores.isfinite(), 7 * scores, 0.0).sin()
        powers = (scores - scores.amax(-1, keepdim=True)).exp() * (1 + amount * wave)
        out: Tensor = (powers / powers.sum(-1, keepdim=True)) @ call.args[VALUES].float()
        return out.to(call.args[VALUES].dtype)

    return change


def scores_of(call: Struck) -> Tensor:
    """(B, H, K, N) in float32, masked."""
    scores: Tensor = call.args[QUERY].float() @ call.args[KEYS].float().transpose(-1, -2)
    mask = call.args[MASK] if len(call.args) > MASK else None
    return scores if mask is None else scores.masked_fill(~mask, -math.inf)
