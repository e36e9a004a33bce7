"""Whisper folders with random weights that are alive: tokens vary by position, by text before and by audio.

transformers' own initialisation (std 0.02) gives logits that hardly depend on anything, so that a network
with a missing module would still agree with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from literatim.models.unpickle import extract
from literatim.text.languages import LANGUAGES

SMALL = {
    "num_mel_bins": 80,
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 64,
    "max_source_positions": 100,
    "max_target_positions": 64,
}
# openai/whisper-tiny's config.json
TINY = {
    "num_mel_bins": 80,
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_layers": 4,
    "decoder_attention_heads": 6,
    "decoder_ffn_dim": 1536,
    "max_source_positions": 1500,
    "max_target_positions": 448,
}
TINY_TEXT_TOKENS = 50257
LOGIT_SPREAD = 4.0  # standard deviation of the logits, whatever the width
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def random_whisper_folder(
    folder: Path,
    seed: int,
    *,
    text_tokens: int = 300,
    languages: Sequence[str] = ("en", "nl"),
    multilingual: bool = True,
    dtype: torch.dtype = torch.float32,
    end_gain: float = 1.5,
    tiny_shape: bool = False,
    **config: Any,
) -> Path:
    """Write a whole Whisper folder of transformers' kind and return it.

    The vocabulary is `text_tokens` of text (at least 256, one a byte), Whisper's special tokens with
    `languages`, and the timestamps of the window. `config` overrides entries of `SMALL` (or of `TINY` with
    `tiny_shape`, which also gives the vocabulary its real size). `end_gain` makes the text's end likelier.
    """
    if tiny_shape:
        text_tokens, languages = TINY_TEXT_TOKENS, list(LANGUAGES)[:99]
    sizes = {**(TINY if tiny_shape else SMALL), **config}
    ids = vocabulary(text_tokens, languages, sizes["max_source_positions"])
    end = ids["<|endoftext|>"]
    whole = WhisperConfig(
        **sizes,
        vocab_size=max(ids.values()) + 1,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
    )
    model = alive(whole, seed)
    with torch.no_grad():
        model.model.decoder.embed_tokens.weight[end] *= end_gain
    folder.mkdir(parents=True, exist_ok=True)
    model.to(dtype).save_pretrained(folder)
    seconds = sizes["max_source_positions"] / 50
    chunk = int(seconds) if seconds == int(seconds) else seconds
    WhisperFeatureExtractor(feature_size=sizes["num_mel_bins"], chunk_length=chunk).save_pretrained(folder)
    dump(folder / "generation_config.json", generation_config(ids, languages, multilingual, sizes))
    dump(folder / "tokenizer.json", tokenizer(text_tokens, ids))
    special = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    dump(folder / "tokenizer_config.json", {"tokenizer_class": "WhisperTokenizer", **special})
    return folder


def alive(config: WhisperConfig, seed: int) -> WhisperForConditionalGeneration:
    """A network whose every module counts."""
    model = WhisperForConditionalGeneration(config).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_values(name, parameter, config.d_model, random))
    return model


def _values(name: str, like: Tensor, width: int, random: torch.Generator) -> Tensor:
    noise = torch.randn(like.shape, generator=random)
    if name.endswith("decoder.layer_norm.weight"):
        # signs at random: the output matrix is the embedding, and a token would only call for itself again
        return noise
    if "norm" in name:
        return 1 + 0.2 * noise if name.endswith("weight") else 0.2 * noise
    if name.endswith("bias"):
        return 0.3 * noise
    if "embed_positions" in name:
        return 0.7 * noise  # as wide as the encoder's sinusoids, but not those: they are read, not computed
    if "embed" in name or name == "proj_out.weight":
        return noise * LOGIT_SPREAD / math.sqrt(width)
    fan_in = like[0].numel()
    # sharp attention, else every window would be heard as its mean
    gain = 1.5 if any(part in name for part in ("q_proj", "k_proj", "conv")) else 1.0
    return noise * gain / math.sqrt(fan_in)


def vocabulary(text_tokens: int, languages: Sequence[str], positions: int) -> dict[str, int]:
    """Special tokens and timestamps by text, in Whisper's order after the text tokens."""
    texts = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{code}|>" for code in languages),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
        *(f"<|{index * 0.02:.2f}|>" for index in range(positions + 1)),
    ]
    return {text: text_tokens + index for index, text in enumerate(texts)}


