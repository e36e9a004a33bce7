"""The openai-whisper package, loaded without numba, and its network filled from a folder of transformers' kind.

The package's `__init__` imports numba for word timestamps alone. Its modules are loaded here one by one under
another package name, with a stand-in for numba's decorator.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import files
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from literatim.models.folder import read_json

PACKAGE = "openai_whisper_reference"
LAYER_NAMES = {
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn.q_proj": "cross_attn.query",
    "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.v_proj": "cross_attn.value",
    "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}
OTHER_NAMES = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "encoder.layer_norm": "encoder.ln_post",
    "decoder.embed_tokens": "decoder.token_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.layer_norm": "decoder.ln",
}


def openai(module: str) -> Any:
    """A module of the package: `audio`, `decoding`, `model`, `timing`, `tokenizer`, `transcribe` or `utils`."""
    return _package()[module]


@lru_cache(maxsize=1)
def _package() -> dict[str, ModuleType]:
    root = next(Path(str(path.locate())) for path in files("openai-whisper") or [] if path.name == "model.py").parent
    package = ModuleType(PACKAGE)
    package.__path__ = [str(root)]
    sys.modules[PACKAGE] = package
    names = ("audio", "decoding", "model", "timing", "tokenizer", "transcribe", "utils")
    with _without_numba(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules = {name: importlib.import_module(f"{PACKAGE}.{name}") for name in names}
        # it forgets to close the asset it reads, and keeps what it read
        for language in ("en", "nl"):
            modules["tokenizer"].get_tokenizer(True, num_languages=99, language=language, task="transcribe")
    return modules


@contextmanager
def _without_numba() -> Iterator[None]:
    before = sys.modules.get("numba")
    stand_in: Any = ModuleType("numba")
    stand_in.jit = lambda *_, **__: lambda function: function
    sys.modules["numba"] = stand_in
    try:
        yield
    finally:
        if before is None:
            del sys.modules["numba"]
        else:
            sys.modules["numba"] = before


def openai_model(folder: Path) -> Any:
    """openai/whisper's network with a folder's weights; the hidden sizes must be four times the width."""
    config = read_json(folder / "config.json")
    sizes = openai("model").ModelDimensions(
        n_mels=config["num_mel_bins"],
        n_audio_ctx=config["max_source_positions"],
        n_audio_state=config["d_model"],
        n_audio_head=config["encoder_attention_heads"],
        n_audio_layer=config["encoder_layers"],
        n_vocab=config["vocab_size"],
        n_text_ctx=config["max_target_positions"],
        n_text_state=config["d_model"],
        n_text_head=config["decoder_attention_heads"],
        n_text_layer=config["decoder_layers"],
    )
    model = openai("model").Whisper(sizes)
    tensors = load_file(folder / "model.safetensors")
    renamed = {_renamed(name.removeprefix("model.")): tensor for name, tensor in tensors.items()}
    renamed.pop("proj_out.weight", None)
    model.load_state_dict(renamed)
    return model.eval()


def _renamed(name: str) -> str:
    side, _, rest = name.partition(".layers.")
    if rest:
        number, _, rest = rest.partition(".")
        module, _, kind = rest.rpartition(".")
        return f"{side}.blocks.{number}.{LAYER_NAMES[module]}.{kind}"
    if name in OTHER_NAMES:
        return OTHER_NAMES[name]
    module, _, kind = name.rpartition(".")
    return f"{OTHER_NAMES.get(module, module)}.{kind}"


@torch.no_grad()
def openai_transcribe(model: Any, samples: Tensor, **options: Any) -> list[dict[str, Any]]:
    """The segments of openai/whisper's own loop at temperature 0, those it empties left out."""
    kept = {"temperature": 0.0, "compression_ratio_threshold": None, "fp16": False, **options}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array_wrap__ must accept", DeprecationWarning)  # its beams call numpy so
        result = openai("transcribe").transcribe(model, samples, **kept)
    return [segment for segment in result["segments"] if segment["tokens"]]


@contextmanager
def same_noise(noise_of: Callable[[int, float, int], Any]) -> Iterator[None]:
    """openai/whisper's sampling as ours: the likeliest of logits / temperature + noise.

    `noise_of(seek, temperature, sample)` gives an object whose `at(position, size)` is the noise of a token.
    """
    now: dict[str, Any] = {}
    decoding, transcribe = openai("decoding"), openai("transcribe")
    pad, reset, categorical = transcribe.pad_or_trim, decoding.GreedyDecoder.reset, decoding.Categorical

    def pad_or_trim(mel: Tensor, *rest: Any) -> Tensor:
        now["seek"] = mel.storage_offset()  # a slice of the recording's mel
        return pad(mel, *rest)

    def start(decoder: Any) -> None:
        now.update(position=0, temperature=decoder.temperature)

    class Sampled:
        def __init__(self, logits: Tensor) -> None:
            self.logits = logits

        def sample(self) -> Tensor:
            position, size = now["position"], self.logits.shape[1]
            now["position"] += 1
            drawn = [noise_of(now["seek"], now["temperature"], row) for row in range(len(self.logits))]
            return (self.logits + torch.stack([noise.at(position, size) for noise in drawn])).argmax(-1)

    transcribe.pad_or_trim, decoding.GreedyDecoder.reset, decoding.Categorical = pad_or_trim, start, Sampled
    try:
        yield
    finally:
        transcribe.pad_or_trim, decoding.GreedyDecoder.reset, decoding.Categorical = pad, reset, categorical
