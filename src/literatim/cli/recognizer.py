"""A model for a command: loaded, and what a user should know of its device told on standard error."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import click

from literatim import device as devices

if TYPE_CHECKING:
    import torch

    from literatim.api import Recognizer
    from literatim.voices import SpeakerModel


def load(model: str | None, how: dict[str, Any]) -> Recognizer:
    """The recognizer of these options (`LoadOptions` and `HubOptions`), introduced."""
    from literatim import api

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", devices.DeviceWarning)  # shown here, in the words of a command
        recognizer = api.load(model, **how)
    introduce(how["device"], recognizer.device, recognizer.warnings)
    if recognizer.assistant is not None:
        click.echo(f"assistant: {recognizer.assistant} ({recognizer.assistant_remark})", err=True)
    return recognizer


def load_voices(model: str | None, how: dict[str, Any]) -> SpeakerModel:
    """The network for voices of these options (`SpeakerLoadOptions` and `HubOptions`), introduced."""
    from literatim import voices

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", devices.DeviceWarning)
        found = voices.load_speaker(model, **how)
    introduce(how["device"], found.device, found.warnings)
    return found


def introduce(asked: str, device: torch.device, remarks: tuple[str, ...]) -> None:
    """What `auto` came to, where it is not the CPU, and what is to be known of it."""
    if asked == "auto" and device.type != "cpu":
        name = devices.name_of(device)
        click.echo(f"device: {device}" + (f" ({name})" if name else ""), err=True)
    for remark in remarks:
        click.echo(f"literatim: {remark}", err=True)
