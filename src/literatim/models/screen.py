"""Finding the likeliest token without reading the whole output matrix in full precision.

On a CPU one decoding step is as long as its weights take to be read, and the output matrix is most of a small model's.
An int8 copy of its text rows is read instead; rows that could win by the error's bound are then computed from the true
weights. The winner and its logit are exact; the other logits, which only the normaliser of log-probabilities sees, are
good to the bound. Integer sums are the same whatever the batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 127
CHUNK = 4096  # rows quantised at a time, so that no second full-precision copy exists


class Screen:
    """An int8 copy of rows [0, text) of an output matrix (V, D), each row with its own scale."""

    def __init__(self, weight: Tensor, text: int) -> None:
        self._weight, self._text = weight, text
        self._rest = weight[text:].float()
        parts = torch.split(weight[:text], CHUNK)
        codes, scales, errors, norms = zip(*(_quantise(part) for part in parts), strict=True)
        self._codes = torch.cat(codes).t()  # (D, text), the layout of torch's own int8 linear
        self._scales = torch.cat(scales).t()  # (1, text)
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
        codes, scales, errors, _ = _quantise(exact)
        sums: Tensor = torch._int_mm(codes, self._codes)  # (B, text) int32
        logits = exact.new_empty((len(hidden), len(self._weight)))
        text = torch.mul(sums, scales * self._scales, out=logits[:, : self._text])
        text += allowed[: self._text]
        logits[:, self._text :] = F.linear(exact, self._rest)
        bound = exact.norm(dim=-1) * self._error + errors * self._norm  # (B,)
        rows, ids = (text >= (text.amax(-1) - 2 * bound)[:, None]).nonzero(as_tuple=True)
        text[rows, ids] = (exact[rows] * self._weight[ids].float()).sum(-1)
        return logits


def _quantise(rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes (R, D) int8, scales (R, 1), and the norms (R,) of what is lost and of what is kept."""
    full = rows.detach().float()
    scales = full.abs().amax(-1, keepdim=True).clamp(min=1e-30) / LEVELS
    codes = (full / scales).round_()
    kept = codes * scales
    return codes.to(torch.int8), scales, (full - kept).norm(dim=-1), kept.norm(dim=-1)
