"""The device package calls only names that torch_npu publishes: no machine without an NPU would show a typo.

The list is `torch_npu.npu.__all__` of the 2.13.0 wheel, names only (tests/data/torch_npu_names.json).
"""

from __future__ import annotations

import ast
import json
import sys
import types
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch

from literatim import device as devices
from literatim.device import ascend

ROOT = Path(__file__).parents[2]
PUBLISHED = frozenset(json.loads((ROOT / "tests" / "data" / "torch_npu_names.json").read_text("utf-8"))["names"])
OF_MPS = {"current_allocated_memory", "driver_allocated_memory", "recommended_max_memory"}  # asked of mps alone
MODULES = ("npu", "module")  # what the package calls torch.npu, or the module of whichever kind it has


def names_used(tree: ast.Module) -> Iterator[str]:
    """Names taken from a backend's module: attributes, `ask(kind, name)`, and the switches of `torch.npu`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in MODULES:
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ask":
            named = node.args[1]
            assert isinstance(named, ast.Constant), f"line {node.lineno}: a name that cannot be checked"
            yield named.value
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("npu.conv."):
            yield "conv"


def test_the_list_is_whole() -> None:
    assert len(PUBLISHED) == 144
    assert {"is_available", "set_compile_mode", "config", "conv", "matmul", "NPUGraph"} <= PUBLISHED


def test_only_published_names_are_written() -> None:
    files = sorted((ROOT / "src" / "literatim" / "device").glob("*.py"))
    used = {name for file in files for name in names_used(ast.parse(file.read_text("utf-8")))}
    assert used - PUBLISHED - OF_MPS == set()
    assert {"set_compile_mode", "device_count", "memory_allocated", "Event", "current_stream", "conv"} <= used


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("npu.set_compile_mod(jit_compile=False)", ["set_compile_mod"]),
        ("module.Event()", ["Event"]),
        ("ask('npu', 'mem_info', 0)", ["mem_info"]),
        ("torch.npu.anything; other.name", []),
    ],
)
def test_the_check_sees_names(code: str, found: list[str]) -> None:
    assert list(names_used(ast.parse(code))) == found


class Recorder(types.ModuleType):
    """A `torch.npu` that writes down what it is asked for, and has what is published."""

    def __init__(self) -> None:
        super().__init__("torch.npu")
        self.__dict__["asked"] = set()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.asked.add(name)
        if name not in PUBLISHED:
            raise AttributeError(name)
        if name in {"conv", "matmul"}:
            return self.__dict__.setdefault(f"_{name}", types.SimpleNamespace(allow_hf32=name == "conv"))
        if name in {"config", "NPUGraph"}:
            return types.SimpleNamespace()
        return lambda *_, **__: ANSWERS.get(name)


class Event:
    """Two of them are 1.5 ms apart."""

    def record(self, stream: object) -> None: ...

    def synchronize(self) -> None: ...

    def elapsed_time(self, end: Event) -> float:
        return 1.5


ANSWERS: dict[str, Any] = {
    "is_available": True,
    "device_count": 2,
    "get_device_name": "Ascend910B4",
    "current_stream": object(),
    "Event": Event(),
    "mem_get_info": (3 << 30, 32 << 30),
    "memory_allocated": 100,
    "max_memory_allocated": 300,
    "memory_reserved": 400,
}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """In the place of torch_npu and torch.npu."""
    npu = Recorder()
    package = types.ModuleType("torch_npu")
    package.__spec__ = ModuleSpec("torch_npu", None)
    package.npu = npu  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_npu", package)
    monkeypatch.setattr(torch, "npu", npu, raising=False)
    monkeypatch.setattr(torch, "get_device_module", lambda kind: {"npu": npu}[kind])
    monkeypatch.setattr(ascend, "_settings", {})
    return npu


def test_only_published_names_are_asked_for(recorder: Recorder) -> None:
    """Every function of the package, on a device that answers."""
    device: Any = types.SimpleNamespace(type="npu", index=0)
    assert devices.available("npu") == 2
    assert devices.why_not("npu") is None
    assert devices.name_of(device) == "Ascend910B4"
    assert devices.memory(device) == devices.Memory(100, 300, 400, 3 << 30, 32 << 30)
    devices.reset_peak(device)
    devices.synchronize(device)
    watch = devices.Stopwatch(device)
    assert watch.uses_events
    watch.start()
    assert watch.stop() == 0.0015
    assert devices.graphs(device) == "NPUGraph"
    ascend.prepare()
    with devices.precision("highest", device):
        assert recorder.conv.allow_hf32 is False
    assert recorder.conv.allow_hf32 is True
    assert devices.precision_flags(device)["float32_conv"] == "hf32"
    assert devices.versions(device)["torch"] == torch.__version__
    assert recorder.asked - PUBLISHED == set()
    assert recorder.asked >= {"set_compile_mode", "config", "synchronize", "reset_peak_memory_stats", *ANSWERS}
