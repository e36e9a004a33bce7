"""openai/whisper's checkpoints: their names, their sizes and their token ids, in transformers' terms.

Names and sizes are those of github.com/openai/whisper, whisper/model.py; the ids follow from
whisper/tokenizer.py: the specials come after the text tokens, 99 languages (100 since large-v3) among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from literatim.errors import ModelFormatError

_SIZES = {
    "num_mel_bins": "n_mels",
    "max_source_positions": "n_audio_ctx",
    "d_model": "n_audio_state",
    "encoder_attention_heads": "n_audio_head",
    "encoder_layers": "n_audio_layer",
    "vocab_size": "n_vocab",
    "max_target_positions": "n_text_ctx",
    "decoder_attention_heads": "n_text_head",
    "decoder_layers": "n_text_layer",
}
_RENAMES = (
    (r"\.blocks\.", ".layers."),
    (r"\.cross_attn_ln\.", ".encoder_attn_layer_norm."),
    (r"\.cross_attn\.", ".encoder_attn."),
    (r"\.attn_ln\.", ".self_attn_layer_norm."),
    (r"\.attn\.", ".self_attn."),
    (r"\.query\.", ".q_proj."),
    (r"\.key\.", ".k_proj."),
    (r"\.value\.", ".v_proj."),
    (r"\.out\.", ".out_proj."),
    (r"\.mlp\.0\.", ".fc1."),
    (r"\.mlp\.2\.", ".fc2."),
    (r"\.mlp_ln\.", ".final_layer_norm."),
    (r"^encoder\.ln_post\.", "encoder.layer_norm."),
    (r"^decoder\.ln\.", "decoder.layer_norm."),
    (r"\.positional_embedding$", ".embed_positions.weight"),
    (r"\.token_embedding\.", ".embed_tokens."),
)


@dataclass(frozen=True)
class Ids:
    """Token ids of one of the three vocabularies."""

    eot: int
    languages: int
    multilingual: bool

    @property
    def sot(self) -> int:
        """`<|startoftranscript|>`; the languages follow it."""
        return self.eot + 1

    @property
    def translate(self) -> int:
        """`<|translate|>`; transcribe, startoflm, startofprev, nospeech and notimestamps follow it."""
        return self.sot + 1 + self.languages


VOCABULARIES = {
    51864: Ids(eot=50256, languages=99, multilingual=False),
    51865: Ids(eot=50257, languages=99, multilingual=True),
    51866: Ids(eot=50257, languages=100, multilingual=True),
}


def rename(name: str) -> str:
    """transformers' name of a tensor."""
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return f"model.{name}"


def config(dims: Mapping[str, Any], ffn: tuple[int, int]) -> dict[str, Any]:
    """transformers' config.json for the `dims` of a checkpoint; `ffn` are the hidden sizes of both sides.

    Raises ModelFormatError where `dims` are incomplete or of no released vocabulary.
    """
    absent = [name for name in (*_SIZES.values(), "n_text_state") if not isinstance(dims.get(name), int)]
    if absent:
        raise ModelFormatError(f"the checkpoint's dims lack {', '.join(absent)}; it is not openai/whisper's")
    if dims["n_text_state"] != dims["n_audio_state"]:
        raise ModelFormatError("the checkpoint's encoder and decoder differ in width; no released Whisper does")
    ids = ids_of(dims["n_vocab"])
    sizes = {theirs: dims[ours] for theirs, ours in _SIZES.items()}
    return {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        **sizes,
        "encoder_ffn_dim": ffn[0],
        "decoder_ffn_dim": ffn[1],
        "num_hidden_layers": dims["n_audio_layer"],
        "activation_function": "gelu",
        "scale_embedding": False,
        "tie_word_embeddings": True,
        "is_encoder_decoder": True,
        **_ends(ids),
    }


def generation_config(vocab_size: int, target_positions: int, languages: Sequence[str]) -> dict[str, Any]:
    """transformers' generation_config.json; `languages` are the codes in the order of their tokens.

    Neither alignment heads nor suppressed tokens: the file does not tell them, and without them the upper
    layers and openai/whisper's rule for the tokens are used. `lang_to_id` needs enough codes.
    """
    ids = ids_of(vocab_size)
    content: dict[str, Any] = {
        **_ends(ids),
        "begin_suppress_tokens": [220, ids.eot],  # 220 is a single space in both vocabularies
        "is_multilingual": ids.multilingual,
        "max_initial_timestamp_index": 50,  # 1 s, openai/whisper's max_initial_timestamp
        "max_length": target_positions,
        "no_timestamps_token_id": ids.translate + 5,
        "prev_sot_token_id": ids.translate + 3,
        "return_timestamps": False,
    }
    if ids.multilingual:
        content["task_to_id"] = {"translate": ids.translate, "transcribe": ids.translate + 1}
        if len(languages) >= ids.languages:
            codes = languages[: ids.languages]
            content["lang_to_id"] = {f"<|{code}|>": ids.sot + 1 + n for n, code in enumerate(codes)}
    return content


def ids_of(vocab_size: int) -> Ids:
    """The ids of a released vocabulary, told by its size."""
    if vocab_size not in VOCABULARIES:
        known = ", ".join(map(str, VOCABULARIES))
        raise ModelFormatError(
            f"the checkpoint has {vocab_size} tokens; ids are known for {known} only. "
            "Save it as safetensors with transformers, with its own generation_config.json"
        )
    return VOCABULARIES[vocab_size]


def _ends(ids: Ids) -> dict[str, int]:
    return {
        "bos_token_id": ids.eot,
        "eos_token_id": ids.eot,
        "pad_token_id": ids.eot,
        "decoder_start_token_id": ids.sot,
    }
