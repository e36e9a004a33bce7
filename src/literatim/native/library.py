"""The compiled kernels: which of them this processor can run, and how they are called."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from literatim.device.host import processor
from literatim.errors import DependencyError

VERSION = "kernels_7"  # of the structures below; the library has a name for it
LANES = 16  # columns of a block of a packed matrix
PHASES, MORE_PHASES = 11, 2  # of a layer of the decoder, each with a counter of jobs, and those without a layer
CHOICE_PHASES = 3  # of the screen
QUERIES = 12  # attended to at once
PIECE = 48 * 4 * LANES  # floats of one job's piece of a linear layer
ATTENDED, CONVOLVED = 48, 8  # queries of one job of a Conformer's attention, steps of its convolution at once
CHOICE_PIECE = 6 * 4 * LANES  # and of the screen
AT_ONCE, TILE_POINTS = 48, 16  # tiles or pixels of a convolution, and products of a tile
LOGITS_COLUMNS, LOGITS_PIECE = 4 * LANES, 64 * 4 * LANES  # ids of a piece of the output matrix, floats of its results
_AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "fma"}
_LEVELS: tuple[tuple[str, set[str]], ...] = (
    ("v4bf16", {*_AVX512, "avx512_bf16"}),
    ("v4", _AVX512),
    ("v3", {"avx2", "fma"}),
    ("base", set()),
)
_FOLDER = Path(__file__).parent
_own = threading.local()


class Linear(ctypes.Structure):
    """`Linear` of decoder.c."""

    _fields_ = (
        *(("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p)),
        *(("inputs", ctypes.c_int64), ("outputs", ctypes.c_int64)),
    )


class Norm(ctypes.Structure):
    """`Norm` of decoder.c."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class Layer(ctypes.Structure):
    """`Layer` of decoder.c."""

    _fields_ = (
        *(("before_text", Norm), ("qkv", Linear), ("out", Linear)),
        *(("before_sound", Norm), ("query", Linear), ("out_sound", Linear)),
        *(("before_mlp", Norm), ("fc1", Linear), ("fc2", Linear)),
    )


class Model(ctypes.Structure):
    """`Model` of decoder.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("width", "heads", "layers", "half", "places")),
        *(("tokens", ctypes.c_void_p), ("positions", ctypes.c_void_p), ("layer", ctypes.POINTER(Layer))),
        ("norm", Norm),
    )


class Memory(ctypes.Structure):
    """`Memory` of decoder.c."""

    _fields_ = (
        *(("keys", ctypes.c_void_p), ("values", ctypes.c_void_p)),
        *((name, ctypes.c_int64) for name in ("layer", "row", "head", "size")),
    )


class Step(ctypes.Structure):
    """`Step` of decoder.c."""

    _fields_ = (
        *(("tokens", ctypes.c_void_p), ("lengths", ctypes.c_void_p)),
        *((name, ctypes.c_int64) for name in ("rows", "fed", "heard")),
        *(("text", Memory), ("sound", Memory)),
        *((name, ctypes.c_void_p) for name in ("x", "wide", "narrow", "scratch")),
        *((name, ctypes.c_int64) for name in ("wide_row", "narrow_row", "scratch_size")),
        *((name, ctypes.c_void_p) for name in ("jobs", "out", "watched", "seen")),
    )


class Pool(ctypes.Structure):
    """`Pool` of common.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("parallel", "thread", "count")),
        ("most", ctypes.c_int64),
    )


class Screen(ctypes.Structure):
    """`Screen` of screen.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("codes", "scales", "offsets", "weight", "rest")),
        *((name, ctypes.c_int64) for name in ("inputs", "text", "ids", "half")),
        *((name, ctypes.c_float) for name in ("error", "norm")),
    )


class Choice(ctypes.Structure):
    """`Choice` of screen.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("hidden", "allowed", "out")),
        ("rows", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("codes", "scales", "bounds", "tops", "scratch", "jobs")),
    )


class Logits(ctypes.Structure):
    """`Logits` of logits.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "packed", "hidden", "out")),
        *((name, ctypes.c_int64) for name in ("ids", "inputs", "rows", "half")),
        *(("scratch", ctypes.c_void_p), ("scratch_size", ctypes.c_int64), ("jobs", ctypes.c_void_p)),
    )


class Convolution(ctypes.Structure):
    """`Convolution` of convolution.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "weight", "bias", "kept", "out")),
        *((name, ctypes.c_int64) for name in ("rows", "height", "width", "inputs", "down", "across", "outputs")),
        *((name, ctypes.c_int64) for name in ("kernel", "stride", "tiled", "half", "relu")),
        *(("scratch", ctypes.c_void_p), ("scratch_size", ctypes.c_int64), ("jobs", ctypes.c_void_p)),
    )


class Pick(ctypes.Structure):
    """`Pick` of rules.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("logits", "allowed", "stamps", "last", "penultimate", "after")),
        *((name, ctypes.c_int64) for name in ("rows", "tried", "ids", "eot", "begin", "end")),
        *(("out", ctypes.c_void_p), ("jobs", ctypes.c_void_p)),
    )


class Draft(ctypes.Structure):
    """`Draft` of draft.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("model", "step", "logits", "screen", "choice", "pick")),
        *((name, ctypes.c_void_p) for name in ("stamps", "found", "last", "penultimate", "to_main", "to_own")),
        *((name, ctypes.c_void_p) for name in ("fed", "lengths", "out")),
        *((name, ctypes.c_int64) for name in ("rows", "most", "begin", "end")),
    )


