"""The sentences: templates with slots, random word sequences, and splices of both, in two languages.

One in sixteen sentences, chosen by the hash of its text, is never trained on.
"""

from __future__ import annotations

import functools
import hashlib
import random
import re
from dataclasses import dataclass
from importlib.resources import files

FILES = {"en": "english.txt", "nl": "dutch.txt"}
RANDOM, SPLICED = 0.4, 0.2  # shares of the sentences that are drawn; the others are filled templates
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Grammar:
    """What one language's file holds; `words` is every word of the slots and the trained templates."""

    slots: dict[str, tuple[str, ...]]
    templates: tuple[str, ...]
    new_templates: tuple[str, ...]
    meeting: tuple[str, ...]
    words: tuple[str, ...]


def _words_of(text: str) -> list[str]:
    return re.sub(r"[,.?]", " ", _SLOT.sub(" ", text)).split()


@functools.cache
def load(language: str) -> Grammar:
    """Read the grammar of `en` or `nl`."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (files("literatim.train") / "text" / FILES[language]).read_text("utf-8").splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[] "), [])
        elif line.strip():
            current.append(line.strip())
    slots = {
        name.split()[1]: tuple(entry.strip() for line in lines for entry in line.split(",") if entry.strip())
        for name, lines in sections.items()
        if name.startswith("slot ")
    }
    templates = tuple(sections["templates"])
    texts = [entry for entries in slots.values() for entry in entries] + list(templates)
    words = tuple(sorted({word for text in texts for word in _words_of(text)}))
    return Grammar(
        slots, templates, tuple(sections["held-out templates"]), tuple(sections["held-out sentences"]), words
    )


def held_out(sentence: str) -> bool:
    """Whether this sentence belongs to the test side."""
    return hashlib.md5(sentence.encode()).digest()[0] < 16


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


def fill(template: str, grammar: Grammar, rng: random.Random) -> str:
    """The template with a random entry in each slot."""
    return _capitalised(_SLOT.sub(lambda match: rng.choice(grammar.slots[match[1]]), template))


def word_sequence(grammar: Grammar, rng: random.Random) -> str:
    """Two to nine random words: speech in which no word foretells the next."""
    return _capitalised(" ".join(rng.choice(grammar.words) for _ in range(rng.randint(2, 9)))) + "."


def splice(grammar: Grammar, rng: random.Random) -> str:
    """The beginning of one sentence and the end of another: known pairs of words in an unknown order."""
    first, second = (fill(rng.choice(grammar.templates), grammar, rng) for _ in range(2))
    head, tail = first[:-1].split(), second.split()
    head, tail = head[: rng.randint(2, 5)], tail[-rng.randint(2, 5) :]
    return " ".join([*head, *tail])


def trained(language: str, rng: random.Random) -> tuple[str, bool]:
    """A sentence of the training side, and whether it is free of templates (random words or a splice)."""
    grammar = load(language)
    while True:
        kind = rng.random()
        if kind < RANDOM:
            text = word_sequence(grammar, rng)
        elif kind < RANDOM + SPLICED:
            text = splice(grammar, rng)
        else:
            text = fill(rng.choice(grammar.templates), grammar, rng)
        if not held_out(text):
            return text, kind < RANDOM + SPLICED


def tested(language: str, kind: str, rng: random.Random) -> str:
    """A sentence of the test side: `templates` (trained ones), `new-templates` or `random-words`."""
    grammar = load(language)
    while True:
        if kind == "new-templates":
            return fill(rng.choice(grammar.new_templates), grammar, rng)
        text = (
            word_sequence(grammar, rng) if kind == "random-words" else fill(rng.choice(grammar.templates), grammar, rng)
        )
        if held_out(text):
            return text
