"""Attention, and how many rows a product is given so that each row's result is the same among any others.

On a CPU the matrix kernels sum in another order where few rows come, where a sum is long, and where the columns are no
multiple of their vectors. A text must not depend on how many tokens were tried at once, so those shapes are not used.
What remains was found the same to the last bit by `tests/exact/test_attention_rows.py`, which looks on any machine.

Letters of shapes as in `whisper.py`.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from literatim.models.linear import multiplied, packed

KEYS_SUMMED = 192  # keys in one float32 product: MKL cuts longer sums where their length says
KEYS_COUNTED = 64  # keys come in multiples of these: the bfloat16 softmax sums what is left over in another order
COLUMNS = 8  # float32 columns are a multiple of these
QUERIES = 256  # of a block, whose scores stay in a CPU's caches
WIDE = 64  # bfloat16 heads are at least so wide: torch gives oneDNN only products of more than 16 ** 3 multiplications


def rows_at_once(dtype: torch.dtype) -> int:
    """The fewest rows of a product on a CPU that give what the same rows give among many."""
    return 4 if dtype == torch.float32 else 2


def attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled queries (B, H, K, C) over keys and values (B, H, N, C), by torch's fused kernel.

    `mask` is bool, true where a query may look: Ascend has its fused kernel for bool masks alone
    (ScaledDotProductAttentionKernelNpuOpApi.cpp of torch_npu).
    """
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=1.0)


def attend_sound(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """As `attend` for an encoder: in bfloat16 on a CPU head after head, so that the scores stay in its caches.

    With Whisper's 1500 positions that takes 0.45 to 0.6 of the time of torch's fused kernel for 8 to 20 heads, 0.8 to
    0.95 for 6 (AMD Zen 5, two cores, torch 2.13). Scores and weights are rounded to bfloat16 then, as in transformers'
    eager attention.
    """
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return attend(query, keys, values, None)
    rows, heads, count, channels = query.shape
    out = query.new_empty(rows, count, heads, channels)  # so that merging the heads copies nothing
    for row in range(rows):
        for head in range(heads):
            scores = query[row, head] @ keys[row, head].T
            out[row, :, head] = scores.softmax(-1) @ values[row, head]
    return out.transpose(1, 2)


def attend_by_blocks(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """As `attend` without a mask, of one row in float32 on a CPU: head after head, in blocks of queries, by oneDNN.

    With the 1092 steps of 43.8 s in MedASR that took 0.7 of the time of torch's fused kernel, with the 497 of 20 s 0.9
    (AMD Zen 5, one core, torch 2.13).
    """
    _, heads, count, channels = query.shape
    out = query.new_empty(1, count, heads, channels)  # so that merging the heads copies nothing
    for head in range(heads):
        laid, turned = packed(keys[0, head]), packed(values[0, head].T.contiguous())
        for start in range(0, count, QUERIES):
            scores = multiplied(query[0, head, start : start + QUERIES], laid)
            out[0, start : start + QUERIES, head] = multiplied(scores.softmax(-1), turned)
    return out.transpose(1, 2)


def attend_alike(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """As `attend`, on a CPU; a query's result is the same whatever B, K and N.

    `mask` (B, 1, K, N) is added to the scores; N is a multiple of KEYS_COUNTED then.

    With few queries the fused kernel of torch's CPU build is slower than three plain calls, and its sums depend on
    how many there are.
    """
    count, channels = query.shape[2:]
    query = _at_least(rows_at_once(query.dtype), query)
    lacking = -channels % COLUMNS if query.dtype == torch.float32 else WIDE - channels
    if lacking > 0:
        query, keys, values = (F.pad(part, (0, lacking)) for part in (query, keys, values))
    scores = query @ keys.transpose(-1, -2)  # (B, H, K, N)
    if mask is None:
        return (scores.softmax(-1) @ values)[:, :, :count, :channels]
    scores += mask if mask.shape[2] == 1 else _at_least(rows_at_once(mask.dtype), mask)
    return _weigh(scores.softmax(-1), values)[:, :, :count, :channels]


def _weigh(weights: Tensor, values: Tensor) -> Tensor:
    """Weights (B, H, K, N) times values (B, H, N, C), in sums that are the same whatever N comes after."""
    if weights.dtype != torch.float32:
        return weights @ values
    starts = range(0, weights.shape[-1], KEYS_SUMMED)
    sums = (weights[..., at : at + KEYS_SUMMED] @ values[:, :, at : at + KEYS_SUMMED] for at in starts)
    return functools.reduce(Tensor.add_, sums)


def _at_least(rows: int, query: Tensor) -> Tensor:
    """(B, H, K, C) -> (B, H, max(K, rows), C): the last query again."""
    lacking = rows - query.shape[2]
    if lacking <= 0:
        return query
    return torch.cat([query, query[:, :, -1:].expand(-1, -1, lacking, -1)], 2)
