"""Names of devices and dtypes: what is taken, what is refused, and in which words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from literatim import device as devices
from literatim.errors import DeviceError, OptionError
from literatim.options import DTYPES

KINDS = ("cuda", "npu", "mps", "xpu")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many accelerators of each kind are there: none until a test says so."""
    counts = dict.fromkeys(KINDS, 0)
    monkeypatch.setattr(devices, "_count", lambda kind: counts[kind])
    return counts


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_the_cpu(name: str) -> None:
    assert devices.pick(name) == torch.device("cpu")


def test_auto_is_the_cpu_where_nothing_else_is(there: dict[str, int]) -> None:
    assert devices.pick("auto") == torch.device("cpu")
    assert devices.pick() == torch.device("cpu")


@pytest.mark.parametrize("kind", ["cuda", "mps", "xpu"])
def test_auto_is_the_accelerator_that_is_there(kind: str, there: dict[str, int]) -> None:
    there[kind] = 1
    assert devices.pick("auto").type == kind


def test_auto_prefers_cuda(there: dict[str, int]) -> None:
    there.update(cuda=1, xpu=1, mps=1)
    assert devices.pick("auto").type == "cuda"


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_that_is_absent_is_never_replaced(kind: str, there: dict[str, int]) -> None:
    with pytest.raises(DeviceError, match=f"no {kind} device found.*--device cpu"):
        devices.pick(kind)


def test_a_device_by_number(there: dict[str, int]) -> None:
    there["cuda"] = 2
    assert devices.pick("cuda") == torch.device("cuda", 0)
    assert devices.pick("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match=r"cuda:2 is not there.*2 cuda devices found"):
        devices.pick("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "cuda:-1", "CPU", "cuda:0:1", "npu 0", "meta"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(OptionError, match="choose auto or one of cpu, cuda, npu, mps, xpu"):
        devices.pick(name)


def test_an_npu_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch_npu", None)  # its import fails
    with pytest.raises(DeviceError, match="no npu device found"):
        devices.pick("npu")


@pytest.mark.parametrize(("available", "count", "expected"), [(True, 3, 3), (False, 3, 0), (True, 0, 0)])
def test_devices_are_counted_only_where_torch_can_use_them(
    available: bool, count: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.xpu, "is_available", lambda: available)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: count)
    assert devices._count("xpu") == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cpu", torch.float32),
        ("mps", torch.float32),
        ("xpu", torch.float32),
        ("cuda", torch.float16),
        ("npu", torch.float16),
    ],
)
def test_the_dtype_of_auto_is_a_table(kind: str, expected: torch.dtype) -> None:
    assert devices.dtype_of("auto", SimpleNamespace(type=kind)) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in DTYPES if name != "auto"])
@pytest.mark.parametrize("kind", ["cpu", "cuda", "npu"])
def test_a_dtype_asked_for_is_taken(name: str, kind: str) -> None:
    assert str(devices.dtype_of(name, SimpleNamespace(type=kind))) == f"torch.{name}"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["int8", "half", "float64", "", "Float32"])
def test_a_dtype_that_is_unknown_is_refused_not_replaced(name: str) -> None:
    with pytest.raises(OptionError, match=r"dtype .* is unknown; choose one of auto, float32"):
        devices.dtype_of(name, torch.device("cpu"))


def test_synchronize_asks_the_device_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", asked.append)
    devices.synchronize(torch.device("cpu"))
    assert asked == []
    devices.synchronize(torch.device("cuda", 1))
    assert asked == [torch.device("cuda", 1)]
