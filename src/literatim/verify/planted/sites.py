"""Where in the network a call on the device belongs, told from the weights it is given and from what came before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from literatim.verify.faults import ATTENTION, CONVOLUTION

LINEAR, MATRIX, BATCHED = "aten.addmm", "aten.mm", "aten.bmm"
NORM, NORMALISED = "aten.addcmul", "aten.native_batch_norm"
LOOKUP, INDEX, WRITE = "aten.index_select", "aten.index", "aten._index_put_impl_"
ADD, MULTIPLY, GELU, NOT, CHOOSE = "aten.add", "aten.mul", "aten.gelu", "aten.bitwise_not", "aten.argmax"
RELU, SILU, GLU, FILL, COSINE, SINE = "aten.relu", "aten.silu", "aten.glu", "aten.masked_fill_", "aten.cos", "aten.sin"
CLIP, DIVIDE, SUBTRACT, POWER, ROOT, SUM = "aten.relu_", "aten.div", "aten.sub", "aten.pow", "aten.sqrt", "aten.sum"
COPY = "copy.on_device"
UNSHIFTED = MULTIPLY  # what scales a normalisation that has no bias

_TRANSPOSED = {LINEAR, MATRIX, BATCHED}
_TELLING = 8  # leading numbers of a weight, enough to know it by
Following = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Way:
    """How calls are told apart. `weight_at`: which argument of an op is a parameter, where one is.

    `following` are the functional parts of the network: what came last, the op, and the name of the part then.
    """

    weight_at: Mapping[str, int]
    following: Following
    mask: str | None = None  # what a negation of three dimensions makes
    tied: str | None = None  # the product with a matrix that has another name, too


_WHISPERS: Following = (
    (r"encoder\.conv[12]", GELU, r"\g<0>.gelu"),
    (r"encoder\.conv2\.gelu", ADD, "encoder.positions"),
    (r"(decoder\..*\.attention)\.qkv", WRITE, r"\1.cache"),
    (r"(.*\.attention)\.(?:qkv|cache)|(.*\.cross)\.q", MULTIPLY, r"\1\2.scale"),
    (r"(.*)\.scale", ATTENTION, r"\1.product"),
    (r"(.*\.cross)\.(?:kv|cache)", COPY, r"\1.cache"),
    (r"(.*)\.out", ADD, r"\1.add"),
    (r"(.*\.mlp)\.fc1", GELU, r"\1.gelu"),
    (r"(.*\.mlp)\.fc2", ADD, r"\1.add"),
    (r"decoder\.positions", ADD, r"decoder.embedded"),
    (r"decoder\.logits", ADD, "decoder.rules"),
    (r"decoder\.rules", CHOOSE, "decoder.choice"),
)
_MEDASRS: Following = (
    (r"encoder\.subsampler\.\w+", RELU, r"\g<0>.relu"),
    (r"encoder\.subsampler\.dense_1", COSINE, "encoder.rotation"),
    (r"encoder\.rotation", SINE, "encoder.rotation"),
    (r"(.*)\.(?:linear1|batch_norm)", SILU, r"\1.silu"),
    (r"(.*)\.(?:linear2|leave)", MULTIPLY, r"\1.mul_"),
    (r"(.*)\.mul_|(.*\.attention)\.out", ADD, r"\1\2.add_"),
    (r"(.*\.attention)\.qkv", ATTENTION, r"\1.product"),
    (r"(.*)\.enter", GLU, r"\1.glu"),
    (r"(.*)\.glu", FILL, r"\1.masked_fill"),
    (r"head", CHOOSE, "head.choice"),
)
_VOICES: Following = (
    (r"conv1", CLIP, "conv1.relu"),
    (r"(layer.*)\.(?:conv[12]|add)", CLIP, r"\1.relu"),
    (r"(.*)\.relu", MULTIPLY, r"\1.mul"),
    (r"(layer.*)\.conv[23]", ADD, r"\1.add"),
    (r"layer.*\.mul", SUM, "pooling"),
    *((r"pooling", op, "pooling") for op in (MULTIPLY, SUM, DIVIDE, SUBTRACT, POWER, ADD, ROOT)),
)
WHISPER = Way(
    {LINEAR: 2, MATRIX: 1, NORM: 2, CONVOLUTION: 1, LOOKUP: 0, INDEX: 0}, _WHISPERS, "decoder.mask", "decoder.logits"
)
MEDASR = Way({LINEAR: 2, MATRIX: 1, BATCHED: 1, CONVOLUTION: 1, UNSHIFTED: 1, NORMALISED: 1}, _MEDASRS)
VOICES = Way({LINEAR: 2, CONVOLUTION: 1}, _VOICES)
_PASSED_BY = {NORMALISED, NOT}  # of no weight, between two parts, as are sums of whole numbers


class Sites:
    """Follows the calls of one device. `parameters` are those of the network, by name, on the CPU in any dtype."""

    def __init__(self, parameters: Mapping[str, Tensor], way: Way = WHISPER) -> None:
        self._way = way
        self._parameters = {name: tensor for name, tensor in parameters.items() if not name.endswith(".bias")}
        self._known: dict[torch.dtype, dict[tuple[float, ...], str]] = {}
        self._last = ""

    def of(self, op: str, args: tuple[Any, ...]) -> str | None:
        """The name of the module or of the functional part; None for what belongs to none. To be told every call."""
        if op in self._way.weight_at:
            named = self._named(op, args)
            if named is not None:
                self._last = named
                return named
        if op == NOT and args[0].dim() == 3:
            return self._way.mask
        if op in _PASSED_BY or (op == ADD and not args[0].is_floating_point()):
            return None
        following = _following(self._way.following, self._last, op)
        if following is not None:
            self._last = following
        return following

    def _named(self, op: str, args: tuple[Any, ...]) -> str | None:
        weight = args[self._way.weight_at[op]]
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            return None
        matrix = weight[0] if op == BATCHED else weight
        first = matrix[:, 0] if op in _TRANSPOSED else matrix.reshape(-1)
        name = self._names(weight.dtype).get(_told_by(first))
        if name is None:
            return None
        if op == MATRIX and self._way.tied is not None:
            return self._way.tied
        return name.removesuffix(".weight")

    def _names(self, dtype: torch.dtype) -> dict[tuple[float, ...], str]:
        if dtype not in self._known:
            held = {name: _told_by(tensor.to(dtype).reshape(-1)) for name, tensor in self._parameters.items()}
            self._known[dtype] = {numbers: name for name, numbers in held.items()}
        return self._known[dtype]


def _told_by(numbers: Tensor) -> tuple[float, ...]:
    return tuple(numbers[:_TELLING].tolist())


@cache
def _following(table: Following, last: str, op: str) -> str | None:
    for pattern, wanted, name in table:
        match = re.fullmatch(pattern, last)
        if match is not None and op == wanted:
            return match.expand(name)
    return None
