"""Which speaker model vectors are from: only those of one model and one front end can be compared."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ModelIdentity:
    """A model's name, as a user gave it, a SHA-256 over its weights and front end, and the length of its vectors.

    The name is for messages: two identities are of one model where the other two agree.
    """

    name: str
    sha256: str
    dimension: int

    def agrees(self, other: ModelIdentity) -> bool:
        """Whether vectors of both can be compared."""
        return (self.sha256, self.dimension) == (other.sha256, other.dimension)


def identity_of(folder: Path, name: str, dimension: int, frontend: str = "kaldi") -> ModelIdentity:
    """Of the safetensors in `folder`: their names, dtypes, shapes and values, whatever their order and metadata."""
    found = hashlib.sha256(f"front end {frontend}\n".encode())
    tensors = [item for file in sorted(folder.glob("*.safetensors")) for item in _tensors(file)]
    for described, file, start, size in sorted(tensors):
        found.update(f"{described}\n".encode())
        with file.open("rb") as stream:
            stream.seek(start)
            found.update(stream.read(size))
    return ModelIdentity(name, found.hexdigest(), dimension)


def _tensors(file: Path) -> Iterator[tuple[str, Path, int, int]]:
    """Name, dtype and shape of each, the file, and the bytes' place and count: the file's header is JSON."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    for name, about in header.items():
        if name != "__metadata__":
            start, end = about["data_offsets"]
            yield f"{name} {about['dtype']} {about['shape']}", file, 8 + length + start, end - start
