"""The weights in an ONNX file, without a library for it: they are named tensors of a Protocol Buffers message.

Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, the encoding that of
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

_GRAPH, _INITIALIZER = 7, 5
_DIMS, _TYPE, _NAME, _RAW = 1, 2, 8, 9
_FLOAT = 1
_FIXED = {1: 8, 5: 4}  # bytes of the wire types of one size


def initializers(path: Path) -> dict[str, Tensor]:
    """The float32 tensors of the main graph that are stored as bytes; ValueError for what is no such file."""
    try:
        return dict(_tensors(path.read_bytes()))
    except IndexError as error:
        raise ValueError(f"{path} ends early") from error


def _tensors(file: bytes) -> Iterator[tuple[str, Tensor]]:
    graphs = (value for number, value in _fields(file) if number == _GRAPH and isinstance(value, bytes))
    for graph in graphs:
        for number, value in _fields(graph):
            if number != _INITIALIZER or not isinstance(value, bytes):
                continue
            parts = list(_fields(value))
            once = dict(parts)
            raw, name = once.get(_RAW), once.get(_NAME)
            if once.get(_TYPE) == _FLOAT and isinstance(raw, bytes) and isinstance(name, bytes):
                shape = [size for field, size in parts if field == _DIMS and isinstance(size, int)]
                yield name.decode(), torch.frombuffer(bytearray(raw), dtype=torch.float32).view(shape)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: their numbers and what is in them."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        elif wire in _FIXED:
            size = _FIXED[wire]
        else:
            raise ValueError("not a message of Protocol Buffers")
        if at + size > len(message):
            raise ValueError("a field ends beyond its message")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first; and the place after it."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
