"""Memory, time, names, dtypes and versions of devices, and what is left open where a backend is silent."""

from __future__ import annotations

import mmap
import platform
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from literatim import device as devices
from literatim.device import describe, host, timing

CPU = torch.device("cpu")
MEMORY = devices.memory.__globals__  # the module's own names, which its function of the same name hides


def silent(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> Any:
    """An xpu that has only these functions, and a torch.accelerator that refuses everything."""
    module = types.SimpleNamespace(**functions)
    monkeypatch.setattr(torch, "get_device_module", lambda _: module)
    monkeypatch.setattr(torch, "accelerator", types.SimpleNamespace())
    return torch.device("xpu", 0)


def test_memory_of_a_backend_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    device = silent(monkeypatch)
    assert devices.memory(device) == devices.Memory()
    devices.reset_peak(device)
    assert devices.memory(device) == devices.Memory()


def test_a_backend_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("Allocator for privateuseone is not a DeviceAllocator.")

    device = silent(monkeypatch, memory_allocated=refuse, mem_get_info=refuse, max_memory_allocated=lambda _: 7)
    assert devices.memory(device) == devices.Memory(peak=7)


def test_torch_accelerator_is_asked_second(monkeypatch: pytest.MonkeyPatch) -> None:
    device = silent(monkeypatch)
    statistics = {"allocated_bytes.all.current": 5, "allocated_bytes.all.peak": 9}
    second = types.SimpleNamespace(memory_stats=lambda _: statistics, get_memory_info=lambda _: (1, 2))
    monkeypatch.setattr(torch, "accelerator", second)
    assert devices.memory(device) == devices.Memory(allocated=5, peak=9, free=1, total=2)


def test_memory_of_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    silent(
        monkeypatch,
        current_allocated_memory=lambda: 10,
        driver_allocated_memory=lambda: 30,
        recommended_max_memory=lambda: 100,
    )
    expected = devices.Memory(allocated=10, peak=None, reserved=30, free=70, total=100)
    assert devices.memory(torch.device("mps")) == expected


@contextmanager
def held() -> Iterator[None]:
    """64 MiB of the system's: a heap may have that much left from before."""
    with mmap.mmap(-1, 64 << 20) as pages:
        for at in range(0, len(pages), mmap.PAGESIZE):
            pages[at] = 1
        yield


def test_host_memory_grows_with_what_is_held() -> None:
    before = devices.host_memory()
    with held():
        after = devices.memory(CPU)
    assert before.allocated is not None
    assert after.allocated is not None
    assert after.allocated - before.allocated > 48 << 20
    assert after.peak is not None
    assert after.peak >= after.allocated - (1 << 20)
    assert after.total is not None
    assert after.total > after.allocated


def test_the_peak_of_the_host_is_reset() -> None:
    with held():
        high = devices.host_memory().peak
    devices.reset_peak(CPU)
    low = devices.host_memory().peak
    assert high is not None
    assert low is not None
    if devices.reset_host_peak():  # a container may not let us
        assert high - low > 32 << 20
    else:
        assert low == high


def test_a_system_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("_STATUS", "_MACHINE", "_RESET"):
        monkeypatch.setitem(MEMORY, name, tmp_path / "absent" / name)
    found = devices.host_memory()
    assert found.allocated is None
    assert found.peak is not None
    assert found.peak > 1 << 20  # getrusage, in bytes
    assert found.total is not None
    assert not devices.reset_host_peak()


def test_the_lines_of_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n")
    (tmp_path / "meminfo").write_text("MemTotal:  8192 kB\nMemFree:  1 kB\nMemAvailable:  4096 kB\n")
    monkeypatch.setitem(MEMORY, "_STATUS", tmp_path / "status")
    monkeypatch.setitem(MEMORY, "_MACHINE", tmp_path / "meminfo")
    assert devices.host_memory() == devices.Memory(1 << 20, 2 << 20, 1 << 20, 4 << 20, 8 << 20)


def test_a_stopwatch_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.5, 20.0, 20.25])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    watch = devices.Stopwatch(CPU)
    assert not watch.uses_events
    watch.start()
    assert watch.stop() == 2.5
    watch.start()
    assert watch.stop() == 0.25


def test_a_stopwatch_that_was_not_started() -> None:
    watch = devices.Stopwatch(CPU)
    with pytest.raises(RuntimeError, match=r"call start\(\)"):
        watch.stop()
    watch.start()
    watch.stop()
    with pytest.raises(RuntimeError, match=r"call start\(\)"):
        watch.stop()


def test_a_stopwatch_without_events_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[object] = []
    device = silent(monkeypatch, synchronize=waited.append)
    watch = devices.Stopwatch(device)
    assert not watch.uses_events
    watch.start()
    assert waited == [device]
    assert watch.stop() >= 0
    assert waited == [device, device]


def test_events_are_recorded_in_the_devices_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: object) -> None:
            done.append(stream)

        def synchronize(self) -> None:
            done.append("waited")

        def elapsed_time(self, end: Event) -> float:
            return 250.0  # milliseconds

    device = silent(monkeypatch, Event=Event, current_stream=lambda device: f"stream of {device}")
    watch = devices.Stopwatch(device)
    watch.start()
    assert watch.stop() == 0.25
    assert done == ["stream of xpu:0", "stream of xpu:0", "waited"]


