"""`literatim draft`: small models that propose tokens to a larger one."""

from __future__ import annotations

import click

from literatim.cli.lazy import Lazy

COMMANDS = {
    "train": ("literatim.cli.draft_train", "Make a draft of a model from recordings, without any text."),
    "measure": ("literatim.cli.draft_measure", "How much of what a model says a draft foretells."),
}


@click.group(cls=Lazy, commands_by_module=COMMANDS)
def draft() -> None:
    """Make and measure drafts: they propose tokens, which changes the time and never the text."""
