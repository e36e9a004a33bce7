"""The one place where a pickle is opened; meant to run as a process of its own.

`python -c "from literatim.models.unpickle import main; main()" OUT FILE...` writes OUT/model.safetensors and
OUT/source.json. torch.load is told to build nothing but tensors, yet a hostile file may still crash the process
or fill its memory: that is why it is not the caller's.
"""

from __future__ import annotations

import json
import pickle
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from literatim.errors import ModelFormatError
from literatim.models.openai import rename
from literatim.models.speaker_formats import is_speaker_like

# What is in a file and not a weight: openai's buffers, and a matrix that is the embedding over again when shared.
_BUFFERS = ("decoder.mask", "alignment_heads")
# What Lightning keeps beside the weights, in files of pyannote's: of these classes nothing is built but a husk.
_BESIDE = re.compile(
    r"(pyannote|pytorch_lightning|lightning|lightning_fabric|omegaconf|numpy|typing|_codecs|torch\.torch_version)\."
)
_EMBEDDING, _OUTPUT = "model.decoder.embed_tokens.weight", "proj_out.weight"


def main() -> None:
    """Entry of the process: exit status 0, or 1 with the reason as the last line of stderr."""
    target, *files = map(Path, sys.argv[1:])
    try:
        extract(files, target)
    except Exception as error:  # whatever a file brings about is this process's answer
        sys.stderr.write(f"\n{_one_line(error)}\n")
        sys.exit(1)


def extract(files: Sequence[Path], target: Path) -> None:
    """Write the tensors of `files`, under transformers' names, and what else they tell, into `target`."""
    source: dict[str, Any] = {"kind": "transformers"}
    tensors: dict[str, Tensor] = {}
    for file in files:
        content = _load(file)
        inside = content.get("state_dict")  # of Lightning's files
        if isinstance(inside, Mapping) and is_speaker_like(inside):
            content = inside
        if isinstance(content.get("dims"), Mapping) and isinstance(content.get("model_state_dict"), Mapping):
            source = {"kind": "openai", "dims": dict(content["dims"])}
            state = content["model_state_dict"]
            tensors |= {rename(name): state[name] for name in state if name not in _BUFFERS}
        else:
            tensors |= content
    tensors = _plain(tensors)
    if is_speaker_like(tensors):
        source = {"kind": "speaker"}
    if source["kind"] == "openai":
        source["ffn"] = [_ffn(tensors, side) for side in ("encoder", "decoder")]
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    (target / "source.json").write_text(json.dumps(source), encoding="utf-8")


def _load(file: Path) -> Mapping[str, Any]:
    # files from before torch 1.6 are no zip archives and cannot be mapped
    mapped = zipfile.is_zipfile(file)
    try:
        with torch.serialization.safe_globals(_husks(file) if mapped else []):
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        # torch's own message tells how to load the file regardless
        asked = re.search(r"GLOBAL (\S+)", str(error))
        raise ModelFormatError(
            f"it asks for {asked[1]}, which no weights need" if asked else "it is damaged, or no file of torch"
        ) from error
    if not isinstance(content, Mapping):
        raise ModelFormatError(f"it holds a {type(content).__name__}, not the weights of a model")
    return content


class _Husk:
    """Stands in for a class that is not imported, and takes whatever its objects are made of."""

    def __new__(cls, *_arguments: Any, **_more: Any) -> _Husk:
        return object.__new__(cls)

    def __init__(self, *_arguments: Any, **_more: Any) -> None:
        pass

    def __setstate__(self, _state: Any) -> None:
        pass


def _husks(file: Path) -> list[Any]:
    """A husk for each class that the file asks for and no weights need, of those that are known to lie beside some."""
    asked = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    return [(type("_Husk", (_Husk,), {}), name) for name in asked if _BESIDE.match(name)]


def _plain(tensors: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Contiguous tensors that share no memory, as safetensors wants them."""
    odd = [str(name) for name, tensor in tensors.items() if not isinstance(tensor, Tensor)]
    if odd:
        raise ModelFormatError(f"it holds other things than tensors: {', '.join(odd[:5])}")
    if not tensors:
        raise ModelFormatError("it holds no tensors")
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if name == _OUTPUT and _is_embedding(tensor, tensors.get(_EMBEDDING)):
            continue
        whole = tensor.untyped_storage().nbytes() == tensor.nbytes
        first = tensor.untyped_storage().data_ptr() not in seen
        seen.add(tensor.untyped_storage().data_ptr())
        plain[str(name)] = tensor.contiguous() if whole and first else tensor.contiguous().clone()
    return plain


def _is_embedding(output: Tensor, embedding: Tensor | None) -> bool:
    return embedding is not None and output.dtype == embedding.dtype and torch.equal(output, embedding)


def _ffn(tensors: Mapping[str, Tensor], side: str) -> int:
    bias = tensors.get(f"model.{side}.layers.0.fc1.bias")
    if bias is None:
        raise ModelFormatError(f"its {side} has no layers")
    return bias.numel()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
