"""Tokens to words, as openai/whisper splits them (whisper/tokenizer.py)."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence

# Languages written without spaces: each character, or few of them that a token holds, counts as a word.
UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
UNKNOWN = "\ufffd"

Split = list[tuple[str, tuple[int, ...]]]
"""Words with their spaces, and the tokens of each; together they are the text."""


def split_words(tokens: Sequence[int], decode: Callable[[Iterable[int]], str], language: str | None) -> Split:
    """The words of text tokens."""
    characters = _split_characters(tokens, decode)
    return characters if language in UNSPACED else _join(characters)


def _split_characters(tokens: Sequence[int], decode: Callable[[Iterable[int]], str]) -> Split:
    """The fewest tokens that hold whole characters; bytes that are none in the whole text stand by themselves.

    Where the text breaks off within a character, openai/whisper loses the tokens of what is broken; here they go with
    the word before.
    """
    whole, place, found = decode(tokens), 0, []
    held: tuple[int, ...] = ()
    for token in tokens:
        held = (*held, token)
        text = decode(held)
        at = place + text.find(UNKNOWN)
        if UNKNOWN not in text or whole[at : at + 1] == UNKNOWN:
            found.append((text, held))
            held, place = (), place + len(text)
    if held:
        text, earlier = found.pop() if found else ("", ())
        found.append((text + whole[place:], (*earlier, *held)))
    return found


def _join(parts: Split) -> Split:
    """A word begins at a space, and each mark of punctuation is one."""
    words: Split = []
    for text, tokens in parts:
        if text.startswith(" ") or text.strip() in string.punctuation or not words:
            words.append((text, tokens))
        else:
            before, earlier = words[-1]
            words[-1] = (before + text, earlier + tokens)
    return words
