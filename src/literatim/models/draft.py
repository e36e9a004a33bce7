"""Drafts: small decoders that propose tokens which the main model then checks.

A draft is a folder of one of two kinds. A whole Whisper checkpoint (distil-whisper, tiny, ...) shares the main model's
encoder where its own is the same by content, and runs its own elsewhere. A decoder alone, as `literatim draft train`
writes it, is a folder that transformers' `WhisperForCausalLM.from_pretrained` reads too:

    config.json                 the main model's, with fewer decoder layers and, under "literatim_draft",
                                {"main": its name, "encoder_sha256": of the encoder that the draft listens to}
    model.safetensors           `model.decoder.*`
    vocabulary.safetensors      optional: `draft.vocabulary`, int32, the ids that it proposes, ascending
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from literatim.errors import ModelFormatError
from literatim.models.checkpoint import is_decoder_alone, load_sides, read_whisper
from literatim.models.config import WhisperConfig
from literatim.models.folder import WEIGHTS, CheckpointFolder
from literatim.models.layout import OUTPUT, layout
from literatim.models.tensors import TensorFiles
from literatim.models.whisper import Decoder, Encoder

MARK = "literatim_draft"
VOCABULARY_FILE, VOCABULARY = "vocabulary.safetensors", "draft.vocabulary"
SAME = "has the weights of the main model's"
_ENCODER_SIZES = ("n_mels", "d_model", "encoder_layers", "encoder_heads", "encoder_ffn", "source_positions")


@dataclass(frozen=True)
class Draft:
    """A draft in memory.

    `encoder` is None where it listens to the main model's (`shares`); `reason` says why it does or does not.
    `vocabulary` (W,) int32, ascending, are the text ids it proposes, None for all; ids from the end of text on are
    always proposed. Ids are the draft's own: a caller whose main model has another vocabulary maps them.
    """

    decoder: Decoder
    encoder: Encoder | None
    config: WhisperConfig
    vocabulary: Tensor | None
    shares: bool
    reason: str


@dataclass(frozen=True)
class Origin:
    """What a trained draft was made for: the main model's name, and the hash of the encoder it listens to."""

    main: str
    encoder_sha256: str


def load_draft(folder: Path, main_folder: Path, dtype: torch.dtype, device: torch.device) -> Draft:
    """The draft in `folder` for the model in `main_folder`, ready for inference on `device`.

    `dtype` is the main model's: encoders are the same where their weights are after rounding to it. Neither is held in
    memory to find out. Raises ModelNotFound and ModelFormatError, which say what does not fit and what to do.
    """
    found, main = read_whisper(folder), read_whisper(main_folder)
    config, main_config = (WhisperConfig.from_dict(each.config) for each in (found, main))
    _check_lengths(folder, config, main_config)
    with TensorFiles(found.weights) as files, TensorFiles(main.weights) as main_files:
        if is_decoder_alone(files):
            _check_origin(folder, found, config, encoder_sha256(main_files, main_config), main_config)
            model = load_sides(found, files, ("decoder",), dtype, device, held=("decoder",))
            difference, reason = None, "it was trained on this model's encoder"
        else:
            difference = _difference(files, config, main_files, main_config, dtype)
            sides = ("decoder",) if difference is None else ("encoder", "decoder")
            model = load_sides(found, files, sides, dtype, device)
            reason = f"its encoder {difference or SAME}"
    shares = difference is None
    encoder = None if shares else model.encoder
    return Draft(model.decoder, encoder, config, _vocabulary(folder, config, device), shares, reason)


def save_draft(
    folder: Path, decoder: Decoder, main_config: dict[str, Any], origin: Origin, vocabulary: Sequence[int] | None
) -> None:
    """Write a decoder alone; each file replaces an older one at once. `main_config` is the main model's config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    dtype = decoder.positions.dtype
    tensors = _tensors(decoder)
    _replace(folder / WEIGHTS, tensors)
    if vocabulary is None:
        (folder / VOCABULARY_FILE).unlink(missing_ok=True)
    else:
        _replace(folder / VOCABULARY_FILE, {VOCABULARY: torch.tensor(sorted(set(vocabulary)), dtype=torch.int32)})
    config = {
        **main_config,
        "architectures": ["WhisperForCausalLM"],
        "decoder_layers": decoder.config.decoder_layers,
        "torch_dtype" if "torch_dtype" in main_config else "dtype": str(dtype).removeprefix("torch."),
        MARK: {"main": origin.main, "encoder_sha256": origin.encoder_sha256},
    }
    part = folder / "config.json.part"
    part.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(folder / "config.json")


def encoder_sha256(files: TensorFiles, config: WhisperConfig) -> str:
    """SHA-256 over the encoder's tensors: of each, by name, a line `NAME SHAPE` and its values as float32.

    Names are transformers' without `model.`, values little-endian: the same for float16, bfloat16 and float32 files
    of the same numbers, in one file or in shards.
    """
    _check_encoder(files, config)
    digest = hashlib.sha256()
    for name in _encoder_names(config):
        shape = "x".join(map(str, files.entries[name].shape))
        digest.update(f"{name} {shape}\n".encode())
        for _, piece in files.pieces(name):
            digest.update(piece.float().numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def _encoder_names(config: WhisperConfig) -> list[str]:
    sources = layout(config, ("encoder",)).values()
    return sorted(name for stacked in sources for name in stacked if name is not None)


def _check_encoder(files: TensorFiles, config: WhisperConfig) -> None:
    absent = [name for name in _encoder_names(config) if name not in files.entries]
    if absent:
        raise ModelFormatError(
            f"the main model's weights lack {absent[0]}; use a whole model, with the config.json saved with it"
        )


def _check_lengths(folder: Path, config: WhisperConfig, main: WhisperConfig) -> None:
    """Window and text must reach as far as the main model's, or the draft could not follow it."""
    if config.source_positions != main.source_positions:
        lasts, needed = (each.source_positions / 50 for each in (config, main))
        raise ModelFormatError(
            f"{folder} hears windows of {lasts:g} s and the main model of {needed:g} s; use a draft made for this model"
        )
    if config.target_positions < main.target_positions:
        raise ModelFormatError(
            f"{folder} has places for {config.target_positions} tokens and the main model for {main.target_positions}; "
            "use a draft made for this model"
        )


