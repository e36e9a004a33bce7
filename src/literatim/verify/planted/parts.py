"""Faults of what is no product: normalisation, activation, attention, caches, positions, residual sums, the choice."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from literatim.verify.planted.numbers import rounded
from literatim.verify.planted.strike import EPS, Change, Struck, layer_norm

QUERY, KEYS, VALUES, MASK = range(4)  # places among the arguments of attention


def wrong_eps(value: float) -> Change:
    """A LayerNorm whose epsilon is this instead of 1e-5."""
    return lambda call: _normalised(call, layer_norm(_rows(call), eps=value))


def sample_variance(_amount: float) -> Change:
    """A LayerNorm that divides the sum of squares by D - 1."""

    def change(call: Struck) -> Tensor:
        width = call.args[0].shape[-1]
        return _normalised(call, layer_norm(_rows(call), of_variance=width / (width - 1)))

    return change


def weaker_centring(share: float) -> Change:
    """A LayerNorm that leaves this share of the mean in; 1 is an RMSNorm."""
    return lambda call: _normalised(call, layer_norm(_rows(call), mean_left=share))


def weaker_shift(share: float) -> Change:
    """A LayerNorm whose bias lacks this share."""
    return lambda call: call.given(0, call.args[0] * (1 - share))


def coarse_statistics(bits: float) -> Change:
    """A LayerNorm whose mean and variance have so many bits of mantissa."""

    def change(call: Struck) -> Tensor:
        rows = _rows(call)
        mean = rounded(rows.mean(-1, keepdim=True), int(bits))
        variance = rounded(rows.var(-1, correction=0, keepdim=True), int(bits))
        return _normalised(call, (rows - mean) * (variance + EPS).rsqrt())

    return change


def _rows(call: Struck) -> Tensor:
    """What is normalised, in float64."""
    assert call.normalised is not None
    rows: Tensor = call.normalised.double().reshape(call.args[1].shape)
    return rows


def _normalised(call: Struck, wrong: Tensor) -> Tensor:
    """What the device gives, moved by as much as a wrong normalisation is from a right one."""
    clean = call.clean()
    moved: Tensor = (wrong - layer_norm(_rows(call))) * call.args[2].double()
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
