"""Memory of the fake npu: ordinary CPU memory under another device's name, and a count of it.

DLPack (https://dmlc.github.io/dlpack) hands a tensor on as a pointer with a device written beside it. With that
device changed, torch takes the same memory for a tensor of its extension device: a true `torch.Tensor` with strides and
storage, whose numbers the CPU can read through a second handle that is made the other way.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import Counter
from typing import Any

import torch
from torch import Tensor

KIND = "npu"
_CPU, _EXTENSION = 1, 12  # DLDeviceType kDLCPU, kDLExtDev


class _Device(ctypes.Structure):
    """DLDevice."""

    _fields_ = (("kind", ctypes.c_int32), ("index", ctypes.c_int32))


class _Head(ctypes.Structure):
    """What a DLManagedTensor begins with."""

    _fields_ = (("data", ctypes.c_void_p), ("device", _Device))


_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = ctypes.c_void_p
_pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _renamed(tensor: Tensor, kind: int, index: int) -> Tensor:
    to_capsule: Any = torch._C._to_dlpack
    from_capsule: Any = torch._C._from_dlpack
    capsule = to_capsule(tensor.detach() if tensor.requires_grad else tensor)
    head = _Head.from_address(_pointer_of(capsule, b"dltensor"))
    head.device.kind, head.device.index = kind, index
    result: Tensor = from_capsule(capsule)
    return result


def as_npu(tensor: Tensor, index: int = 0) -> Tensor:
    """A handle of the fake device on a CPU tensor's memory."""
    return _renamed(tensor, _EXTENSION, index)


def as_cpu(tensor: Tensor) -> Tensor:
    """A CPU handle on the memory of a tensor of the fake device."""
    return _renamed(tensor, _CPU, 0)


class Ledger:
    """Bytes alive and their peak, by device index. Whole storages count, once, until the last view of them is gone."""

    def __init__(self) -> None:
        self.live: Counter[int] = Counter()
        self.peak: Counter[int] = Counter()
        self._held: dict[int, weakref.ref[Tensor]] = {}
        self._next = 0

    def hold(self, tensor: Tensor, index: int) -> None:
        """Count the storage of a new CPU tensor; torch keeps the object as long as a handle on its memory lives."""
        size, key = tensor.untyped_storage().nbytes(), self._next
        self._next += 1

        def forget(_gone: weakref.ref[Tensor]) -> None:
            self.live[index] -= size
            del self._held[key]

        self._held[key] = weakref.ref(tensor, forget)
        self.live[index] += size
        self.peak[index] = max(self.peak[index], self.live[index])

    def reset_peak(self, index: int) -> None:
        """The peak begins anew at what is alive."""
        self.peak[index] = self.live[index]


LEDGER = Ledger()