class Attention(ctypes.Structure):
    """`Attention` of conformer.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("qkv", "cosines", "sines", "out")),
        *((name, ctypes.c_int64) for name in ("steps", "heads", "channels")),
        ("scale", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("keys", "values", "scratch")),
        *(("scratch_size", ctypes.c_int64), ("jobs", ctypes.c_void_p)),
    )


class Gated(ctypes.Structure):
    """`Gated` of conformer.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "weight", "factor", "shift", "out")),
        *((name, ctypes.c_int64) for name in ("steps", "width", "kernel", "before")),
        *(("gated", ctypes.c_void_p), ("jobs", ctypes.c_void_p)),
    )


@dataclass(frozen=True)
class Library:
    """The kernels built for one level of processors.

    `step` and `listen` are the functions of decoder.c, `logits` and `pack` those of logits.c, `pick` is that of
    rules.c, `propose` that of draft.c, `convolve` that of convolution.c, `attend` and `convolve_gated` are those of
    conformer.c, and `warp` is that of align.c; `choose` is that of screen.c, which needs AVX-512.
    """

    level: str
    step: Callable[..., None]
    listen: Callable[..., None]
    logits: Callable[..., None]
    pack: Callable[..., None]
    pick: Callable[..., None]
    propose: Callable[..., None]
    convolve: Callable[..., None]
    attend: Callable[..., None]
    convolve_gated: Callable[..., None]
    warp: Callable[..., int]
    choose: Callable[..., None] | None
    _pool: Pool

    def pool(self) -> Pool:
        """The threads that torch runs on, as many as it uses now."""
        self._pool.most = torch.get_num_threads()
        return self._pool


def level() -> str | None:
    """Of the kernels in use; None where torch's operators do the work, or what was built cannot be loaded."""
    try:
        found = find()
    except (DependencyError, OSError):
        return None
    return None if found is None else found.level


def find() -> Library | None:
    """The fastest kernels that were built and that this processor runs; None where there are none.

    The variable LITERATIM_KERNELS names the level to use: v4bf16 (AVX-512 with bfloat16), v4 (AVX-512), v3
    (AVX2), base, or none of them.
    """
    return _find(os.environ.get("LITERATIM_KERNELS", ""))


@functools.cache
def _find(wanted: str) -> Library | None:
    able = processor().flags
    for level, needed in _LEVELS:
        file = next(iter(sorted(_FOLDER.glob(f"_{level}.*"))), None)
        if file is not None and needed <= able and wanted in {"", level}:
            return _load(file, level)
    return None


def _load(file: Path, level: str) -> Library:
    library = ctypes.CDLL(str(file))
    if not hasattr(library, f"literatim_{VERSION}"):
        raise DependencyError(
            f"{file} was built from other sources; install again: pip install --force-reinstall --no-deps literatim, "
            "or, in a checkout, pip install --editable ."
        )
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    pool, memory = ctypes.POINTER(Pool), ctypes.POINTER(Memory)
    library.literatim_step.argtypes = [ctypes.POINTER(Model), ctypes.POINTER(Step), pool]
    library.literatim_listen.argtypes = [number, pointer, number, number, number, memory, number, number]
    library.literatim_logits.argtypes = [ctypes.POINTER(Logits), pool]
    library.literatim_pack.argtypes = [number, pointer, number, number, pointer]
    choose = getattr(library, "literatim_choose", None)
    if choose is not None:
        choose.argtypes = [ctypes.POINTER(Screen), ctypes.POINTER(Choice), pool]
        choose.restype = None
    library.literatim_pick.argtypes = [ctypes.POINTER(Pick), pool]
    library.literatim_propose.argtypes = [ctypes.POINTER(Draft), pool]
    library.literatim_convolve.argtypes = [ctypes.POINTER(Convolution), pool]
    library.literatim_attend.argtypes = [ctypes.POINTER(Attention), pool]
    library.literatim_convolve_gated.argtypes = [ctypes.POINTER(Gated), pool]
    names = ("step", "listen", "logits", "pack", "pick", "propose", "convolve", "attend", "convolve_gated")
    functions = {name: getattr(library, f"literatim_{name}") for name in names}
    for function in functions.values():
        function.restype = None
    library.literatim_warp.argtypes = [pointer, number, number, pointer, pointer, pointer]
    library.literatim_warp.restype = number
    return Library(level, **functions, warp=library.literatim_warp, choose=choose, _pool=_pool())


def _pool() -> Pool:
    """By the OpenMP library that torch runs on; empty, for one thread, where it has not gcc's names."""
    for path in _openmp():
        try:
            found: Any = ctypes.CDLL(path)
            functions = (found.GOMP_parallel, found.omp_get_thread_num, found.omp_get_num_threads)
        except (OSError, AttributeError):
            continue
        return Pool(*(ctypes.cast(function, ctypes.c_void_p).value for function in functions), 1)
    return Pool(None, None, None, 1)


def _openmp() -> list[str]:
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return [str(path) for path in sorted((Path(torch.__file__).parent / "lib").glob("*omp*"))]
    names = {line.split()[-1] for line in maps.read_text(encoding="utf-8", errors="replace").splitlines()}
    return sorted(name for name in names if "omp" in Path(name).name and ".so" in name)


def room(size: int) -> Tensor:
    """So many bytes or more of this thread's own, for one call; what was in them is of earlier ones."""
    held: Tensor | None = getattr(_own, "room", None)
    if held is None or held.numel() < size:
        held = _own.room = zeros((size,), torch.uint8)
    return held


def zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Memory of the CPU, in large pages where the system has them: much of it is read in each step."""
    count = 1
    for size in shape:
        count *= size
    size = max(1, count * dtype.itemsize)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # which Linux gives to private memory alone
        held = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        held.madvise(mmap.MADV_HUGEPAGE)
    else:
        held = mmap.mmap(-1, size)
    return torch.frombuffer(held, dtype=dtype, count=count).view(shape)