def _check_origin(
    folder: Path, found: CheckpointFolder, config: WhisperConfig, encoder: str, main: WhisperConfig
) -> None:
    """A decoder alone is of use to no other encoder than the one that it was trained on."""
    origin = found.config.get(MARK)
    if not isinstance(origin, dict) or not isinstance(origin.get("encoder_sha256"), str):
        raise ModelFormatError(
            f"{folder} holds a decoder alone and its config.json does not say (under {MARK!r}) for which encoder; "
            "use a whole Whisper, or make a draft with `literatim draft train`"
        )
    if origin["encoder_sha256"] != encoder:
        name = origin.get("main") or "another model"
        raise ModelFormatError(
            f"{folder} was trained on the encoder of {name}, which is not this model's; use it beside that model, "
            "or make a draft for this one with `literatim draft train`"
        )
    for size in (*_ENCODER_SIZES, "vocab_size"):
        if getattr(config, size) != getattr(main, size):
            raise ModelFormatError(
                f"{folder}: config.json says {size} {getattr(config, size)}, the main model has {getattr(main, size)}; "
                "use the config.json that was written with the draft"
            )


def _difference(
    files: TensorFiles, config: WhisperConfig, main_files: TensorFiles, main: WhisperConfig, dtype: torch.dtype
) -> str | None:
    """What tells the two encoders apart after rounding to `dtype`, None where nothing does."""
    for size in (item.name for item in fields(WhisperConfig) if item.name in _ENCODER_SIZES):
        if getattr(config, size) != getattr(main, size):
            return f"differs from the main model's: {size} {getattr(config, size)} instead of {getattr(main, size)}"
    for name in _encoder_names(config):
        both = files.entries.get(name), main_files.entries.get(name)
        if None in both or both[0].shape != both[1].shape or not _same(name, files, main_files, dtype):  # type: ignore[union-attr]
            return f"differs from the main model's in {name}"
    return None


def _same(name: str, files: TensorFiles, main_files: TensorFiles, dtype: torch.dtype) -> bool:
    step = min(files.step(name), main_files.step(name))
    both = zip(files.pieces(name, step), main_files.pieces(name, step), strict=True)
    return all(torch.equal(a.to(dtype), b.to(dtype)) for (_, a), (_, b) in both)


def _vocabulary(folder: Path, config: WhisperConfig, device: torch.device) -> Tensor | None:
    path = folder / VOCABULARY_FILE
    if not path.is_file():
        return None
    try:
        ids = load_file(path).get(VOCABULARY)
    except (SafetensorError, OSError) as error:
        raise ModelFormatError(f"{path} is cut off or damaged ({error}); copy it again") from error
    whole = ids is not None and ids.dtype == torch.int32 and ids.ndim == 1 and len(ids) > 0
    if ids is None or not whole or ids[0] < 0 or ids[-1] >= config.vocab_size or bool((ids.diff() <= 0).any()):
        raise ModelFormatError(
            f"{path} must hold {VOCABULARY}, ascending int32 ids below {config.vocab_size}; "
            "copy it again, or delete it: the draft then proposes from the whole vocabulary"
        )
    return ids.to(device)


def _tensors(decoder: Decoder) -> dict[str, Tensor]:
    """transformers' tensors of a decoder whose linear layers are not packed."""
    tensors: dict[str, Tensor] = {}
    for name, sources in layout(decoder.config, ("decoder",)).items():
        whole = decoder.get_parameter(name.removeprefix("decoder.")).detach().cpu()
        for source, part in zip(sources, whole.chunk(len(sources)), strict=True):
            if source is not None:
                tensors[f"model.{source}"] = part.clone()
    if decoder.head is not None:
        tensors[OUTPUT] = decoder.head.detach().cpu()
    return tensors


def _replace(path: Path, tensors: dict[str, Tensor]) -> None:
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata={"format": "pt"})
    part.chmod(0o644)
    part.replace(path)