def test_a_backend_whose_events_keep_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def event(enable_timing: bool) -> None:
        raise NotImplementedError

    device = silent(monkeypatch, Event=event, current_stream=lambda _: 1, synchronize=lambda _: None)
    assert timing.Stopwatch(device).uses_events is False


def test_graphs_are_named_only_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.graphs(CPU) is None
    assert devices.graphs(silent(monkeypatch)) is None
    assert devices.graphs(silent(monkeypatch, XPUGraph=object)) == "XPUGraph"


def test_work_is_recorded_by_the_graphs_of_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Graph:
        def replay(self) -> None:
            seen.append("replayed")

    @contextmanager
    def graph(made: Graph) -> Iterator[None]:
        seen.append(type(made))
        yield
        seen.append("recorded")

    device = silent(monkeypatch, XPUGraph=Graph, graph=graph)
    result, replay = devices.record(device, lambda: torch.ones(3))
    assert torch.equal(result, torch.ones(3))
    replay()
    assert seen == [Graph, "recorded", "replayed"]
    with pytest.raises(AttributeError, match="cpu has no graphs"):
        devices.record(CPU, lambda: torch.ones(3))


@pytest.mark.parametrize(("asked", "wanted"), [(None, False), ("0", False), ("1", True)])
def test_graphs_are_wanted_where_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, wanted: bool
) -> None:
    if asked is None:
        monkeypatch.delenv("LITERATIM_GRAPHS", raising=False)
    else:
        monkeypatch.setenv("LITERATIM_GRAPHS", asked)
    assert devices.wants_graphs(silent(monkeypatch, XPUGraph=object)) is wanted
    assert not devices.wants_graphs(silent(monkeypatch))
    assert not devices.wants_graphs(CPU)


def test_dtypes_are_tried() -> None:
    assert devices.dtypes(CPU) == ("float32", "float16", "bfloat16")


def test_a_dtype_that_a_device_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    to = torch.Tensor.to

    def without(self: torch.Tensor, *given: Any) -> torch.Tensor:
        if self.dtype is torch.bfloat16:
            raise TypeError("BFloat16 is not supported on MPS")
        return to(self, *given)

    monkeypatch.setattr(torch.Tensor, "to", without)
    assert devices.dtypes(CPU) == ("float32", "float16")


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.name_of(CPU) is None
    assert devices.name_of(silent(monkeypatch)) is None
    assert devices.name_of(silent(monkeypatch, get_device_name=lambda _: "Arc")) == "Arc"


def test_versions_have_the_same_names_on_every_device(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"torch", "backend", "toolkit", "driver"}
    for kind in ("cpu", "cuda", "mps", "xpu"):
        found = devices.versions(torch.device(kind))
        assert set(found) == expected
        assert found["torch"] == torch.__version__
        assert all(value is None or isinstance(value, str) for value in found.values())


def test_versions_of_ascend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The files as CANN's and the driver's installers write them."""
    info = tmp_path / "x86_64-linux" / "ascend_toolkit_install.info"
    info.parent.mkdir()
    info.write_text("package_name=Ascend-cann-toolkit\nversion=8.5.1\ninnerversion=V100R001\n")
    driver = tmp_path / "version.info"
    driver.write_text("Version=25.2.0\nascendhal_version=7.35.23\n")
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path))
    monkeypatch.setattr(describe, "_ASCEND_DRIVER", driver)
    found = devices.versions(types.SimpleNamespace(type="npu"))  # type: ignore[arg-type]
    assert (found["toolkit"], found["driver"]) == ("8.5.1", "25.2.0")


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.129.03  Release Build  (archlinux-builder)",
    ],
)
def test_the_version_of_the_nvidia_driver(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "version").write_text(f"{line}\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n")
    monkeypatch.setattr(describe, "_NVIDIA", tmp_path / "version")
    assert devices.versions(torch.device("cuda"))["driver"] == "535.129.03"


def test_the_environment_that_matters() -> None:
    wanted = {"ASCEND_RT_VISIBLE_DEVICES", "TASK_QUEUE_ENABLE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"}
    assert wanted <= set(devices.ENVIRONMENT)
    assert len(set(devices.ENVIRONMENT)) == len(devices.ENVIRONMENT)


def test_threads() -> None:
    assert devices.threads() == torch.get_num_threads()


X86 = "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nstepping\t: 1\nflags\t\t: fpu avx2 ht avx512f\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd40\n"


@pytest.mark.parametrize(
    ("listing", "model", "features"),
    [
        (f"{X86}\n{X86.replace('avx2', 'sve')}", "family 25, model 17, stepping 1", ["avx2", "avx512f"]),
        (ARM, None, ["asimd", "asimddp"]),
        (None, None, []),
    ],
)
def test_the_processor(tmp_path: Path, listing: str | None, model: str | None, features: list[str]) -> None:
    if listing is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/cpuinfo").write_text(listing)
    found = host.processor(tmp_path)
    assert (found.model, found.features) == (model, features)
    assert found.name == ("AMD EPYC" if model else platform.processor() or platform.machine())
