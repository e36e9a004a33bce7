"""The whole way in figures: encoder states, logits and tokens of a device beside a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from literatim.verify.figures import distributions, errors
from literatim.verify.types import EndToEnd, TokenFigures

TRANSFORMERS = "transformers"  # the independent implementation, as `EndToEnd.against` has it
FLOAT64 = "fp64"  # the reference


@dataclass(frozen=True)
class Measured:
    """One tensor three times: from the device, from the same dtype on the CPU, and in float64."""

    device: Tensor
    floor: Tensor
    truth: Tensor


def end_to_end(
    against: str, encoder: Measured | None, logits: Measured, tokens: Sequence[TokenFigures] = ()
) -> EndToEnd:
    """Figures of encoder states (..., D) and raw logits (..., V) by the names in `figures`.

    Those of the logits as they are are under `raw`, without each position's mean under `centred`; `floor` holds
    `encoder` and `logits` of the CPU in the dtype. A model without an encoder apart has none.
    """
    return EndToEnd(
        against=against,
        encoder={} if encoder is None else asdict(errors(encoder.device, encoder.truth)),
        logits=_of_logits(logits.device, logits.truth),
        floor={
            "encoder": {} if encoder is None else asdict(errors(encoder.floor, encoder.truth)),
            "logits": _of_logits(logits.floor, logits.truth),
        },
        positions=logits.truth.numel() // logits.truth.shape[-1],
        tokens=tuple(tokens),
    )


def _of_logits(got: Tensor, truth: Tensor) -> dict[str, Any]:
    return {"raw": asdict(errors(got, truth)), **asdict(distributions(got, truth))}
