"""The tokenizer files of a Whisper folder: byte-level BPE, and the tokens added to it.

Published folders hold `tokenizer.json`, or only `vocab.json` and `merges.txt` with the added tokens in
`added_tokens.json` or in `tokenizer_config.json`; both give the same Vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from literatim.errors import ModelFormatError


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Text to ids and ids to bytes.

    `codec` knows no added tokens, so that a text that spells one (`<|endoftext|>`) stays text. `base` maps
    the BPE tokens, spelled in GPT-2's byte letters, to ids; `added` maps special, timestamp and later words
    to theirs; `special` names those of them that are never text.
    """

    codec: Tokenizer
    base: Mapping[str, int]
    added: Mapping[str, int]
    special: frozenset[str]

    @cached_property
    def named(self) -> dict[str, int]:
        """Every token's id by its text; some folders list special tokens among the BPE tokens."""
        return {**self.base, **self.added}

    @cached_property
    def bytes_of(self) -> dict[int, bytes]:
        """The bytes of every BPE token."""
        byte_of = _byte_of_letter()
        return {id: b"".join(byte_of.get(c, c.encode()) for c in text) for text, id in self.base.items()}

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; what cannot be UTF-8 (half a surrogate pair) becomes U+FFFD first."""
        clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return list(self.codec.encode(clean, add_special_tokens=False).ids)


def load_vocabulary(folder: Path) -> Vocabulary:
    """Read the tokenizer of a checkpoint folder; ModelFormatError where there is none of Whisper's kind."""
    if (folder / "tokenizer.json").is_file():
        return _from_tokenizer_json(folder / "tokenizer.json")
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return _from_slow_files(folder)
    raise ModelFormatError(
        f"{folder} has no tokenizer.json, nor vocab.json with merges.txt; "
        "copy them there from the model this one was made from"
    )


def _from_tokenizer_json(path: Path) -> Vocabulary:
    content = _read_json(path)
    model = content.get("model") or {}
    if not isinstance(model.get("vocab"), dict) or "merges" not in model:
        raise ModelFormatError(f"{path} is not a byte-level BPE tokenizer, so it is not of a Whisper model")
    added = content.get("added_tokens") or []
    bare: dict[str, Any] = {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    return Vocabulary(
        codec=_guarded(path, lambda: Tokenizer.from_str(json.dumps({**content, **bare}))),
        base=model["vocab"],
        added={token["content"]: token["id"] for token in added},
        special=frozenset(token["content"] for token in added if token.get("special")),
    )


def _from_slow_files(folder: Path) -> Vocabulary:
    base: dict[str, int] = _read_json(folder / "vocab.json")
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    pairs = (line.partition(" ") for line in lines if line and not line.startswith("#version"))
    merges = [(left, right) for left, _, right in pairs]
    codec = _guarded(folder / "merges.txt", lambda: Tokenizer(BPE(vocab=base, merges=merges)))
    codec.pre_tokenizer = ByteLevel(add_prefix_space=False)
    described = _read_optional(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}
    added = {token["content"]: int(id) for id, token in described.items()}
    added.update(_read_optional(folder / "added_tokens.json"))
    special = {token["content"] for token in described.values() if token.get("special")}
    special |= _special_names(_read_optional(folder / "special_tokens_map.json"))
    return Vocabulary(codec=codec, base=base, added=added, special=frozenset(special))


def _special_names(names: dict[str, Any]) -> set[str]:
    """Texts in a special_tokens_map.json, where a token is a string, a dictionary or a list of either."""
    listed = [item for value in names.values() for item in (value if isinstance(value, list) else [value])]
    return {item["content"] if isinstance(item, dict) else str(item) for item in listed}


def _guarded(path: Path, build: Callable[[], Tokenizer]) -> Tokenizer:
    try:
        return build()
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise ModelFormatError(f"{path} cannot be used as a tokenizer ({error}); fetch it again") from error


def _read_optional(path: Path) -> dict[str, Any]:
    return _read_json(path) if path.is_file() else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFormatError(
            f"{path} is not JSON ({error}); run `git lfs pull` if it is an LFS pointer, else fetch it again"
        ) from error
    if not isinstance(content, dict):
        raise ModelFormatError(f"{path} does not hold a JSON object; fetch it again")
    return content


def _byte_of_letter() -> dict[str, bytes]:
    """GPT-2's letters for bytes: Latin-1's printable ones are themselves, the others follow from U+0100."""
    plain = [byte for byte in range(256) if 0x21 <= byte <= 0x7E or (0xA1 <= byte <= 0xFF and byte != 0xAD)]
    moved = [byte for byte in range(256) if byte not in plain]
    letters = {chr(byte): bytes([byte]) for byte in plain}
    return letters | {chr(0x100 + index): bytes([byte]) for index, byte in enumerate(moved)}
