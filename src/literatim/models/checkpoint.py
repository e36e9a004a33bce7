"""A Whisper folder of transformers' kind into our network, in whole or one side of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from literatim.errors import ModelFormatError
from literatim.models.config import WhisperConfig
from literatim.models.folder import CheckpointFolder, read_folder
from literatim.models.layout import EMBEDDING, OUTPUT, SIDES, Sources, is_harmless, layout
from literatim.models.tensors import TensorFiles, convert, held_dtype
from literatim.models.whisper import Whisper

_POSITIONS_PER_SECOND = 50  # 100 mel frames a second, halved by the second convolution
# What the encoder's mel frames are made of, in every released Whisper (Radford et al. 2022, section 2.2).
_FRONT_END = {"sampling_rate": 16_000, "hop_length": 160, "n_fft": 400}


def load_whisper(folder: Path, dtype: torch.dtype, device: torch.device) -> Whisper:
    """The network of a folder, ready for inference on `device`, its weights rounded to `dtype`.

    float16 on a CPU is held and computed in float32. Memory peaks below 1.3 times the weights. Raises
    ModelNotFound and ModelFormatError, which name the file or the tensors and say what to do.
    """
    found = read_whisper(folder)
    with TensorFiles(found.weights) as files:
        if is_decoder_alone(files):
            raise ModelFormatError(
                f"{folder} has a decoder without an encoder, so it is a draft: name it as --assistant beside a --model"
            )
        return load_sides(found, files, SIDES, dtype, device)


def read_whisper(folder: Path) -> CheckpointFolder:
    """`read_folder` of a Whisper; ModelFormatError for another kind of model."""
    found = read_folder(folder)
    if found.model_type != "whisper":
        raise ModelFormatError(f"{folder} holds a {found.model_type!r} model; a Whisper model is needed here")
    return found


def is_decoder_alone(files: TensorFiles) -> bool:
    """Whether the weights are those of a Whisper's decoder and of nothing else."""
    return any("decoder." in name for name in files.entries) and not any("encoder." in name for name in files.entries)


def load_sides(
    found: CheckpointFolder,
    files: TensorFiles,
    sides: Sequence[str],
    dtype: torch.dtype,
    device: torch.device,
    held: Sequence[str] = SIDES,
) -> Whisper:
    """As `load_whisper`, of a folder whose `files` hold the sides `held`; of them only `sides` take memory."""
    config = WhisperConfig.from_dict(found.config)
    check_front_end(found.preprocessor, config)
    model = check_tensors(files, config, held)
    load = _Load(files, dtype, device)
    for name, sources in layout(config, sides).items():
        load.parameter(model, name, sources)
    if "decoder" in sides:
        load.head(model)
    return model.eval().requires_grad_(False)


def check_front_end(preprocessor: dict[str, Any], config: WhisperConfig) -> None:
    """ModelFormatError where the feature extractor's settings are not those of the network.

    The network's own `max_source_positions` and `num_mel_bins` decide; an absent entry is no contradiction.
    """
    wanted = {
        "chunk_length": config.source_positions / _POSITIONS_PER_SECOND,
        "feature_size": config.n_mels,
        **_FRONT_END,
    }
    for name, value in wanted.items():
        given = preprocessor.get(name, value)
        if given != value:
            raise ModelFormatError(
                f"the preprocessor's {name} is {given!r}, but the model was made for {value:g} "
                f"(max_source_positions {config.source_positions}, num_mel_bins {config.n_mels}); "
                "preprocessor_config.json and config.json must come from the same model"
            )


def check_tensors(files: TensorFiles, config: WhisperConfig, held: Sequence[str] = SIDES) -> Whisper:
    """The network without memory for its weights, once the files are known to hold just those of its sides `held`.

    Raises ModelFormatError naming up to five tensors that are missing, unknown or misshapen.
    """
    counts = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
    for side in held:
        _check_layers(files.entries, side, counts[side])
    with torch.device("meta"):
        model = Whisper(config)
    wanted: dict[str, tuple[int, ...]] = {}
    for name, sources in layout(config, held).items():
        rows, *rest = model.get_parameter(name).shape
        wanted |= {source: (rows // len(sources), *rest) for source in sources if source is not None}
    missing = [name for name in wanted if name not in files.entries]
    if missing:
        raise ModelFormatError(
            f"the weights lack {_some(missing)}; the download is incomplete, or config.json is of another model"
        )
    if "decoder" in held:
        wanted[OUTPUT] = wanted[EMBEDDING]
    extra = [name for name in files.entries if name not in wanted and not is_harmless(name)]
    if extra:
        raise ModelFormatError(f"the weights hold {_some(extra)}, which Whisper does not have; use another model")
    shapes = {name: files.entries[name].shape for name in wanted if name in files.entries}
    wrong = [f"{name} {shape} instead of {wanted[name]}" for name, shape in shapes.items() if shape != wanted[name]]
    if wrong:
        raise ModelFormatError(f"config.json and the weights do not belong together: {_some(wrong)}")
    return model


def _check_layers(names: Iterable[str], side: str, count: int) -> None:
    """Before the network is built, whose size a wrong config.json could make anything."""
    numbers = (re.match(rf"{side}\.layers\.(\d+)\.", name) for name in names)
    there = len({match[1] for match in numbers if match})
    if there != count:
        raise ModelFormatError(
            f"config.json says {count} {side} layers, the weights have {there}; "
            "use the config.json that was saved with them"
        )


@dataclass(frozen=True)
class _Load:
    """From `files` to `device`, in `dtype`."""

    files: TensorFiles
    dtype: torch.dtype
    device: torch.device

    def parameter(self, model: Whisper, name: str, sources: Sources) -> None:
        """Give the parameter `name` its memory and its values."""
        path, _, leaf = name.rpartition(".")
        held = held_dtype(self.dtype, self.device)
        whole = torch.empty(model.get_parameter(name).shape, dtype=held, device=self.device)
        for source, part in zip(sources, whole.chunk(len(sources)), strict=True):
            if source is None:
                part.zero_()
            else:
                self._copy(source, part)
        setattr(model.get_submodule(path), leaf, nn.Parameter(whole, requires_grad=False))

    def head(self, model: Whisper) -> None:
        """An output matrix of its own, where the file has one and it is not the embedding over again."""
        embedding = model.decoder.tokens.weight
        if OUTPUT not in self.files.entries or self._is_same(OUTPUT, embedding):
            return
        head = torch.empty_like(embedding)
        self._copy(OUTPUT, head)
        model.decoder.head = nn.Parameter(head, requires_grad=False)

    def _copy(self, source: str, into: Tensor) -> None:
        for start, piece in self._converted(source):
            into[start : start + piece.shape[0]].copy_(piece)

    def _is_same(self, source: str, held: Tensor) -> bool:
        pieces = self._converted(source)
        return all(torch.equal(piece.to(self.device), held[start : start + piece.shape[0]]) for start, piece in pieces)

    def _converted(self, source: str) -> Iterator[tuple[int, Tensor]]:
        for start, piece in self.files.pieces(source):
            yield start, convert(piece, self.dtype, self.device, source)


def _some(names: list[str]) -> str:
    """Up to five of the names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
