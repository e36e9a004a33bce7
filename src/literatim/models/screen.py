"""Finding the likeliest token without reading the whole output matrix in full precision.

On a CPU one decoding step is as long as its weights take to be read, and the output matrix is most of a small model's.
An int8 copy of its text rows is read instead; rows that could win by the error's bound are then computed from the true
weights. The winner and its logit are exact; the other logits, which only the normaliser of log-probabilities sees, are
good to the bound. Integer sums are the same whatever the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from literatim import device as devices
from literatim.models.linear import Linear

LEVELS = 127
SHIFT = 128  # of int8 to uint8
CHUNK = 4096  # rows quantised at a time, so that no second full-precision copy exists


class Screen:
    """An int8 copy of rows [0, text) of an output matrix (V, D), each row with its own scale."""

    def __init__(self, weight: Tensor, text: int) -> None:
        self._weight, self._text = weight, text
        self._rest = _product(weight[text:])
        parts = torch.split(weight[:text], CHUNK)
        codes, scales, errors, norms = zip(*(quantise(part) for part in parts), strict=True)
        signed, self._scales = torch.cat(codes), torch.cat(scales)[:, 0]  # (text, D), (text,)
        # oneDNN multiplies uint8 by int8 fast, so activations are given 128 too large, which the offset takes back
        self._packed = torch.ops.onednn.qlinear_prepack(signed, None)
        self._offset = -SHIFT * signed.sum(-1, dtype=torch.int32) * self._scales
        self._zeros = torch.zeros(text, dtype=torch.int32)
        # three roundings of at most (255 + 128) |w'| in units of the activation's scale
        weights = torch.stack([part.float().norm(p=1, dim=-1).max() for part in torch.split(signed, CHUNK)]).max()
        self._rounding = 2.0**-24 * 3 * (255 + SHIFT) * float(weights) * float(self._scales.max())
        # |x.w - x'.w'| <= |x| |w - w'| + |x - x'| |w'|, with the largest of the rows
        self._error, self._norm = float(torch.cat(errors).max()), float(torch.cat(norms).max())

    def is_of(self, weight: Tensor) -> bool:
        """Whether it was made of that very matrix."""
        return self._weight is weight

    def logits(self, hidden: Tensor, allowed: Tensor) -> Tensor:
        """Logits (B, V) float32 of hidden states (B, D); `allowed` (V,) is 0, or -inf for tokens never wanted.

        Products of the weights as they are, summed in float32, for all ids from `text` on and for the likeliest allowed
        text token and its rivals.
        """
        exact = hidden.float()
        codes, scales, errors, _ = quantise(exact)
        logits = exact.new_empty((len(hidden), len(self._weight)))
        text = torch.mul(self._multiply(codes), scales, out=logits[:, : self._text])
        text += allowed[: self._text]
        logits[:, self._text :] = self._rest(exact)
        bound = exact.norm(dim=-1) * self._error + errors * self._norm + scales[:, 0] * self._rounding  # (B,)
        rows, ids = (text >= (text.amax(-1) - 2 * bound)[:, None]).nonzero(as_tuple=True)
        text[rows, ids] = (exact[rows] * self._weight[ids].float()).sum(-1)
        return logits

    def _multiply(self, codes: Tensor) -> Tensor:
        """Codes (B, D) int8 -> (B, text) float32: the sums in the units of the text's rows."""
        given = (codes.view(torch.uint8) ^ SHIFT, 1.0, 0)  # with scale and zero point, as are those below
        weights = (self._packed, self._scales, self._zeros, self._offset)
        sums: Tensor = torch.ops.onednn.qlinear_pointwise(*given, *weights, 1.0, 0, torch.float32, "none", [], "none")
        return sums


def _product(weight: Tensor) -> Linear:
    """The product with rows (R, D) of a matrix, in float32; packed where torch can, the same in any batch then."""
    layer = Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float32)
    layer.load_state_dict({"weight": weight.float()})
    if devices.packs_linear(weight.device, torch.float32):
        layer.requires_grad_(False).pack()
    return layer


def quantise(rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes (R, D) int8, scales (R, 1), and the norms (R,) of what is lost and of what is kept."""
    full = rows.detach().float()
    scales = full.abs().amax(-1, keepdim=True).clamp(min=1e-30) / LEVELS
    codes = (full / scales).round_()
    kept = codes * scales
    return codes.to(torch.int8), scales, (full - kept).norm(dim=-1), kept.norm(dim=-1)
