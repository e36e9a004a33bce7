"""A device `npu` without hardware: real tensors and real arithmetic, for tests and for the self-test of `verify`.

`install()` once, before anything uses the device; it needs torch 2.10. Every operation that torch would send to an
Ascend device is run by the CPU on the same memory, is counted in `OPS`, can be refused (`unsupported`) and can be made
wrong (`plant`). Not a simulation: there is no asynchrony, no memory limit and no kernel of its own; an operation the
real device lacks works here unless a test refuses it.
"""

from __future__ import annotations

import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.machinery import ModuleSpec
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils import backend_registration

from literatim.errors import DependencyError, DeviceError
from literatim.verify.fake_memory import KIND, LEDGER, as_cpu, as_npu
from literatim.verify.fake_module import NPU
from literatim.verify.faults import Planted, tensors

TO_DEVICE, TO_HOST, ON_DEVICE = "copy.to_device", "copy.to_host", "copy.on_device"
SCALAR_TO_HOST = "aten._local_scalar_dense"

_LEAST_TORCH = "2.10"
_KEY = "PrivateUse1"
_NO_WORK = ("aten.empty", "aten.empty_strided", "aten.resize_", "aten.set_")
_MIXES = ("aten.index", "aten._index_put_impl_", "aten.set_")  # take CPU tensors beside those of the device


class Call(NamedTuple):
    """One kind of call: the op without its overload, its tensors' shapes and dtypes, and the shapes of the results."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[torch.dtype, ...]
    results: tuple[tuple[int, ...], ...]


OPS: Counter[Call] = Counter()
"""All calls since the start or the last `OPS.clear()` but those that only make or view memory."""

_planted: list[Planted] = []
_refused: Counter[str] = Counter()
_libraries: list[Any] = []


def install(devices: int = 2, name: str = "Fake NPU") -> None:
    """Make `npu` a device of this process, and `torch_npu` a module; a second call changes number and name alone.

    Raises DependencyError where torch is older than 2.10, and DeviceError where the real torch_npu is loaded.
    """
    NPU.set_up(devices, name)
    if _libraries:
        return
    set_up: Any = getattr(backend_registration, "_setup_privateuseone_for_python_backend", None)
    if set_up is None:
        raise DependencyError(
            f"the fake npu needs torch {_LEAST_TORCH} or newer, and this is torch {torch.__version__}: "
            f'pip install "torch>={_LEAST_TORCH}"'
        )
    if "torch_npu" in sys.modules:
        raise DeviceError(
            "torch_npu is loaded, so that there can be no fake npu beside it; "
            "start Python with TORCH_DEVICE_BACKEND_AUTOLOAD=0 and do not import torch_npu"
        )
    set_up(KIND, backend_module=NPU, device_guard=_Guard())
    _register()
    _publish()


Some = TypeVar("Some", bound=Planted)


@contextmanager
def plant(fault: Some) -> Iterator[Some]:
    """Within it the device computes so (see `faults`)."""
    _planted.append(fault)
    try:
        yield fault
    finally:
        _planted.remove(fault)


@contextmanager
def unsupported(op: str) -> Iterator[None]:
    """Within it `op` (`aten.xyz`) raises what torch_npu raises with TORCH_NPU_FALLBACK_CPU_DISABLE=1."""
    _refused[op] += 1
    try:
        yield
    finally:
        _refused[op] -= 1


def calls(*ops: str) -> int:
    """How often these ops ran since `OPS` was cleared."""
    return sum(count for call, count in OPS.items() if call.op in ops)


def compiled_shapes() -> int:
    """How many kernels a device that compiles one for each op, shape and dtype had to compile."""
    return len(OPS)


class _Guard(torch._C._acc.DeviceGuard):  # type: ignore[misc,name-defined,unused-ignore]
    def type_(self) -> Any:
        return torch._C._autograd.DeviceType.PrivateUse1


def _register() -> None:
    library: Any = torch.library.Library  # untyped
    every = library("_", "IMPL")
    every.fallback(_dispatch, _KEY)
    every.fallback(torch.library.fallthrough_kernel, f"Autocast{_KEY}")
    own = library("aten", "IMPL")
    own.impl("_copy_from", _copy, _KEY)
    own.impl("_local_scalar_dense", _scalar, _KEY)
    own.impl("resize_", _resize, _KEY)
    # the names under which torch hands these to a device that is not its own
    aten = torch.ops.aten
    own.impl("convolution_overrideable", partial(_dispatch, aten.convolution.default), _KEY)
    own.impl("scaled_dot_product_attention", partial(_dispatch, aten.scaled_dot_product_attention.default), _KEY)
    _libraries.extend((every, own))


def _publish() -> None:
    """The stub of torch_npu, with a spec, as `importlib.util.find_spec` wants one."""
    stub: Any = types.ModuleType("torch_npu")
    stub.__version__ = torch.__version__.split("+")[0] + "+fake"
    stub.__path__ = []
    stub.npu = NPU
    for function in ("npu_fusion_attention", "npu_rms_norm"):  # transformers imports these once torch_npu is there
        setattr(stub, function, partial(_no_such_kernel, function))
    for name, module in (("torch_npu", stub), (f"torch_npu.{KIND}", NPU)):
        module.__spec__ = ModuleSpec(name, None)
        sys.modules[name] = module
    sys.modules[f"torch.{KIND}"] = NPU


@dataclass(frozen=True)
class _Kind:
    """What an op's schema says, read once."""

    name: str
    views: bool
    outputs: frozenset[str]
    written: tuple[tuple[int, str], ...]  # place and name of the arguments it writes to
    results: int

    @classmethod
    @cache
    def of(cls, op: Any) -> _Kind:
        schema = op._schema
        changed = [item.alias_info is not None and item.alias_info.is_write for item in schema.arguments]
        return cls(
            schema.name.replace("::", "."),
            any(item.alias_info is not None and not item.alias_info.is_write for item in schema.returns),
            frozenset(item.name for item in schema.arguments if item.is_out),
            tuple((place, item.name) for place, item in enumerate(schema.arguments) if changed[place]),
            len(schema.returns),
        )


