"""docs/options.md, written from the options dataclasses: `python -m literatim.cli.reference > docs/options.md`."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import fields

import click

from literatim.options import (
    AudioOptions,
    HubOptions,
    LiveOptions,
    LoadOptions,
    RunOptions,
    SubtitleOptions,
    TranscribeOptions,
    VadOptions,
    VerifyOptions,
)
from literatim.speaker_options import DiarizeOptions, NamingOptions, SpeakerLoadOptions

TITLES = {
    TranscribeOptions: "Transcribing",
    NamingOptions: "Who said what",
    DiarizeOptions: "Telling speakers apart",
    VadOptions: "Finding speech",
    SubtitleOptions: "Subtitles",
    AudioOptions: "Audio",
    LiveOptions: "Live",
    RunOptions: "Many recordings (the command)",
    LoadOptions: "Loading",
    HubOptions: "Finding models",
    SpeakerLoadOptions: "Loading networks for voices",
    VerifyOptions: "Verifying",
}
WORDS = {"NoneType": "nothing", "tuple": "several"}


def page() -> str:
    """The whole page, Markdown."""
    head = [
        "# Options and their defaults",
        "",
        "The same names serve as keyword arguments in Python and as flags of the command line (`--max_new_tokens` or",
        "`--max-new-tokens`). This page is made from `src/literatim/options.py` and `speaker_options.py`.",
    ]
    return "\n".join([*head, *(line for kind, title in TITLES.items() for line in _table(kind, title))]) + "\n"


def _table(kind: type, title: str) -> Iterator[str]:
    yield from ("", f"## {title} (`{kind.__name__}`)", "", "| option | type | default | meaning |", "|---|---|---|---|")
    hints = typing.get_type_hints(kind)
    for item in fields(kind):
        names = [
            getattr(part, "__name__", str(part)) for part in typing.get_args(hints[item.name]) or (hints[item.name],)
        ]
        shown = " or ".join(WORDS.get(name, name) for name in names)
        choices = item.metadata["choices"]
        meaning = item.metadata["help"] + (f" ({', '.join(choices)})" if choices else "")
        yield f"| `{item.name}` | {shown} | `{item.default}` | {meaning} |"


if __name__ == "__main__":
    click.echo(page(), nl=False)
