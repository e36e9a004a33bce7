"""How a line of a report is said: its commands as words, abbreviations letter by letter, units in full."""

from __future__ import annotations

import random
import re

LETTERS = re.compile(r"[A-Z]{2,}")
SAID = {  # what is no plain word and no row of letters either
    "PICC": "pick",
    "PET": "pet",
    "BI-RADS": "bye rads",
    "TI-RADS": "tie rads",
    "MRCP": "M R C P",
    "x": "by",
}
UNITS = {"mm": "millimeter", "cm": "centimeter", "mL": "milliliter"}
COMMAND = re.compile(r"\{([^{}]*)\}|\[([^\[\]]*)\]")
LEVEL = re.compile(r"([A-Z])(\d+)(?:-([A-Z])(\d+))?")


def _word(word: str, before: str, after: str) -> str:
    if word in SAID:
        return SAID[word]
    if word in UNITS:
        adjective = after[:1].isalpha() and after not in {"in", "on", "of", "and", "x", "was"}
        return UNITS[word] + ("" if adjective or before == "1" else "s")
    level = LEVEL.fullmatch(word)
    if level:
        return " ".join(part for part in level.groups() if part)
    return " ".join(word) if LETTERS.fullmatch(word) else word


def spoken(text: str, rng: random.Random) -> str:
    """What is said for `text`; now and then with a breath before or after a command."""
    commands = COMMAND.sub(lambda match: f" \0{(match[1] or match[2]).lower().replace(' ', '_')} ", text)
    words = commands.split()
    out: list[str] = []
    for index, word in enumerate(words):
        if word.startswith("\0"):
            before, after = (rng.random() < 0.3 for _ in range(2))
            if before and out:
                out[-1] = out[-1].rstrip(",") + ","
            out.append(word[1:].replace("_", " ") + ("," if after else ""))
        else:
            around = (words[index - 1] if index else "", words[index + 1] if index + 1 < len(words) else "")
            out.append(_word(word, *around))
    return " ".join(out).rstrip(",")
