"""A MedASR folder of transformers' kind into our network, and our network under the names of transformers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from literatim.errors import ModelFormatError
from literatim.models.folder import CheckpointFolder, read_folder
from literatim.models.medasr import Medasr
from literatim.models.medasr_config import MODEL_TYPE, MedasrConfig
from literatim.models.tensors import TensorFiles, convert, held_dtype

Sources = tuple[str, ...]

# What the features are made of (transformers' LasrFeatureExtractor): an entry that is absent is no contradiction.
_FRONT_END = {"sampling_rate": 16_000, "hop_length": 160, "win_length": 400, "n_fft": 512}

_TOP = {
    "encoder.subsampler.dense_0": "encoder.subsampler.dense_0",
    "encoder.subsampler.conv_0": "encoder.subsampler.conv_0",
    "encoder.subsampler.conv_1": "encoder.subsampler.conv_1",
    "encoder.subsampler.dense_1": "encoder.subsampler.dense_1",
    "encoder.norm": "encoder.out_norm",
    "head": "ctc_head",
}
_BLOCK: dict[str, Sources] = {
    "first.norm": ("norm_feed_forward1",),
    "first.linear1": ("feed_forward1.linear1",),
    "first.linear2": ("feed_forward1.linear2",),
    "attention.norm": ("norm_self_att",),
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.out": ("self_attn.o_proj",),
    "convolution.norm": ("norm_conv",),
    "convolution.enter": ("conv.pointwise_conv1",),
    "convolution.depthwise": ("conv.depthwise_conv",),
    "convolution.batch_norm": ("conv.norm",),
    "convolution.leave": ("conv.pointwise_conv2",),
    "second.norm": ("norm_feed_forward2",),
    "second.linear1": ("feed_forward2.linear1",),
    "second.linear2": ("feed_forward2.linear2",),
    "norm": ("norm_out",),
}
# How often a batch norm was trained, and positions that are computed anyway.
_HARMLESS = re.compile(r"(\.num_batches_tracked|rotary_emb\.(original_)?inv_freq)$")
_POINTWISE = re.compile(r"(pointwise_conv[12]|ctc_head)\.weight$")  # convolutions of one frame: with a third axis of 1


def layout(model: Medasr) -> dict[str, Sources]:
    """Our parameters and buffers, each with the names of the tensors that are stacked in it by rows."""
    table: dict[str, Sources] = {}
    for name in model.state_dict():
        if _HARMLESS.search(name):
            continue
        module, _, leaf = name.rpartition(".")
        block = re.match(r"(encoder\.layers\.\d+)\.(.+)", module)
        sources = tuple(f"{block[1]}.{part}" for part in _BLOCK[block[2]]) if block else (_TOP[module],)
        table[name] = tuple(f"{source}.{leaf}" for source in sources)
    return table


def load_medasr(folder: Path, dtype: torch.dtype, device: torch.device) -> Medasr:
    """The network of a folder, ready for inference on `device`, its weights rounded to `dtype`.

    float16 on a CPU is held and computed in float32. Convolutions may lie as transformers or as MLX has them. Raises
    ModelNotFound and ModelFormatError, which name the file or the tensors and say what to do.
    """
    found = read_medasr(folder)
    config = MedasrConfig.from_dict(found.config)
    check_front_end(found.preprocessor, config)
    with TensorFiles(found.weights, unread=_HARMLESS) as files:
        _check_layers(files, config)
        with torch.device("meta"):
            model = Medasr(config)
        table = layout(model)
        shapes = _shapes(model, table)
        _check_tensors(files, shapes)
        for name, sources in table.items():
            parts = [_read(files, source, shapes[source], dtype, device) for source in sources]
            _put(model, name, torch.cat(parts) if len(parts) > 1 else parts[0])
    for name, buffer in list(model.named_buffers()):
        if buffer.is_meta:
            _put(model, name, torch.zeros(buffer.shape, dtype=buffer.dtype, device=device))
    return model.eval().requires_grad_(False)


def check_front_end(preprocessor: dict[str, Any], config: MedasrConfig) -> None:
    """ModelFormatError where the feature extractor's settings are not those of the network, or others than are made."""
    for name, value in {"feature_size": config.n_mels, **_FRONT_END}.items():
        given = preprocessor.get(name, value)
        if given != value:
            raise ModelFormatError(
                f"the preprocessor's {name} is {given!r}, but MedASR's sound is made with {value}; "
                "preprocessor_config.json and config.json must come from the same model"
            )


