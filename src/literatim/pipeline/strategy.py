"""How a recording becomes windows: what `strategy="auto"` comes to, and the options that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import replace
from typing import Any

from literatim.errors import OptionError
from literatim.options import TranscribeOptions


def chosen(strategy: str, batch_size: int | None, conditioned: bool | None, several: bool) -> str:
    """What a strategy comes to, where `several` recordings are given or one."""
    if strategy != "auto":
        return strategy
    return "batched" if (several or batch_size is not None) and not conditioned else "sequential"


def settled(options: Mapping[str, Any], several: bool) -> dict[str, Any]:
    """Keyword arguments of `transcribe_many` in which the strategy is chosen: it must not change on the way."""
    batch_size, conditioned = options.get("batch_size"), options.get("condition_on_previous_text")
    return {**options, "strategy": chosen(options.get("strategy", "auto"), batch_size, conditioned, several)}


def resolved(options: TranscribeOptions, several: bool) -> TranscribeOptions:
    """The options with a choice in the place of every None that depends on the strategy.

    Raises OptionError for what the strategy cannot do.
    """
    conditioned = options.condition_on_previous_text
    strategy = chosen(options.strategy, options.batch_size, conditioned, several)
    if strategy == "batched" and conditioned:
        raise OptionError(
            "the windows of strategy batched are decoded side by side, so that none can be given the text before it; "
            "leave condition_on_previous_text out, or choose strategy sequential"
        )
    return replace(
        options,
        strategy=strategy,
        condition_on_previous_text=strategy == "sequential" if conditioned is None else conditioned,
        vad_filter=strategy == "batched" if options.vad_filter is None else options.vad_filter,
    )


def are_several(audios: Any) -> bool:
    """Whether `transcribe_many` was given several recordings: all but a collection of one."""
    return not (isinstance(audios, Sized) and len(audios) == 1)
