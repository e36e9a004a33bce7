"""Limits of containers, visible devices, versions that go together, and warnings."""

from __future__ import annotations

from pathlib import Path

import pytest

from literatim.doctor import cuda, limits, machine, matrix, notices, npu, visible
from literatim.doctor.child import Ran
from literatim.doctor.findings import FAIL, INFO, OK, WARN

GIB = 2**30
TOTAL_KB = 16 * 2**20


def files(root: Path, **texts: str) -> Path:
    """Files below a root; `__` in a name stands for `/`, `_dot_` for a dot."""
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def second(root: Path, quota: str, memory: str = "max", path: str = "/") -> Path:
    """A machine with version 2 of control groups."""
    place = "sys__fs__cgroup" + path.rstrip("/").replace("/", "__")
    return files(
        root,
        **{
            "proc__self__cgroup": f"0::{path}\n",
            f"{place}__cpu_dot_max": quota,
            f"{place}__memory_dot_max": memory,
            "proc__meminfo": f"MemTotal: {TOTAL_KB} kB\nMemAvailable: {TOTAL_KB // 2} kB\nHugePages_Total: 0\n",
        },
    )


@pytest.mark.parametrize(
    ("quota", "processors"),
    [("max 100000\n", None), ("50000 100000\n", 0.5), ("300000 100000\n", 3.0), ("", None), ("rubbish", None)],
)
def test_quota_of_version_2(tmp_path: Path, quota: str, processors: float | None) -> None:
    assert limits.processors(second(tmp_path, quota)) == processors


def test_the_tightest_of_the_groups_above_counts(tmp_path: Path) -> None:
    second(tmp_path, "400000 100000", path="/a/b")
    files(tmp_path, sys__fs__cgroup__a__cpu_dot_max="150000 100000", sys__fs__cgroup__cpu_dot_max="max 100000")
    assert limits.processors(tmp_path) == 1.5


def test_a_path_of_the_host_means_the_root_of_the_container(tmp_path: Path) -> None:
    files(tmp_path, proc__self__cgroup="0::/kubepods/pod1/../x\n", sys__fs__cgroup__cpu_dot_max="200000 100000\n")
    assert limits.processors(tmp_path) == 2.0


def test_version_1(tmp_path: Path) -> None:
    files(
        tmp_path,
        proc__self__cgroup="4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/\n",
        sys__fs__cgroup__memory__docker__x__memory_dot_limit_in_bytes=str(3 * GIB),
        sys__fs__cgroup__memory__memory_dot_limit_in_bytes="9223372036854771712",
    )
    group = tmp_path / "sys/fs/cgroup/cpu,cpuacct/docker/x"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("250000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert limits.processors(tmp_path) == 2.5
    assert limits.memory(tmp_path) == 3 * GIB
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    assert limits.processors(tmp_path) is None


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert limits.processors(tmp_path) is None
    assert limits.memory(tmp_path) is None


def findings(root: Path, threads: int = 1, **variables: str) -> dict[str, tuple[str, str, str | None]]:
    found = machine.findings({"threads": threads}, variables, root)
    return {finding.name: (finding.state, finding.text, finding.mend) for finding in found}


def test_more_threads_than_the_quota_gives_time_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _pid: range(64), raising=False)
    state, text, mend = findings(second(tmp_path, "400000 100000"), threads=64)["threads"]
    assert state == WARN
    assert "64" in text
    assert "CPU quota" in text
    assert mend == "export OMP_NUM_THREADS=4"


@pytest.mark.parametrize(("threads", "state"), [(4, OK), (5, WARN), (2, OK)])
def test_threads_within_the_quota(tmp_path: Path, monkeypatch, threads: int, state: str) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _pid: range(64), raising=False)
    assert findings(second(tmp_path, "350000 100000"), threads)["threads"][0] == state


def test_a_variable_that_leaves_processors_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _pid: range(32), raising=False)
    state, text, mend = findings(second(tmp_path, "max 100000"), 1, OMP_NUM_THREADS="1")["threads"]
    assert (state, mend) == (WARN, "export OMP_NUM_THREADS=32")
    assert "OMP_NUM_THREADS=1" in text


