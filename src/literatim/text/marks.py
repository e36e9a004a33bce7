"""Spoken commands of a dictation, as MedASR writes them: which mark each stands for, and where spaces go around it.

The released model's commands are open-ended: `{period}`, `{comma}`, `{colon}` and `{new paragraph}` are on its model
card, others were seen in its output or are usual in dictation. What is not listed here is left as it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LINE, PARAGRAPH = "\n", "\n\n"


@dataclass(frozen=True)
class Mark:
    """What a command is written as, and whether it clings to the word before it and to the one after it."""

    text: str
    before: bool = True
    after: bool = False


_CLOSING = {
    ".": ("period", "full stop", "dot"),
    ",": ("comma",),
    ":": ("colon",),
    ";": ("semicolon", "semi colon"),
    "?": ("question mark",),
    "!": ("exclamation mark", "exclamation point"),
    ")": ("close parenthesis", "close paren", "right parenthesis", "right paren", "close bracket"),
    "]": ("close square bracket", "right square bracket"),
    "\u201d": ("close quote", "end quote", "unquote", "close quotes"),
    "%": ("percent sign", "percent"),
}
_OPENING = {
    "(": ("open parenthesis", "open paren", "left parenthesis", "left paren", "open bracket"),
    "[": ("open square bracket", "left square bracket"),
    "\u201c": ("open quote", "quote", "begin quote", "open quotes"),
    "#": ("number sign", "hash"),
}
_JOINING = {"-": ("hyphen",), "/": ("slash", "forward slash"), "\\": ("backslash",), "'": ("apostrophe",)}
_APART = {"\u2013": ("dash",), "&": ("ampersand",), "+": ("plus sign",), "=": ("equals sign",), "*": ("asterisk",)}
_BREAKS = {LINE: ("new line", "newline", "next line"), PARAGRAPH: ("new paragraph", "next paragraph")}

MARKS: dict[str, Mark] = {
    name: Mark(text, before, after)
    for group, before, after in (
        (_CLOSING, True, False),
        (_OPENING, False, True),
        (_JOINING, True, True),
        (_APART, False, False),
        (_BREAKS, True, True),
    )
    for text, names in group.items()
    for name in names
}
COMMAND = re.compile(r"\{([^{}]*)\}")
HEADING = re.compile(r"\[([A-Z][A-Z0-9 &/,'-]*)\]")


def mark(command: str) -> Mark | None:
    """The mark of `{command}`, whatever its case and spaces; None for one that is not known."""
    return MARKS.get(" ".join(command.lower().replace("_", " ").split()))
