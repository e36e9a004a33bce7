"""Whisper folders with random weights in the shapes of the released models, for measuring speed offline.

Sizes: Radford et al. 2022 (arXiv 2212.04356), table 1, and the config.json of the openai/whisper-* repositories.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from literatim.models.config import WhisperConfig
from literatim.models.layout import layout
from literatim.models.whisper import Decoder, Whisper
from literatim.needs import need, quiet_transformers
from literatim.text.languages import LANGUAGES

_LOGIT_SPREAD = 4.0  # standard deviation of the logits: about that of a trained model, so that few tokens tie
_UNSPOKEN = ("translate", "transcribe", "startoftranscript", "startoflm", "startofprev", "nospeech")


@dataclass(frozen=True)
class Shape:
    """Sizes of a network; `window` in encoder positions of 20 ms, `context` in tokens."""

    width: int
    layers: int
    heads: int
    window: int = 1500
    context: int = 448
    text_tokens: int = 50257
    languages: int = 99


SHAPES = {
    "tiny": Shape(384, 4, 6),
    "base": Shape(512, 6, 8),
    "small": Shape(768, 12, 12),
    "large-v2": Shape(1280, 32, 20),
    "micro": Shape(64, 2, 2, window=100, context=64, text_tokens=300, languages=1),  # for tests of the runner
}


def write(shape: Shape, folder: Path, seed: int = 0) -> Path:
    """Write weights, configuration and a made-up tokenizer of Whisper's vocabulary layout; returns `folder`."""
    with quiet_transformers():
        _model(shape, _vocabulary(shape), seed).save_pretrained(folder)
        extractor = need("transformers", "eval", "a random model").WhisperFeatureExtractor
        extractor(feature_size=80, chunk_length=shape.window // 50).save_pretrained(folder)
    return write_tokenizer(shape, folder)


def write_tokenizer(shape: Shape, folder: Path) -> Path:
    """Write all but the weights, the network's configuration and that of the features; returns `folder`."""
    ids, end = _vocabulary(shape), "<|endoftext|>"
    names = {"tokenizer_class": "WhisperTokenizer", "bos_token": end, "eos_token": end, "unk_token": end}
    files = {
        "generation_config.json": _generation_config(shape, ids),
        "tokenizer.json": _tokenizer(shape.text_tokens, ids),
        "tokenizer_config.json": {**names, "model_max_length": shape.context},
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder


def decoder_alone(shape: Shape, like: Tensor, seed: int = 0) -> Whisper:
    """A network of the dtype and on the device of `like`, without an encoder; a large one is there in seconds."""
    width, ffn, size = shape.width, 4 * shape.width, max(_vocabulary(shape).values()) + 1
    sides = (width, 0, shape.heads, ffn, shape.layers, shape.heads, ffn)
    with torch.device("meta"):
        model = Whisper(WhisperConfig(80, *sides, size, shape.window, shape.context))
    fill(model.decoder, like, seed)
    with torch.no_grad():
        model.decoder.tokens.weight[shape.text_tokens :] *= 0.1
    return model.eval()


def fill(decoder: Decoder, like: Tensor, seed: int) -> None:
    """Random weights for what is on the meta device, of the dtype and on the device of `like`.

    Each layer is the first one with its rows moved on: drawing millions of numbers takes long.
    """
    random, first = torch.Generator().manual_seed(seed), dict[str, Tensor]()
    for name, sources in layout(decoder.config, ("decoder",)).items():
        path, _, leaf = name.removeprefix("decoder.").rpartition(".")
        parameter = decoder.get_parameter(f"{path}.{leaf}" if path else leaf)
        if not parameter.is_meta:
            continue
        index, _, kind = path.removeprefix("layers.").partition(".")
        key = f"{kind}.{leaf}" if path.startswith("layers.") else name
        if key not in first:
            part = parameter[: len(parameter) // len(sources)]
            drawn = [_values(source, part, random) if source else torch.zeros(part.shape) for source in sources]
            first[key] = torch.cat(drawn).to(like.device, like.dtype)
        values = first[key].roll(int(index), 0) if path.startswith("layers.") else first[key]
        setattr(decoder.get_submodule(path), leaf, nn.Parameter(values, requires_grad=False))


def _model(shape: Shape, ids: Mapping[str, int], seed: int) -> Any:
    transformers = need("transformers", "eval", "a random model")
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (
            ("layers", shape.layers),
            ("attention_heads", shape.heads),
            ("ffn_dim", 4 * shape.width),
        )
    }
    end = ids["<|endoftext|>"]
    config = transformers.WhisperConfig(
        vocab_size=max(ids.values()) + 1,
        d_model=shape.width,
        max_source_positions=shape.window,
        max_target_positions=shape.context,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        **sides,
    )
    model = transformers.WhisperForConditionalGeneration(config).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "encoder.embed_positions" not in name:  # sinusoids
                parameter.copy_(_values(name, parameter, random))
        # never the likeliest: transformers cuts its output where a random model says a timestamp unasked
        model.model.decoder.embed_tokens.weight[end:] *= 0.1
    return model


def _values(name: str, like: Tensor, random: torch.Generator) -> Tensor:
    """Weights of unit gain: with transformers' own (std 0.02) every position would say the same token."""
    noise = torch.randn(like.shape, generator=random)
    if name.endswith("decoder.layer_norm.weight"):
        return noise  # signs at random, else the tied output matrix makes each token call for itself
    if "norm" in name:
        return 0.1 * noise + (1.0 if name.endswith("weight") else 0.0)
    if name.endswith("bias"):
        return 0.2 * noise
    if "embed_positions" in name:
        return 0.7 * noise
    if "embed_tokens" in name:
        return noise * _LOGIT_SPREAD / math.sqrt(like.shape[1])
    # attention that picks, and a front end that reacts: else all windows would sound alike
    gain = 2.0 if any(part in name for part in ("q_proj", "k_proj", "conv")) else 1.0
    return gain * noise / math.sqrt(like[0].numel())


def _vocabulary(shape: Shape) -> dict[str, int]:
    """Ids of what follows the text tokens, in Whisper's order."""
    languages = [f"<|{code}|>" for code in list(LANGUAGES)[: shape.languages]]
    tasks = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    stamps = [f"<|{index * 0.02:.2f}|>" for index in range(shape.window + 1)]
    start = ["<|endoftext|>", "<|startoftranscript|>"]
    texts = [*start, *languages, *tasks, "<|nospeech|>", "<|notimestamps|>", *stamps]
    return {text: shape.text_tokens + index for index, text in enumerate(texts)}


def _generation_config(shape: Shape, ids: Mapping[str, int]) -> dict[str, Any]:
    end = ids["<|endoftext|>"]
    return {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": ids["<|startoftranscript|>"],
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startofprev|>"],
        "suppress_tokens": sorted(ids[f"<|{name}|>"] for name in _UNSPOKEN),
        "begin_suppress_tokens": [_letters().index("\u0120"), end],
        "is_multilingual": True,
        "lang_to_id": {f"<|{code}|>": ids[f"<|{code}|>"] for code in list(LANGUAGES)[: shape.languages]},
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        "max_initial_timestamp_index": 50,
        "max_length": shape.context,
        "return_timestamps": False,
        "alignment_heads": [[shape.layers - 1, head] for head in range(shape.heads)],
    }


def _tokenizer(text_tokens: int, added: Mapping[str, int]) -> dict[str, Any]:
    """A byte-level BPE: the 256 bytes and pairs of them, as many as the vocabulary has room for."""
    letters = _letters()
    merges = [[left, right] for left in letters for right in letters][: text_tokens - len(letters)]
    texts = letters + [left + right for left, right in merges]
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


def _letters() -> list[str]:
    """GPT-2's printable letters for the 256 bytes."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    return [chr(code) for code in sorted(plain)] + [chr(0x100 + index) for index in range(256 - len(plain))]