def generation_config(
    ids: dict[str, int], languages: Sequence[str], multilingual: bool, sizes: dict[str, Any]
) -> dict[str, Any]:
    """What a published generation_config.json says, for these ids."""
    end, last = ids["<|endoftext|>"], sizes["decoder_layers"] - 1
    unspoken = ("translate", "transcribe", "startoftranscript", "startoflm", "startofprev", "nospeech")
    content: dict[str, Any] = {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "suppress_tokens": [1, 2, 7, *sorted(ids[f"<|{name}|>"] for name in unspoken)],
        "begin_suppress_tokens": [_alphabet().index("\u0120"), end],
        "is_multilingual": multilingual,
        "max_initial_timestamp_index": min(50, sizes["max_source_positions"]),
        "max_length": sizes["max_target_positions"],
        "return_timestamps": False,
        "alignment_heads": [[last, head] for head in range(sizes["decoder_attention_heads"])],
    }
    if multilingual:
        content["lang_to_id"] = {f"<|{code}|>": ids[f"<|{code}|>"] for code in languages}
        content["task_to_id"] = {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")}
    return content


def tokenizer(text_tokens: int, added: dict[str, int]) -> dict[str, Any]:
    """A tokenizer.json: byte-level BPE whose merges join two bytes, those that open a word first."""
    letters = _alphabet()
    space = "\u0120"
    firsts = [space, *(chr(code) for code in range(ord("a"), ord("z") + 1))]
    firsts += [letter for letter in letters if letter not in firsts]
    pairs = ((first, second) for first in firsts for second in letters if second != space)
    merges = [list(pair) for pair, _ in zip(pairs, range(text_tokens - len(letters)), strict=False)]
    texts = letters + [first + second for first, second in merges]
    assert len(texts) == text_tokens, "between 256 and about 65,000 text tokens are possible"
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    last_special = added["<|notimestamps|>"]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": id, "content": text, **flags, "special": id <= last_special} for text, id in added.items()
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {text: index for index, text in enumerate(texts)},
            "merges": merges,
        },
    }


def _alphabet() -> list[str]:
    """GPT-2's letters for the 256 bytes, in the order of their code points."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    return [chr(code) for code in sorted(printable)] + [chr(0x100 + n) for n in range(256 - len(printable))]


def dump(path: Path, content: Any) -> None:
    """Write JSON."""
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def edit(path: Path, **changes: Any) -> None:
    """Change entries of a JSON file; None takes an entry away."""
    content = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    dump(path, {name: value for name, value in content.items() if value is not None})


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Pass the tensors of a folder's model.safetensors through `change` and save them again."""
    tensors = change(load_file(folder / WEIGHTS))
    # a new file in the old one's place: the old one may still be mapped
    (folder / WEIGHTS).unlink()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)


def drop_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """For `rewrite`: names without `model.`, as early exports have them."""
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items()}


def shard(folder: Path, count: int) -> list[Path]:
    """Split model.safetensors into `count` shards with an index, as transformers names them."""
    tensors = load_file(folder / WEIGHTS)
    names = sorted(tensors)
    weight_map = {}
    for number in range(count):
        file = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
        chosen = names[number::count]
        save_file({name: tensors[name].clone() for name in chosen}, folder / file)
        weight_map |= dict.fromkeys(chosen, file)
    (folder / WEIGHTS).unlink()
    dump(folder / INDEX, {"metadata": {}, "weight_map": weight_map})
    return sorted(folder.glob("model-*.safetensors"))


def pickled(folder: Path, shards: int = 0, legacy: bool = False, **options: Any) -> dict[str, Tensor]:
    """Replace a folder's safetensors by what transformers 4 saved: the tied output matrix is listed as well."""
    random_whisper_folder(folder, 5, **options)
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    tied = {**tensors, "proj_out.weight": tensors["model.decoder.embed_tokens.weight"]}
    if not shards:
        torch.save(tied, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
        return tensors
    weight_map = {}
    for number in range(shards):
        name = f"pytorch_model-{number + 1:05d}-of-{shards:05d}.bin"
        chosen = sorted(tied)[number::shards]
        torch.save({key: tied[key].clone() for key in chosen}, folder / name)
        weight_map |= dict.fromkeys(chosen, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return tensors


def unpickle_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let convert open pickles in this process: one of their own takes seconds to import torch."""

    def unpickle(source: Path, files: Sequence[Path], made: Path) -> None:
        extract(files, made)

    monkeypatch.setattr("literatim.models.convert._unpickle", unpickle)
