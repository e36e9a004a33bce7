"""Dictated radiology: lines of reports from templates with slots, random word sequences, and splices of both.

One in sixteen lines, chosen by the hash of its text, is never trained on.
"""

from __future__ import annotations

import functools
import random
import re
from dataclasses import dataclass
from importlib.resources import files

from literatim.train.grammar import held_out

RANDOM, SPLICED = 0.35, 0.2  # shares of the lines that are drawn; the others are filled templates
SECTIONS = {
    "exam": ("[EXAM TYPE]",),
    "indication": ("[INDICATION]", "[HISTORY]", "[CLINICAL HISTORY]"),
    "technique": ("[TECHNIQUE]",),
    "comparison": ("[COMPARISON]",),
    "findings": ("[FINDINGS]",),
    "impression": ("[IMPRESSION]",),
    "recommendation": ("[RECOMMENDATION]", "[PLAN]"),
}
WEIGHTS = (2, 4, 2, 2, 12, 5, 2)  # how often a line of each section is drawn
COMMANDS = ("{period}", "{comma}", "{colon}", "{semicolon}", "{new paragraph}", "{new line}", "{question mark}")
_SLOT = re.compile(r"<(\w+)>")
MARKUP = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]")


@dataclass(frozen=True)
class Radiology:
    """What the grammar's file holds; `words` is every word of the slots, of the trained templates and of its list."""

    slots: dict[str, tuple[str, ...]]
    templates: dict[str, tuple[str, ...]]
    new_templates: dict[str, tuple[str, ...]]
    words: tuple[str, ...]


def _words_of(text: str) -> list[str]:
    return [word for word in MARKUP.sub(" ", _SLOT.sub(" ", text)).split() if word != "x" and word[0] != "-"]


@functools.cache
def load() -> Radiology:
    """Read the grammar."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in (files("literatim.train") / "text" / "radiology.txt").read_text("utf-8").splitlines():
        heading = re.fullmatch(r"\[([a-z ]+)\]", line)
        if heading:
            current = sections.setdefault(heading[1], [])
        elif line.strip() and not line.startswith("#"):
            current.append(line.strip())
    slots = {
        name.split()[1]: tuple(entry.strip() for line in lines for entry in line.split(",") if entry.strip())
        for name, lines in sections.items()
        if name.startswith("slot ")
    }
    templates = {name: tuple(sections[f"templates {name}"]) for name in SECTIONS}
    new = {name: tuple(sections.get(f"new templates {name}", ())) for name in SECTIONS}
    texts = [entry for group in (slots, templates) for entries in group.values() for entry in entries]
    listed = {word.strip() for line in sections["words"] for word in line.split(",")}
    words = listed.union(*map(_words_of, texts)) - {""}
    return Radiology(slots, templates, new, tuple(sorted(words)))


def _sentences(text: str) -> str:
    """Capitals where a sentence or what a colon announces begins."""
    return re.sub(
        r"(^|(?:\{period\}|\{colon\}|\{new line\}|\{new paragraph\}|\]) )([a-z])",
        lambda match: match[1] + match[2].upper(),
        text,
    )


def fill(template: str, rng: random.Random) -> str:
    """The template with a random entry in each slot, written as the model writes it."""
    slots = load().slots
    return _sentences(_SLOT.sub(lambda match: rng.choice(slots[match[1]]), template))


def _headed(section: str, text: str, rng: random.Random) -> str:
    """Now and then with the section's heading before it, and with a new paragraph around it."""
    kind = rng.random()
    heading = rng.choice(SECTIONS[section])
    if kind < 0.25 or section == "exam":
        text = f"{heading} {text}"
    elif kind < 0.45:
        text = f"{heading} {{colon}} {text}"
    elif kind < 0.55:
        text = f"{heading} {{colon}} {{new paragraph}} {text}"
    return f"{text} {{new paragraph}}" if rng.random() < 0.12 else text


def template_line(templates: dict[str, tuple[str, ...]], rng: random.Random) -> str:
    """A line of a report from one of these templates."""
    while True:
        section = rng.choices(list(SECTIONS), WEIGHTS)[0]
        if templates[section]:
            return _headed(section, fill(rng.choice(templates[section]), rng), rng)


def word_sequence(rng: random.Random) -> str:
    """Three to eleven random words and commands: speech in which no word foretells the next."""
    grammar = load()
    words = [rng.choice(grammar.words) for _ in range(rng.randint(3, 9))]
    if rng.random() < 0.3:
        words[rng.randrange(len(words))] = str(rng.randint(1, 199))
    for _ in range(rng.randint(0, 2)):
        words.insert(rng.randint(1, len(words)), rng.choice(COMMANDS))
    return " ".join(words)


def splice(rng: random.Random) -> str:
    """The beginning of one line and the end of another: known pairs of words in an unknown order."""
    first, second = (_units(template_line(load().templates, rng)) for _ in range(2))
    return " ".join([*first[: rng.randint(2, 5)], *second[-rng.randint(3, 6) :]])


def _units(text: str) -> list[str]:
    """Words and whole commands."""
    return re.findall(r"\{[^{}]*\}|\[[^\[\]]*\]|\S+", text)


def trained(rng: random.Random) -> tuple[str, bool]:
    """A line of the training side, and whether it is free of templates (random words or a splice)."""
    while True:
        kind = rng.random()
        if kind < RANDOM:
            text = word_sequence(rng)
        elif kind < RANDOM + SPLICED:
            text = splice(rng)
        else:
            text = template_line(load().templates, rng)
        if not held_out(text):
            return text, kind < RANDOM + SPLICED


def tested(kind: str, rng: random.Random) -> str:
    """A line of the test side: of `templates` (trained ones), `new-templates` or `random-words`."""
    while True:
        if kind == "new-templates":
            return template_line(load().new_templates, rng)
        text = word_sequence(rng) if kind == "random-words" else template_line(load().templates, rng)
        if held_out(text):
            return text
