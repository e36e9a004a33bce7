"""Names of the places in a Whisper where something is computed: its modules, and what has no module of its own.

A call that uses a parameter belongs to that parameter's module. The others belong to what the program does after the
module that was seen last: the product after the queries, the sum after the output projection, and so on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from literatim.models.whisper import Whisper
from literatim.verify.watch import WRITES, tensors

INPUT, ENCODED, MASK, POSITIONS = "encoder.input", "encoder.norm", "decoder.mask", "decoder.positions"
ROWS, LOGITS, RULES, CHOICE, CACHE = (
    "decoder.rows",
    "decoder.logits",
    "decoder.rules",
    "decoder.choice",
    "decoder.cache",
)
HEAD = "head"  # of MedASR
_START = "decoder.start"  # of a pass of the decoder, before its first parameter
PARTS = {
    "scaled_dot_product_attention": "product",
    "gelu": "gelu",
    "mul": "scale",
    "add": "add",
    WRITES: "cache",
}


class SitesByParameter(ABC):
    """Says which place a call belongs to, for one run: the module whose parameter is used, else what `between` says."""

    def __init__(self, model: nn.Module, begin: str) -> None:
        self._owners = {id(item): name.rpartition(".")[0] for name, item in model.named_parameters()}
        self._at = begin

    def close(self) -> None:  # noqa: B027 (not abstract: most change nothing)
        """Nothing was changed in the network."""

    def __call__(self, op: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The place's name."""
        found = (self._owners.get(id(item)) for item in tensors((args, kwargs)))
        owner = next((name for name in found if name is not None), None)
        if owner is not None:
            self._at = owner
            return owner
        return self.between(op)

    @abstractmethod
    def between(self, op: str) -> str:
        """The place of a call without a parameter."""


class WhisperSites:
    """Says which place a call belongs to; for one run, since it remembers where the run is."""

    def __init__(self, model: Whisper) -> None:
        self._owners = {id(parameter): _owner(name) for name, parameter in model.named_parameters()}
        self._at = INPUT
        self._hook = model.decoder.register_forward_pre_hook(self._enter)

    def close(self) -> None:
        """Take the hook off the network."""
        self._hook.remove()

    def _enter(self, _module: nn.Module, _args: Any) -> None:
        self._at = _START

    def __call__(self, op: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The place's name."""
        owner = self._owned(args, kwargs)
        if owner is not None:
            self._at = LOGITS if op == "linear" and owner in {"decoder.tokens", "decoder.head"} else owner
            return self._at
        return self._between(op)

    def _owned(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
        found = (self._owners.get(id(item)) for item in tensors((args, kwargs)))
        return next((name for name in found if name is not None), None)

    def _between(self, op: str) -> str:
        """Of a call without a parameter."""
        at = self._at
        if at in {_START, "decoder.tokens", POSITIONS}:
            return self._before_layers(op)
        if at == "decoder.norm":
            return CACHE if op == WRITES else ROWS
        if at in {LOGITS, RULES, CHOICE}:
            return self._after_logits(op)
        if at == ENCODED:
            return CACHE
        if at in {INPUT, "encoder.positions"}:
            return at
        if at in {"encoder.conv1", "encoder.conv2"}:
            return f"{at}.{PARTS.get(op, op)}"
        return f"{at.rpartition('.')[0]}.{PARTS.get(op, op)}"

    def _before_layers(self, op: str) -> str:
        if op in {"gt", "lt", "ge", "le", "__invert__", "bitwise_not", "logical_not"}:
            return MASK
        if op == WRITES:
            return CACHE
        return POSITIONS

    def _after_logits(self, op: str) -> str:
        if op == "argmax":
            self._at = CHOICE
        elif self._at == LOGITS and op not in {"float", "to"}:
            self._at = RULES
        return CACHE if op == WRITES else self._at


def is_output(site: str, op: str) -> bool:
    """Whether a call gives what leaves the encoder, or the logits."""
    return site == ENCODED or (site in {LOGITS, HEAD} and op == "linear")


def is_choice(op: str) -> bool:
    """Whether a call chooses tokens."""
    return op == "argmax"


def _owner(parameter: str) -> str:
    """`encoder.conv1` of `encoder.conv1.weight`; a parameter that stands alone is its own."""
    module, _, leaf = parameter.rpartition(".")
    return module if leaf in {"weight", "bias"} else parameter


def values_of_choice(args: tuple[Any, ...]) -> Tensor:
    """The scores (B, V) that a choice is made from; where steps are chosen at once, one row for each (B S, V)."""
    scores: Tensor = args[0]
    return scores.reshape(-1, scores.shape[-1])


def put_choice(chosen: Tensor, tokens: Tensor) -> Tensor:
    """Other tokens, one for each row of `values_of_choice`, in the place of those that were chosen."""
    return chosen.copy_(tokens.view(chosen.shape))
