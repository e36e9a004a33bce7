"""A training checkpoint as a Whisper folder of transformers' kind.

    python -m literatim.train.export CHECKPOINT BPE OUT

The folder holds what the published openai/whisper ones hold: weights (bfloat16), the three configurations, and
the tokenizer both as `tokenizer.json` and as the older `vocab.json` with `merges.txt`. The head that only
training needs is left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from literatim.text.tokenizer import WhisperTokenizer as OwnTokenizer
from literatim.train import fit
from literatim.train.vocabulary import IDS, LANGUAGES, SPECIALS, TIMESTAMPS, WINDOW_SECONDS

MAX_INITIAL_TIMESTAMP = 50  # one second, as openai/whisper allows
ENDS = ("bos_token", "eos_token", "unk_token", "pad_token")


def timestamp_texts() -> list[str]:
    """`<|0.00|>` up to the window's end."""
    return [f"<|{index * 0.02:.2f}|>" for index in range(TIMESTAMPS)]


def added_tokens() -> dict[str, int]:
    """Every token that is no text, with its id."""
    return {text: IDS.eot + index for index, text in enumerate([*SPECIALS, *timestamp_texts()])}


def _describe(text: str) -> dict[str, Any]:
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {"content": text, **plain, "special": text in SPECIALS}


def write_tokenizer(bpe: Path, folder: Path) -> None:
    """The tokenizer's files, from the BPE that training used."""
    model = json.loads(Tokenizer.from_file(str(bpe)).to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    ends = dict.fromkeys(ENDS, SPECIALS[0])
    whole = WhisperTokenizer(vocab=model["vocab"], merges=merges, model_max_length=fit.config().max_target_positions)
    for text in added_tokens():
        special = text in SPECIALS
        whole.add_tokens([AddedToken(text, special=special, normalized=False)], special_tokens=special)
    whole.backend_tokenizer.save(str(folder / "tokenizer.json"))
    _write(folder / "vocab.json", model["vocab"])
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    _write(folder / "added_tokens.json", added_tokens())
    _write(folder / "special_tokens_map.json", {**ends, "additional_special_tokens": list(SPECIALS)})
    described = {str(id): _describe(text) for text, id in added_tokens().items()}
    settings = {
        "add_prefix_space": False,
        "added_tokens_decoder": described,
        "additional_special_tokens": list(SPECIALS),
        **ends,
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "model_max_length": fit.config().max_target_positions,
        "processor_class": "WhisperProcessor",
        "return_attention_mask": False,
        "tokenizer_class": "WhisperTokenizer",
    }
    _write(folder / "tokenizer_config.json", settings)


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", "utf-8")


def generation_config(folder: Path, config: WhisperConfig) -> GenerationConfig:
    """How the model is to be used; needs the tokenizer in `folder`.

    The alignment heads are those of the decoder's upper half, openai/whisper's choice for models it does not
    know; `literatim.train.alignment` finds better ones.
    """
    languages = {f"<|{code}|>": IDS.language(code) for code in LANGUAGES}
    tokenizer = OwnTokenizer.from_folder(folder, {"lang_to_id": languages}, {"vocab_size": IDS.vocabulary})
    upper = range(config.decoder_layers // 2, config.decoder_layers)
    steering = (IDS.sot, IDS.translate, IDS.transcribe, IDS.startoflm, IDS.startofprev, IDS.no_speech)
    return GenerationConfig(
        alignment_heads=[[layer, head] for layer in upper for head in range(config.decoder_attention_heads)],
        begin_suppress_tokens=[*_lone_space(tokenizer), IDS.eot],
        suppress_tokens=sorted({*tokenizer.non_speech_tokens(), *steering}),
        lang_to_id=languages,
        task_to_id={"transcribe": IDS.transcribe, "translate": IDS.translate},
        no_timestamps_token_id=IDS.no_timestamps,
        prev_sot_token_id=IDS.startofprev,
        is_multilingual=True,
        max_initial_timestamp_index=MAX_INITIAL_TIMESTAMP,
        max_length=config.max_target_positions,
        return_timestamps=False,
        decoder_start_token_id=IDS.sot,
        bos_token_id=IDS.eot,
        eos_token_id=IDS.eot,
        pad_token_id=IDS.eot,
    )


def _lone_space(tokenizer: OwnTokenizer) -> list[int]:
    ids = tokenizer.encode(" ")
    return ids if len(ids) == 1 else []


def feature_extractor() -> WhisperFeatureExtractor:
    """Whisper's, for this model's shorter window."""
    return WhisperFeatureExtractor(feature_size=80, chunk_length=WINDOW_SECONDS, processor_class="WhisperProcessor")


def shape_of(state: dict[str, torch.Tensor]) -> WhisperConfig:
    """The configuration of a checkpoint; a decoder in training may have fewer layers than the finished one."""
    layers = {name.split(".")[3] for name in state if name.startswith("model.decoder.layers.")}
    return fit.config(len(layers))


def export(state: dict[str, torch.Tensor], bpe: Path, folder: Path, config: WhisperConfig) -> None:
    """Write weights, configurations and tokenizer into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(bpe, folder)
    model = WhisperForConditionalGeneration(config)
    model.load_state_dict(state)
    model.generation_config = generation_config(folder, config)
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # written for its owner alone, and the folder is to be packaged
    feature_extractor().save_pretrained(folder)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("bpe", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    state = torch.load(given.checkpoint, weights_only=True)["model"]
    export(state, given.bpe, given.out, shape_of(state))


if __name__ == "__main__":
    main()