@pytest.mark.parametrize(("limit", "state"), [("max", OK), (str(4 * GIB), OK), (str(GIB), WARN), (str(GIB // 4), FAIL)])
def test_memory_of_the_container(tmp_path: Path, limit: str, state: str) -> None:
    assert findings(second(tmp_path, "max 100000", limit))["memory"][0] == state


def test_memory_that_is_not_told(tmp_path: Path) -> None:
    assert findings(tmp_path)["memory"][0] == INFO


def test_without_torch_the_machine_is_still_described(tmp_path: Path) -> None:
    states = {finding.name: finding.state for finding in machine.findings(None, {}, second(tmp_path, "max 100000"))}
    assert states == {"processor": OK, "threads": INFO, "memory": OK}


@pytest.mark.parametrize(
    ("value", "state", "mend"),
    [
        ("0", OK, None),
        ("0,1,3", OK, None),
        ("1,0", FAIL, "export ASCEND_RT_VISIBLE_DEVICES=0,1"),
        ("2,2", FAIL, "export ASCEND_RT_VISIBLE_DEVICES=2"),
        ("0, 1", FAIL, "export ASCEND_RT_VISIBLE_DEVICES=0,1"),
        ("npu:0", FAIL, "export ASCEND_RT_VISIBLE_DEVICES=0,1"),
        ("", INFO, "unset ASCEND_RT_VISIBLE_DEVICES"),
    ],
)
def test_visible_npus(value: str, state: str, mend: str | None) -> None:
    (found,) = visible.npus({"ASCEND_RT_VISIBLE_DEVICES": value})
    assert (found.section, found.state, found.mend) == ("npu", state, mend)


@pytest.mark.parametrize(
    ("value", "state", "mend"),
    [
        ("1,0", OK, None),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", OK, None),
        ("MIG-GPU-8932f937/1/0", OK, None),
        ("0,x,1", FAIL, "export CUDA_VISIBLE_DEVICES=0,1"),
        ("cuda:0", FAIL, "export CUDA_VISIBLE_DEVICES=0"),
        ("0,1,0", FAIL, "export CUDA_VISIBLE_DEVICES=0,1"),
        ("", INFO, "unset CUDA_VISIBLE_DEVICES"),
        ("-1", INFO, "unset CUDA_VISIBLE_DEVICES"),
    ],
)
def test_visible_gpus(value: str, state: str, mend: str | None) -> None:
    (found,) = visible.gpus({"CUDA_VISIBLE_DEVICES": value})
    assert (found.section, found.state, found.mend) == ("cuda", state, mend)


def test_variables_that_are_not_set_say_nothing() -> None:
    assert visible.npus({}) == visible.gpus({}) == []


@pytest.mark.parametrize(
    ("wheel", "canns"),
    [
        ("2.9.0", ("8.5",)),
        ("2.9.0.post2", ("9.0",)),
        ("2.9.0.post6", ("9.1",)),
        ("2.9.0.post1", ("9.0", "8.5")),  # not listed: between 2.9.0 and 2.9.0.post2
        ("2.9.0.post99", ("9.1",)),
        ("2.12.0", ("9.1",)),
        ("2.8.0", ("8.3",)),
        ("2.5.1.post1", ("8.2",)),
        ("2.99.0", ()),
        ("rubbish", ()),
    ],
)
def test_cann_for_a_wheel(wheel: str, canns: tuple[str, ...]) -> None:
    """By hand from the published table."""
    assert matrix.canns_for(wheel) == canns


@pytest.mark.parametrize(
    ("found", "wanted", "same"), [("8.5.1", "8.5", True), ("8.3.RC2", "8.3", True), ("9.1.0", "9.0", False)]
)
def test_patches_of_cann_go_together(found: str, wanted: str, same: bool) -> None:
    assert matrix.same_cann(found, wanted) is same


def versions(monkeypatch: pytest.MonkeyPatch, torch: str, torch_npu: str | None) -> None:
    installed = {"torch": torch, "torch_npu": torch_npu}
    monkeypatch.setattr(npu, "version", installed.get)
    monkeypatch.setattr(npu.ascend, "version", installed.get)


@pytest.mark.parametrize(
    ("torch", "torch_npu", "cann", "state"),
    [
        ("2.9.0+cpu", "2.9.0.post1", "8.5.1", OK),
        ("2.9.0+cpu", "2.9.0.post6", "8.5.0", WARN),
        ("2.13.0+cpu", "2.9.0.post6", "9.1.0", FAIL),
        ("2.13.0+cpu", "2.13.0", "9.1.0", INFO),
        ("2.12.0", "2.12.0", None, INFO),
    ],
)
def test_versions_of_ascend(monkeypatch, torch: str, torch_npu: str, cann: str | None, state: str) -> None:
    versions(monkeypatch, torch, torch_npu)
    found = [finding for finding in npu.findings(Ran(None, "", ""), cann, {}) if finding.name == "versions"]
    assert [finding.state for finding in found] == [state]
    assert (found[0].mend is not None) == (state in {WARN, FAIL})


def test_nothing_of_ascend_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    versions(monkeypatch, "2.13.0", None)
    nothing = Ran(None, "", "cannot start npu-smi")
    assert npu.findings(nothing, None, {}) == []
    assert not npu.expected(nothing, tmp_path / "davinci0")
    assert npu.expected(Ran(1, "", ""), tmp_path / "davinci0")


def test_variables_that_slow_an_npu_down(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, "2.13.0", None)
    variables = {"ASCEND_LAUNCH_BLOCKING": "1", "TASK_QUEUE_ENABLE": "0", "TORCH_TRANSFER_TO_NPU": "1"}
    variables |= {"PYTORCH_NPU_ALLOC_CONF": "a", "PYTORCH_ALLOC_CONF": "b"}
    found = npu.findings(Ran(None, "", ""), None, variables)
    assert [finding.state for finding in found] == [WARN] * 4
    assert all(finding.mend and finding.mend.startswith("unset ") for finding in found)


@pytest.mark.parametrize(
    ("ran", "built", "state"),
    [
        (Ran(0, "570.86.15, NVIDIA H200\n570.86.15, NVIDIA H200\n", ""), "12.6", OK),
        (Ran(0, "570.86.15, NVIDIA H200\n", ""), "13.0", FAIL),
        (Ran(0, "570.86.15, NVIDIA H200\n", ""), None, OK),
        (Ran(9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", ""), "13.0", WARN),
        (Ran(None, "", "", hung=True), "13.0", WARN),
    ],
)
def test_the_nvidia_driver(ran: Ran, built: str | None, state: str) -> None:
    (found,) = cuda.findings(ran, {"cuda": built}, {})
    assert (found.name, found.state) == ("driver", state)
    assert (found.mend is not None) == (state != OK)


def test_no_nvidia_driver_says_nothing() -> None:
    assert cuda.findings(Ran(None, "", "cannot start"), None, {}) == []


def test_warnings_are_sorted() -> None:
    """The first two as users of torch_npu report them."""
    place = "/usr/lib/python3/site-packages/torch_npu/utils/collect_env.py:58: UserWarning: Warning: The "
    heard = [
        f"{place}/usr/local/Ascend/ascend-toolkit/latest owner does not match the current owner.\n"
        '  warnings.warn(f"Warning: The {path} owner does not match the current owner.")\n'
        f"{place}/usr/local/Ascend/x.info owner does not match the current owner.\n",
        "[W] CAUTION: The operator 'aten::isin' is not supported and will fall back to run on the CPU.\n",
        "x.py:1: UserWarning: something new\nsomething that is no warning\n",
    ]
    found = {finding.name: finding for finding in notices.findings(heard)}
    assert found["another owner"].state == INFO
    assert "harmless" in found["another owner"].text
    assert "2 times" in found["another owner"].text
    assert found["CPU fallback"].state == WARN
    assert "x.py:1: UserWarning: something new" in found["not known here"].text
    assert len(found) == 3


def test_no_warnings() -> None:
    assert notices.findings(["", "a line\n"]) == []


@pytest.mark.parametrize(
    ("torch", "variables", "status", "said"),
    [
        ({"kernels": "v4bf16"}, {}, OK, "bfloat16"),
        ({"kernels": "v4"}, {}, OK, "AVX-512"),
        ({"kernels": "base"}, {}, OK, "this processor's vectors"),
        ({"kernels": None}, {"LITERATIM_KERNELS": "none"}, INFO, "LITERATIM_KERNELS=none"),
        ({"kernels": None}, {}, WARN, "several times as long"),
    ],
)
def test_kernels(
    tmp_path: Path, torch: dict[str, str | None], variables: dict[str, str], status: str, said: str
) -> None:
    (found,) = [item for item in machine.findings(torch, variables, tmp_path) if item.name == "kernels"]
    assert found.state == status
    assert said in found.text
    assert bool(found.mend) == (status == WARN)


def test_no_kernels_without_torch(tmp_path: Path) -> None:
    assert not [item for item in machine.findings(None, {}, tmp_path) if item.name == "kernels"]
