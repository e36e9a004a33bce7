"""How much memory a draft adds: counted in the networks that are there, and computed from shapes for others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from literatim.models.config import WhisperConfig
from literatim.models.linear import Linear
from literatim.models.native import NativeDecoder
from literatim.models.whisper import Decoder, Whisper
from literatim.pipeline.engine import Engine
from literatim.pipeline.steps import Steps

ROWS = (1, 8)
LARGE_V2 = WhisperConfig(80, 1280, 32, 20, 5120, 32, 20, 5120, 51865, 1500, 448)


def of_shape(config: WhisperConfig, layers: int, dtype: torch.dtype) -> list[dict[str, Any]]:
    """Weights and caches of a network and of a draft that shares its encoder and embedding, by `ROWS`; from shapes."""
    with torch.device("meta"):
        main, draft = Whisper(config).to(dtype), Decoder(replace(config, decoder_layers=layers)).to(dtype)
    draft.tokens = main.decoder.tokens
    return [_row(rows, [main], [draft], (main.decoder, draft)) for rows in ROWS]


def of_engine(engine: Engine) -> list[dict[str, Any]]:
    """What the networks of an engine hold, with the int8 copy of the output matrix and a draft's rows of it.

    Its assistant must have no encoder of its own.
    """
    assistant, screen = engine.assistant, engine._screen
    assert assistant is not None
    main = [engine.model, *_packed(engine.steps), *([] if screen is None else vars(screen).values())]
    own = [] if assistant.screen is None else vars(assistant.screen).values()
    draft = [assistant.decoder, *_packed(assistant.steps), assistant._head, *own]
    networks = (engine.model.decoder, assistant.decoder)
    return [_row(rows, main, draft, networks) for rows in ROWS]


def _packed(steps: Steps) -> list[Tensor]:
    return steps.kept if isinstance(steps, NativeDecoder) else []


def _row(rows: int, main: Iterable[Any], draft: Iterable[Any], networks: tuple[Decoder, Decoder]) -> dict[str, Any]:
    """Bytes of the main network alone and of what the draft adds, with caches for so many rows."""
    alone, small = (dict(_tensors(held)) for held in (main, draft))
    caches = [_cache(network, rows) for network in networks]
    weights, added = sum(alone.values()), sum(size for key, size in small.items() if key not in alone)
    return {
        "batch": rows,
        "weights": weights,
        "cache": caches[0],
        "draft_weights": added,
        "draft_cache": caches[1],
        "added_share": (added + caches[1]) / (weights + caches[0]),
    }


def _cache(decoder: Decoder, rows: int) -> int:
    """Bytes of a cache of torch's modules, without one; that of the kernels has a few places less."""
    with torch.device("meta"):
        ghost = Decoder(decoder.config).to(decoder.positions.dtype).allocate(rows)
    return sum(_size(getattr(ghost, item.name)) for item in fields(ghost))


def _tensors(held: Iterable[Any]) -> Iterator[tuple[int, int]]:
    """Every tensor among these things and in these modules, by what tells it from others, with its bytes."""
    for item in held:
        if isinstance(item, Tensor):
            yield _identity(item), _size(item)
        elif isinstance(item, nn.Module):
            for module in item.modules():
                packed = module._packed if isinstance(module, Linear) else None
                yield from _tensors([*module.parameters(recurse=False), *([] if packed is None else [packed])])


def _identity(tensor: Tensor) -> int:
    """Views of one memory are one; packed tensors and those without memory have no address."""
    plain = tensor.layout == torch.strided and tensor.device.type != "meta"
    return tensor.untyped_storage().data_ptr() if plain else id(tensor)


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
