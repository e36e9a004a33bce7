"""Tensors of one or more safetensors files, read in pieces so that memory holds little beside the result."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from literatim.errors import ModelFormatError

_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # bytes, by safetensors' name of the dtype
_LEAST_PIECE = 1 << 20  # bytes
_PIECES = 40  # a piece is a fortieth of the files, so that a mapping holds about 2.5 % of them


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: its file, its name there, its shape and safetensors' name of its dtype."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: str


class TensorFiles:
    """The tensors of a checkpoint by name, without the `model.` that some exports leave out.

    safetensors maps its files, and mapped pages that were read count as this process's memory until the
    mapping ends: therefore a file is opened anew after each piece's worth of bytes.
    """

    def __init__(self, paths: Sequence[Path], unread: re.Pattern[str] | None = None) -> None:
        """`unread`: of what names tensors are passed over, whatever they hold."""
        self._unread = unread
        self._piece = max(_LEAST_PIECE, sum(path.stat().st_size for path in paths) // _PIECES)
        self.entries: dict[str, Entry] = {}
        for path in paths:
            self._list(path)
        self._open: _OpenFile | None = None

    def __enter__(self) -> TensorFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def step(self, name: str) -> int:
        """Rows of tensor `name` that make a piece."""
        return max(1, self._piece // self._row_bytes(name))

    def pieces(self, name: str, step: int | None = None) -> Iterator[tuple[int, Tensor]]:
        """Runs of `step` rows of tensor `name`, each with the number of its first row; drop one before the next.

        The tensors are views of the file: only copies of them may be kept.
        """
        entry, row_bytes, step = self.entries[name], self._row_bytes(name), step or self.step(name)
        rows = entry.shape[0]
        for start in range(0, rows, step):
            stop = min(start + step, rows)
            yield start, self._read(entry, start, stop, (stop - start) * row_bytes)

    def _row_bytes(self, name: str) -> int:
        entry = self.entries[name]
        return math.prod(entry.shape[1:]) * _SIZES[entry.dtype]

    def _read(self, entry: Entry, start: int, stop: int, size: int) -> Tensor:
        if self._open is None or self._open.path != entry.path or self._open.used + size > self._piece:
            self._close()
            self._open = _OpenFile(entry.path, safe_open(entry.path, "pt"))
        self._open.used += size
        part: Tensor = self._open.file.get_slice(entry.name)[start:stop]
        return part

    def _close(self) -> None:
        if self._open is not None:
            self._open.file.__exit__(None, None, None)
        self._open = None

    def _list(self, path: Path) -> None:
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 (it is no dictionary)
                    part = file.get_slice(name)
                    self._add(Entry(path, name, tuple(part.get_shape()), part.get_dtype()))
        except (SafetensorError, OSError) as error:
            raise ModelFormatError(f"{path} is cut off or damaged ({error}); download it again") from error

    def _add(self, entry: Entry) -> None:
        name = entry.name.removeprefix("model.")
        if self._unread is not None and self._unread.search(name):
            return
        if name in self.entries:
            raise ModelFormatError(f"{entry.path} holds {name} twice, with and without `model.`; save the model again")
        if entry.dtype not in _SIZES:
            raise ModelFormatError(
                f"{entry.path}: {entry.name} is stored as {entry.dtype}, a quantized form; "
                "use the model in float32, float16 or bfloat16"
            )
        self.entries[name] = entry


class _OpenFile:
    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file, self.used = path, file, 0


def convert(piece: Tensor, dtype: torch.dtype, device: torch.device, name: str) -> Tensor:
    """`piece` rounded to `dtype`, in the dtype it is held in on `device` (see `held_dtype`).

    Raises ModelFormatError where a value is, or becomes, no number.
    """
    rounded = piece.to(dtype)
    # the extremes show every infinity and NaN, and need no memory of the piece's size
    if not all(torch.isfinite(extreme) for extreme in torch.aminmax(rounded)):
        cause = (
            f"does not fit {dtype}; ask for float32"
            if torch.isfinite(piece).all()
            else "is broken; download the model again"
        )
        raise ModelFormatError(f"{name} holds infinite or undefined values: it {cause}")
    return rounded.to(held_dtype(dtype, device))


def held_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """float16 on a CPU means weights rounded to float16 and float32 arithmetic; all else is held as asked."""
    return torch.float32 if device.type == "cpu" and dtype == torch.float16 else dtype
