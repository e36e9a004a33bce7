"""Which of a decoder's heads follow the words through the sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from literatim.models.config import WhisperConfig
from literatim.models.whisper import Head


def alignment_heads(generation_config: Mapping[str, Any], config: WhisperConfig) -> tuple[tuple[Head, ...], str]:
    """The heads that follow the words, as a checkpoint names them, and no remark.

    Where it names none, or some that it has not, all heads of the upper half of the layers, as in openai/whisper, and
    what a user should know.
    """
    layers, count = config.decoder_layers, config.decoder_heads
    every = [(layer, head) for layer in range(layers) for head in range(count)]
    named = generation_config.get("alignment_heads")
    pairs = [tuple(pair) if isinstance(pair, list) else pair for pair in named] if isinstance(named, list) else []
    if pairs and set(pairs) <= set(every):
        return tuple(dict.fromkeys(pairs)), ""
    problem = "names no alignment_heads" if not named else f"names alignment_heads that no {layers} x {count} heads are"
    upper = tuple((layer, head) for layer, head in every if layer >= layers // 2)
    return upper, (
        f"generation_config.json {problem}: the times of words are those of all heads in the upper half of the "
        "decoder and less exact; copy the file from the model this one was made from"
    )