def _no_such_kernel(name: str, *_args: Any, **_kwargs: Any) -> Any:
    raise NotImplementedError(f"the fake npu has no torch_npu.{name}; use torch's own functions")


def _refuse(op: str) -> None:
    if _refused[op]:
        raise RuntimeError(
            f"The operator '{op.replace('.', '::', 1)}' would execute its main computation on CPU through dispatcher "
            "backend fallback, but CPU fallback is disabled by TORCH_NPU_FALLBACK_CPU_DISABLE=1."
        )


def _count(op: str, given: Sequence[Tensor], results: Any) -> None:
    if op in _NO_WORK:
        return
    made = (results,) if isinstance(results, Tensor) else tensors(results)
    shapes, dtypes = tuple([item.shape for item in given]), tuple([item.dtype for item in given])
    OPS[Call(op, shapes, dtypes, tuple([item.shape for item in made]))] += 1


def _onto_cpu(leaf: Any, found: list[Tensor]) -> Any:
    """The CPU's handles of a tree's tensors, which are noted in `found` as they are given."""
    if isinstance(leaf, Tensor):
        found.append(leaf)
        return as_cpu(leaf) if leaf.device.type == KIND else leaf
    if isinstance(leaf, (list, tuple)):
        items = [_onto_cpu(item, found) for item in leaf]
        return items if isinstance(leaf, list) else tuple(items)
    return torch.device("cpu") if isinstance(leaf, torch.device) and leaf.type == KIND else leaf


def _onto_npu(leaf: Any, index: int, handle: Callable[[Any, int], Any]) -> Any:
    if isinstance(leaf, (list, tuple)):
        items = [handle(item, index) for item in leaf]
        return items if isinstance(leaf, list) else tuple(items)
    return handle(leaf, index)


def _dispatch(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Run `op` on the CPU's handles of its tensors; what it gives is the device's."""
    kind = _Kind.of(op)
    _refuse(kind.name)
    given: list[Tensor] = []
    outputs: list[Tensor] = []
    a = [_onto_cpu(item, given) for item in args]
    k = {name: _onto_cpu(item, outputs if name in kind.outputs else given) for name, item in kwargs.items()}
    index = _index(kind.name, given, outputs, kwargs.get("device"))
    if kind.views:
        results = op(*a, **k)
        with torch.inference_mode(False):  # a view of an ordinary tensor must be an ordinary tensor
            return _onto_npu(results, index, lambda item, at: as_npu(item, at) if isinstance(item, Tensor) else item)
    for output in kind.outputs:
        if not k[output].numel():
            k[output] = torch.empty(0, dtype=k[output].dtype)  # memory of the CPU's, which can grow
    results = _run(op, kind.name, a, k)
    _count(kind.name, given, results)
    if not kind.written:
        return _onto_npu(results, index, _new)
    pairs = [(args[at], a[at]) if at < len(args) else (kwargs.get(name), k.get(name)) for at, name in kind.written]
    written = [_write_back(original, own, index) for original, own in pairs if original is not None]
    return written[0] if kind.results == 1 else tuple(written) if kind.results else None


def _run(op: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The op with what is planted around it; the first planted is the innermost."""
    compute = op
    for planted in _planted:
        compute = partial(planted.around, name, compute)
    return compute(*args, **kwargs)


def _index(name: str, given: Sequence[Tensor], outputs: Sequence[Tensor], asked: Any) -> int:
    """The number of the device the op runs on; RuntimeError where its tensors are not all there."""
    found = {item.device for item in (*given, *outputs) if item.dim() or item.device.type == KIND}
    if len(found) > 1 and not name.startswith(_MIXES):
        listed = ", ".join(sorted(str(device) for device in found))
        raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, {listed}!")
    wanted = (*found, asked) if isinstance(asked, torch.device) else found
    return NPU.index(next((device.index for device in wanted if device.type == KIND), None))


def _new(result: Any, index: int) -> Any:
    """A result in memory of its own becomes the device's."""
    if not isinstance(result, Tensor) or result.device.type != "cpu":
        return result
    LEDGER.hold(result, index)
    return as_npu(result, index)


def _write_back(original: Any, written: Any, index: int) -> Any:
    """The argument an op wrote to; where it was given other memory or another shape, so is the original."""
    if isinstance(original, Tensor) and (written.shape != original.shape or written.data_ptr() != original.data_ptr()):
        original.data = _new(written, index)
    return original


def _copy(source: Tensor, target: Tensor, _non_blocking: bool = False) -> Tensor:
    kinds = (source.device.type == KIND, target.device.type == KIND)
    way = {(True, True): ON_DEVICE, (True, False): TO_HOST, (False, True): TO_DEVICE}[kinds]
    given: list[Tensor] = []
    _run(Tensor.copy_, way, [_onto_cpu(target, given), _onto_cpu(source, given)], {})
    _count(way, given[::-1], target)
    return target


def _scalar(tensor: Tensor) -> Any:
    _refuse(SCALAR_TO_HOST)
    _count(SCALAR_TO_HOST, [tensor], ())
    return as_cpu(tensor).item()


def _resize(tensor: Tensor, size: Any, **_memory_format: Any) -> Tensor:
    tensor.data = _new(torch.empty(list(size), dtype=tensor.dtype), tensor.device.index)
    return tensor