def read_medasr(folder: Path) -> CheckpointFolder:
    """`read_folder` of a MedASR; ModelFormatError for another kind of model."""
    found = read_folder(folder)
    if found.model_type != MODEL_TYPE:
        raise ModelFormatError(f"{folder} holds a {found.model_type!r} model; a MedASR model is needed here")
    return found


def exported(model: Medasr) -> dict[str, Tensor]:
    """All tensors under the names and in the shapes of transformers' `LasrForCTC`."""
    state = model.state_dict()
    tensors: dict[str, Tensor] = {}
    for name, sources in layout(model).items():
        for source, part in zip(sources, state[name].chunk(len(sources)), strict=True):
            tensors[source] = (part[..., None] if _POINTWISE.search(source) else part).contiguous()
    return tensors


def _shapes(model: Medasr, table: dict[str, Sources]) -> dict[str, tuple[int, ...]]:
    """What each tensor must be here."""
    state = model.state_dict()
    return {
        source: (state[name].shape[0] // len(sources), *state[name].shape[1:])
        for name, sources in table.items()
        for source in sources
    }


def _check_layers(files: TensorFiles, config: MedasrConfig) -> None:
    """Before the network is built, whose size a wrong config.json could make anything."""
    numbers = (re.match(r"encoder\.layers\.(\d+)\.", name) for name in files.entries)
    there = len({match[1] for match in numbers if match})
    if there != config.layers:
        raise ModelFormatError(
            f"config.json says {config.layers} encoder layers, the weights have {there}; "
            "use the config.json that was saved with them"
        )


def _check_tensors(files: TensorFiles, shapes: dict[str, tuple[int, ...]]) -> None:
    missing = [name for name in shapes if name not in files.entries]
    if missing:
        raise ModelFormatError(
            f"the weights lack {_some(missing)}; the download is incomplete, or config.json is of another model"
        )
    extra = [name for name in files.entries if name not in shapes]
    if extra:
        raise ModelFormatError(f"the weights hold {_some(extra)}, which MedASR does not have; use another model")
    wrong = [
        f"{name} {files.entries[name].shape} instead of {shape}"
        for name, shape in shapes.items()
        if _order(files.entries[name].shape, shape) is None
    ]
    if wrong:
        raise ModelFormatError(f"config.json and the weights do not belong together: {_some(wrong)}")


def _order(there: tuple[int, ...], wanted: tuple[int, ...]) -> str | None:
    """How a tensor lies in a file: "straight", but for axes of 1, or as "mlx" has convolutions; None: as neither."""
    if there[:1] == wanted[:1] and _long(there) == _long(wanted):
        return "straight"
    return "mlx" if len(wanted) == 3 and there == (wanted[0], wanted[2], wanted[1]) else None


def _long(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape[1:] if size != 1]


def _read(files: TensorFiles, source: str, wanted: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    whole = torch.empty(wanted, dtype=held_dtype(dtype, device), device=device)
    order = _order(files.entries[source].shape, wanted)
    for start, piece in files.pieces(source):
        values = convert(piece, dtype, device, source)
        part = whole[start : start + len(values)]
        part.copy_(values.transpose(1, 2) if order == "mlx" else values.reshape(part.shape))
    return whole


def _put(model: Medasr, name: str, values: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    if leaf in dict(module.named_buffers(recurse=False)):
        setattr(module, leaf, values)
    else:
        setattr(module, leaf, nn.Parameter(values, requires_grad=False))


def _some(names: list[str]) -> str:
    """Up to five of the names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
