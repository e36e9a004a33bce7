"""Sizes that a batch is filled up to, so that few shapes occur on devices that prepare a kernel for each."""

from __future__ import annotations

import torch

from literatim import device as devices
from literatim.decode.pace import CHOICES, FEW_CHOICES

SHORT_PROMPT = 4  # start, language, task, no timestamps: a prompt without a text before it
PROMPT_BLOCK = 64  # positions


def rows(count: int, device: torch.device) -> int:
    """Rows of a batch that holds `count` windows; on a CPU no more than these."""
    return devices.bucket(count, device)


def proposals(device: torch.device) -> tuple[int, ...]:
    """The numbers of tokens that a draft may propose in a round."""
    return CHOICES if device.type == "cpu" else FEW_CHOICES


def prompt_width(longest: int, context: int, device: torch.device) -> int:
    """Positions of a batch of prompts whose longest has `longest` ids; on a CPU no more than these."""
    if device.type == "cpu":
        return longest
    if longest <= SHORT_PROMPT:
        return min(SHORT_PROMPT, context)
    return min(-(-longest // PROMPT_BLOCK) * PROMPT_BLOCK, context)
