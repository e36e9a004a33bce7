"""How a recording becomes windows: what `strategy="auto"` comes to, and the options that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import replace
from typing import Any

from literatim.errors import OptionError
from literatim.options import TranscribeOptions

CHUNKED = ("chunk_length_s", "stride_length_s")
_SIDE_BY_SIDE = "the windows of strategy {} are decoded side by side, so that none can be given the text before it"
_CANNOT = {  # what, and why
    "batched": {"condition_on_previous_text": _SIDE_BY_SIDE.format("batched")},
    "chunked": {
        "condition_on_previous_text": _SIDE_BY_SIDE.format("chunked"),
        "vad_filter": "strategy chunked cuts by the clock, whether somebody speaks or not",
        "word_timestamps": "strategy chunked puts texts together where they overlap, and words have no times there",
    },
}


def settled(options: Mapping[str, Any], several: bool, model_type: str = "whisper") -> dict[str, Any]:
    """Keyword arguments of `transcribe_many` in which the strategy is chosen: it must not change on the way.

    Only Whisper has a choice.
    """
    if model_type != "whisper":
        return dict(options)
    return {**options, "strategy": _chosen(options, several)}


def resolved(options: TranscribeOptions, several: bool) -> TranscribeOptions:
    """The options with a choice in the place of every None that depends on the strategy.

    Raises OptionError for what the strategy cannot do.
    """
    strategy = _chosen(vars(options), several)
    for name, why in _CANNOT.get(strategy, {}).items():
        if getattr(options, name):
            raise OptionError(f"{why}; leave {name} out, or choose strategy sequential")
    for name in CHUNKED:
        if strategy != "chunked" and getattr(options, name) is not None:
            raise OptionError(f"{name} is of strategy chunked, not of {strategy}; leave one of the two out")
    conditioned, filtered = options.condition_on_previous_text, options.vad_filter
    return replace(
        options,
        strategy=strategy,
        condition_on_previous_text=strategy == "sequential" if conditioned is None else conditioned,
        vad_filter=strategy == "batched" if filtered is None else filtered,
    )


def _chosen(options: Mapping[str, Any], several: bool) -> str:
    """What a strategy comes to, where `several` recordings are given or one."""
    strategy: str = options.get("strategy", "auto")
    if strategy != "auto":
        return strategy
    if any(options.get(name) is not None for name in CHUNKED):
        return "chunked"
    together = several or options.get("batch_size") is not None
    return "batched" if together and not options.get("condition_on_previous_text") else "sequential"


def are_several(audios: Any) -> bool:
    """Whether `transcribe_many` was given several recordings: all but a collection of one."""
    return not (isinstance(audios, Sized) and len(audios) == 1)
