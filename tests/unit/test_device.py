"""Names of devices and dtypes: what is taken, what is refused, and in which words."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from literatim import device as devices
from literatim.device import choose, why
from literatim.errors import DeviceError, OptionError
from literatim.options import DTYPES

KINDS = ("cuda", "npu", "mps", "xpu")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many accelerators of each kind are there: none until a test says so."""
    counts = dict.fromkeys(KINDS, 0)
    monkeypatch.setattr(choose, "available", lambda kind: {"cpu": 1, **counts}[kind])
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
    with pytest.raises(DeviceError, match=r"no npu device found: torch_npu is not installed; .*install torch-npu=="):
        devices.pick("npu")


@pytest.mark.parametrize(("available", "count", "expected"), [(True, 3, 3), (False, 3, 0), (True, 0, 0)])
def test_devices_are_counted_only_where_torch_can_use_them(
    available: bool, count: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.xpu, "is_available", lambda: available)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: count)
    assert devices.available("xpu") == expected
    assert (devices.why_not("xpu") is None) == bool(expected)


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


@pytest.mark.parametrize("indices", ["0,2", " 0 , 2 ", [0, 2], (0, 2), ["0", "2"]])
def test_several_devices(indices: object, there: dict[str, int]) -> None:
    there["cuda"] = 3
    expected = (torch.device("cuda", 0), torch.device("cuda", 2))
    assert devices.several("cuda", indices) == expected  # type: ignore[arg-type]
    assert devices.several("auto", indices) == expected  # type: ignore[arg-type]


def test_the_order_of_indices_is_kept(there: dict[str, int]) -> None:
    there["cuda"] = 3
    assert devices.several("cuda", "2,0") == (torch.device("cuda", 2), torch.device("cuda", 0))
    assert devices.several("cuda", 1) == (torch.device("cuda", 1),)


def test_without_an_index_it_is_the_device_by_name(there: dict[str, int]) -> None:
    there["cuda"] = 2
    assert devices.several("cuda:1", None) == (torch.device("cuda", 1),)
    assert devices.several("cpu", None) == (torch.device("cpu"),)


@pytest.mark.parametrize(
    ("name", "indices", "error", "said"),
    [
        ("cuda", "0,2", DeviceError, r"cuda:2 is not there \(2 cuda devices found, the last is cuda:1\)"),
        ("xpu", "0", DeviceError, "no xpu device found: .*"),
        ("cpu", "0,1", OptionError, "device_index is for accelerators; the CPU is one device"),
        ("cpu", "0", OptionError, "device_index is for accelerators"),
        ("cuda:1", "0", OptionError, "cuda:1 names an index, and so does device_index"),
        ("cuda", "0,0", OptionError, "device_index 0,0 names a device twice"),
        ("cuda", "0;1", OptionError, "numbers from 0 with commas"),
        ("cuda", "0,", OptionError, "numbers from 0 with commas"),
        ("cuda", "-1", OptionError, "numbers from 0 with commas"),
        ("cuda", -1, OptionError, "numbers from 0 with commas"),
        ("cuda", "", OptionError, "numbers from 0 with commas"),
        ("cuda", [], OptionError, "numbers from 0 with commas"),
        ("gpu", "0", OptionError, "device 'gpu' is unknown"),
    ],
)
def test_indices_that_cannot_be(
    name: str, indices: object, error: type[Exception], said: str, there: dict[str, int]
) -> None:
    there["cuda"] = 2
    with pytest.raises(error, match=said):
        devices.several(name, indices)  # type: ignore[arg-type]


def test_indices_of_auto_without_an_accelerator(there: dict[str, int]) -> None:
    with pytest.raises(DeviceError, match="no accelerator was found; leave it out to use the CPU"):
        devices.several("auto", "0,1")


def test_the_cpu_is_there() -> None:
    assert devices.available("cpu") == 1
    assert devices.why_not("cpu") is None


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("cuda", "built without CUDA; `pip install"),
        ("xpu", "built without xpu; .*whl/xpu"),
        ("mps", "Apple|built|macOS"),
    ],
)
def test_why_a_kind_is_absent(kind: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner in (torch.cuda, torch.xpu, torch.mps):
        monkeypatch.setattr(owner, "is_available", lambda: False, raising=False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.version, "xpu", None, raising=False)
    assert re.search(said, str(devices.why_not(kind)))


def test_a_cuda_build_of_which_no_device_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert devices.why_not("cuda") == "CUDA_VISIBLE_DEVICES='-1' hides every device; `unset CUDA_VISIBLE_DEVICES`"


def test_a_cuda_build_without_a_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(why, "_NVIDIA", tmp_path / "version")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert str(devices.why_not("cuda")).startswith("the NVIDIA driver is not loaded")
    (tmp_path / "version").touch()
    assert "CUDA 12.8 and finds no device" in str(devices.why_not("cuda"))


def test_rows_are_filled_up_to_powers_of_two_on_accelerators() -> None:
    cpu, npu = torch.device("cpu"), SimpleNamespace(type="npu")
    assert [devices.bucket(rows, cpu) for rows in range(1, 10)] == list(range(1, 10))
    filled = [devices.bucket(rows, npu) for rows in range(1, 18)]  # type: ignore[arg-type]
    assert filled == [1, 2, 4, 4, 8, 8, 8, 8, *[16] * 8, 32]
    with pytest.raises(ValueError, match="at least one row"):
        devices.bucket(0, cpu)


def test_synchronize_asks_the_device_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", asked.append)
    devices.synchronize(torch.device("cpu"))
    assert asked == []
    devices.synchronize(torch.device("cuda", 1))
    assert asked == [torch.device("cuda", 1)]


def test_mps_is_waited_for_without_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(torch.mps, "synchronize", lambda *given: asked.append(given))
    devices.synchronize(torch.device("mps"))
    assert asked == [()]
