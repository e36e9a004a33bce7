"""Whisper tokenizer folders in Hugging Face's formats, built from the assets of the openai-whisper package.

The package itself is never imported (it needs numba): its `tokenizer.py` is loaded alone, as the reference,
and its two `.tiktoken` files give the ranks from which vocabulary and merges are made.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import warnings
from functools import lru_cache
from importlib.metadata import files
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from literatim.text.languages import LANGUAGES

TASK_TOKENS = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>")


@lru_cache(maxsize=1)
def _openai_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("openai_whisper_tokenizer", _asset("whisper/tokenizer.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def openai_languages() -> tuple[dict[str, str], dict[str, str]]:
    """openai/whisper's LANGUAGES and TO_LANGUAGE_CODE."""
    return _openai_module().LANGUAGES, _openai_module().TO_LANGUAGE_CODE


def openai_tokenizer(multilingual: bool = True, num_languages: int = 99, **prompt: Any) -> Any:
    """openai/whisper's own tokenizer; it forgets to close its asset, which is no failure of a test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return _openai_module().get_tokenizer(multilingual, num_languages=num_languages, **prompt)


def standard_tokenizer(
    folder: Path,
    multilingual: bool = True,
    num_languages: int = 99,
    *,
    layout: str = "json",
    timestamps: bool = True,
    no_speech: str = "<|nospeech|>",
    extra: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Write a tokenizer into `folder` and return the token facts of a generation_config.json.

    `layout`: `json` (tokenizer.json), `slow` (vocab.json, merges.txt, added_tokens.json and
    special_tokens_map.json) or `both`. `timestamps=False` leaves the timestamp tokens out, as early
    checkpoints do; `extra` are words added after the timestamps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = "multilingual" if multilingual else "gpt2"
    added = _added_tokens(name, num_languages, no_speech)
    facts = _generation_config(added, multilingual, no_speech)
    if not timestamps:
        added = {text: id for text, id in added.items() if id <= facts["no_timestamps_token_id"]}
    first_free = facts["no_timestamps_token_id"] + 1502
    added |= {word: first_free + index for index, word in enumerate(extra)}
    if layout in {"json", "both"}:
        _write_tokenizer_json(folder, name, added, facts["no_timestamps_token_id"])
    if layout in {"slow", "both"}:
        _write_slow_files(folder, name, added, facts["no_timestamps_token_id"])
    end = "<|endoftext|>"
    _dump(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "WhisperTokenizer", "bos_token": end, "eos_token": end, "unk_token": end},
    )
    return facts


def _write_tokenizer_json(folder: Path, name: str, added: dict[str, int], last_special: int) -> None:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokens = [
        {"id": id, "content": text, **flags, "special": id <= last_special}
        for text, id in sorted(added.items(), key=lambda item: item[1])
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": tokens,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
    }
    text = f'{json.dumps(content)[:-1]}, "model": {_model_json(name)}}}'
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")


@lru_cache(maxsize=2)
def _model_json(name: str) -> str:
    settings = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
    }
    return json.dumps({**settings, "vocab": _vocabulary(name), "merges": _merges(name)}, ensure_ascii=False)


def _write_slow_files(folder: Path, name: str, added: dict[str, int], last_special: int) -> None:
    """As published: `<|endoftext|>` lies in vocab.json, the other tokens in added_tokens.json."""
    end = "<|endoftext|>"
    _dump(folder / "vocab.json", {**_vocabulary(name), end: added[end]})
    _dump(folder / "added_tokens.json", {text: id for text, id in added.items() if text != end})
    merges = "".join(f"{left} {right}\n" for left, right in _merges(name))
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    special = [text for text, id in added.items() if id <= last_special]
    names = {"bos_token": end, "eos_token": end, "unk_token": end, "additional_special_tokens": special}
    _dump(folder / "special_tokens_map.json", names)


def _generation_config(added: dict[str, int], multilingual: bool, no_speech: str) -> dict[str, Any]:
    """The token facts of a published generation_config.json, with openai/whisper's suppressed tokens."""
    end = added["<|endoftext|>"]
    facts: dict[str, Any] = {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": added["<|startoftranscript|>"],
        "no_timestamps_token_id": added["<|notimestamps|>"],
        "prev_sot_token_id": added["<|startofprev|>"],
        "begin_suppress_tokens": [220, end],
        "is_multilingual": multilingual,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "return_timestamps": False,
    }
    if multilingual:
        facts["lang_to_id"] = {f"<|{c}|>": added[f"<|{c}|>"] for c in LANGUAGES if f"<|{c}|>" in added}
        facts["task_to_id"] = {"transcribe": added["<|transcribe|>"], "translate": added["<|translate|>"]}
    tokenizer = openai_tokenizer(multilingual, len(facts.get("lang_to_id", range(99))))
    special = [added[text] for text in (*TASK_TOKENS, "<|startoftranscript|>", no_speech)]
    facts["suppress_tokens"] = sorted({*tokenizer.non_speech_tokens, *special})
    return facts


@lru_cache(maxsize=8)
def _added(name: str, num_languages: int, no_speech: str) -> tuple[tuple[str, int], ...]:
    languages = [f"<|{code}|>" for code in list(LANGUAGES)[:num_languages]]
    texts = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *languages,
        *TASK_TOKENS,
        no_speech,
        "<|notimestamps|>",
    ]
    texts += [f"<|{index * 0.02:.2f}|>" for index in range(1501)]
    first = len(ranks(name))
    return tuple((text, first + index) for index, text in enumerate(texts))


def _added_tokens(name: str, num_languages: int, no_speech: str) -> dict[str, int]:
    return dict(_added(name, num_languages, no_speech))


@lru_cache(maxsize=2)
def ranks(name: str) -> dict[bytes, int]:
    """Byte strings and ranks of `gpt2` or `multilingual`; the latter's last entry is the empty string."""
    lines = _asset(f"whisper/assets/{name}.tiktoken").read_bytes().splitlines()
    pairs = (line.split() for line in lines if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


@lru_cache(maxsize=2)
def _vocabulary(name: str) -> dict[str, int]:
    return {_spell(token): rank for token, rank in ranks(name).items()}


@lru_cache(maxsize=2)
def _merges(name: str) -> list[tuple[str, str]]:
    """The two parts each token was merged from, in the order of the ranks."""
    table = ranks(name)
    tokens = [token for token in sorted(table, key=lambda token: table[token]) if len(token) > 1]
    return [tuple(map(_spell, _parts(token, table))) for token in tokens]  # type: ignore[misc]


def _parts(token: bytes, table: dict[bytes, int]) -> list[bytes]:
    """Byte-pair encoding of `token` with the merges ranked below it: two parts remain."""
    limit = table[token]
    parts = [token[index : index + 1] for index in range(len(token))]
    while len(parts) > 2:
        ranked = [table.get(left + right, limit) for left, right in pairwise(parts)]
        best = min(range(len(ranked)), key=ranked.__getitem__)
        assert ranked[best] < limit
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts


@lru_cache(maxsize=1)
def byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte: itself where Latin-1 prints, else the next from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


def _spell(token: bytes) -> str:
    return "".join(byte_letters()[byte] for byte in token)


def _asset(name: str) -> Path:
    for path in files("openai-whisper") or []:
        if str(path) == name:
            return Path(str(path.locate()))
    raise FileNotFoundError(f"the openai-whisper package has no {name}")


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
