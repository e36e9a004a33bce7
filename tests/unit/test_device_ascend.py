"""torch_npu absent, broken, mismatched or hidden: each is told apart, with the command that mends it.

The errors are those that torch_npu 2.13.0 and torch 2.13.0 raise, word for word.
"""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch

from literatim import device as devices
from literatim.device import ascend, start
from literatim.errors import DependencyError, DeviceError

NO_HCCL = "libhccl.so: cannot open shared object file: No such file or directory"
NO_HAL = "libascend_hal.so: cannot open shared object file: No such file or directory"
NO_RUNTIME = (
    "ASCEND_RUNTIME_PATH : /opt/x/runtime does not exist. Please check whether the runtime package has been installed. "
    "If exist, please run 'source set_env.sh' in the CANN installation path."
)
TWO = (
    "Two accelerators cannot be used at the same time in PyTorch: npu and cuda. You can install the cpu version of "
    "PyTorch to use your npu device, or use the cuda device with 'export TORCH_DEVICE_BACKEND_AUTOLOAD=0'.\n"
    "[ERROR] 2026-01-01-00:00:00 (PID:1, Device:-1, RankID:-1) ERR00007 PTA feature not supported"
)
AUTOLOAD = (
    "Failed to load the backend extension: torch_npu. "
    "You can disable extension auto-loading with TORCH_DEVICE_BACKEND_AUTOLOAD=0."
)


class Npu(types.ModuleType):
    """`torch_npu.npu` with some devices; remembers how it was set up."""

    def __init__(self, devices: int = 1, refuses: bool = False) -> None:
        super().__init__("torch_npu.npu")
        self.set: dict[str, Any] = {}
        self.config = types.SimpleNamespace()
        self._devices, self._refuses = devices, refuses

    def is_available(self) -> bool:
        return self._devices > 0

    def device_count(self) -> int:
        return self._devices

    def set_compile_mode(self, jit_compile: bool = False) -> None:
        if self._refuses:
            raise RuntimeError("the option cannot be set")
        self.set["jit_compile"] = jit_compile


Install = Callable[[Npu], Npu]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a torch_npu that works in the place of the real one."""

    def put(npu: Npu) -> Npu:
        module = types.ModuleType("torch_npu")
        module.__spec__ = ModuleSpec("torch_npu", None)
        module.npu = npu  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torch_npu", module)
        return npu

    monkeypatch.setattr(ascend, "_settings", {})
    monkeypatch.delenv(ascend.VISIBLE, raising=False)
    return put


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Versions of the installed distributions."""
    found: dict[str, str | None] = {"torch": "2.13.0+cpu", "torch_npu": "2.13.0.post2"}
    monkeypatch.setattr(ascend, "version", lambda package: found[package])
    return found


def broken(folder: Path, monkeypatch: pytest.MonkeyPatch, raised: str) -> None:
    """A torch_npu package whose import raises."""
    package = folder / "torch_npu"
    package.mkdir()
    (package / "__init__.py").write_text(f"print('Warning: ASCEND_HOME_PATH is not set.')\nraise {raised}\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "torch_npu", raising=False)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            f"ImportError({NO_HCCL!r})",
            "CANN is missing or not set up in this shell (libhccl.so is not found); `source ",
        ),
        (f"OSError({NO_HCCL!r})", "CANN is missing or not set up in this shell (libhccl.so is not found); `source "),
        (f"Exception({NO_RUNTIME!r})", "CANN is missing or not set up in this shell (Exception: ASCEND_RUNTIME_PATH"),
        (f"ImportError({NO_HAL!r})", "the Ascend driver is missing (libascend_hal.so is not found); install it"),
        (f"RuntimeError({TWO!r})", "torch_npu does not load beside a torch that is built for another accelerator"),
        ("RuntimeError('nobody knows')", "torch_npu does not load (RuntimeError: nobody knows); `python -c"),
    ],
)
def test_an_import_that_fails(
    raised: str,
    said: str,
    versions: dict[str, str | None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken(tmp_path, monkeypatch, raised)
    assert devices.available("npu") == 0
    reason = devices.why_not("npu")
    assert reason is not None
    assert reason.startswith(said)
    assert "also" not in reason
    with pytest.raises(DeviceError) as caught:
        devices.pick("npu")
    assert reason in str(caught.value)
    shown = capsys.readouterr()
    assert shown.out == ""  # what the package prints would else be among the results
    assert "ASCEND_HOME_PATH" in shown.err


def test_the_mend_for_two_accelerators_is_torch_for_the_cpu(versions: dict[str, str | None]) -> None:
    versions["torch"] = "2.13.0+cu130"
    mend = "`pip install --force-reinstall torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu`"
    assert mend in ascend.explain(RuntimeError(TWO))


def test_it_is_absent(versions: dict[str, str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_npu", None)
    wheels = "--index-url https://download.pytorch.org/whl/cpu"
    assert devices.why_not("npu") == (
        f"torch_npu is not installed; `pip install torch==2.13.0 {wheels}`, then `pip install torch-npu==2.13.0`"
    )


@pytest.mark.parametrize(
    ("package", "ours", "fits"),
    [
        ("2.13.0", "2.13.0+cpu", True),
        ("2.9.0.post9", "2.9.0", True),
        ("2.7.1.post11", "2.7.1+cpu", True),
        ("2.9.0.post9", "2.9.1+cpu", False),
        ("2.12.0", "2.13.0", False),
        (None, "2.13.0", True),  # nothing to compare
    ],
)
def test_versions_belong_together(package: str | None, ours: str, fits: bool, versions: dict[str, str | None]) -> None:
    versions.update(torch=ours, torch_npu=package)
    wrong = ascend.mismatch()
    assert (wrong is None) == fits
    if wrong is not None:
        assert f"torch_npu {package} does not belong to torch {ours}" in wrong
        assert f"`pip install torch-npu=={ours.removesuffix('+cpu')}`" in wrong


def test_a_mismatch_explains_an_import_that_fails(
    versions: dict[str, str | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    versions["torch_npu"] = "2.9.0.post9"
    broken(tmp_path, monkeypatch, "ImportError('undefined symbol: _ZN3c1010TensorImpl')")
    assert str(devices.why_not("npu")).startswith("torch_npu 2.9.0.post9 does not belong to torch 2.13.0+cpu")


def test_a_mismatch_is_told_with_the_first_cause(versions: dict[str, str | None]) -> None:
    versions["torch_npu"] = "2.9.0.post9"
    said = ascend.explain(ImportError(NO_HCCL))
    assert said.startswith("CANN is missing")
    assert "; also, torch_npu 2.9.0.post9 does not belong" in said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1,0", "=1,0 does not ascend, which hides every device; `export ASCEND_RT_VISIBLE_DEVICES=0,1`"),
        ("0,0", "=0,0 does not ascend, which hides every device; `export ASCEND_RT_VISIBLE_DEVICES=0`"),
        ("0,1 2", "=0,1 2 is not a list of numbers with commas between them"),
        ("0,,1", "is not a list of numbers"),
        ("npu:0", "is not a list of numbers"),
        ("", " is empty, which hides every device; `unset ASCEND_RT_VISIBLE_DEVICES`"),
    ],
)
def test_the_list_of_visible_devices(
    value: str, said: str, install: Install, versions: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(Npu(devices=0))
    monkeypatch.setenv(ascend.VISIBLE, value)
    assert said in str(devices.why_not("npu"))


@pytest.mark.parametrize("value", [None, "0", "0,1,10"])
def test_a_list_that_is_right(value: str | None) -> None:
    assert ascend.visible_problem(value) is None


def test_no_device(install: Install, versions: dict[str, str | None]) -> None:
    install(Npu(devices=0))
    assert "finds no device; `npu-smi info`" in str(devices.why_not("npu"))


def test_devices_are_there(install: Install) -> None:
    install(Npu(devices=8))
    assert devices.available("npu") == 8
    assert devices.why_not("npu") is None


def test_a_device_is_prepared_once(install: Install) -> None:
    npu = install(Npu())
    ascend.prepare()
    assert npu.set == {"jit_compile": False}
    assert npu.config.allow_internal_format is False
    assert ascend.settings() == {"jit_compile": False, "allow_internal_format": False}
    npu.set.clear()
    ascend.prepare()
    assert npu.set == {}


def test_what_could_not_be_set_is_told(install: Install, versions: dict[str, str | None]) -> None:
    install(Npu(refuses=True))
    ascend.prepare()
    assert ascend.settings()["jit_compile"] == "not set (the option cannot be set)"
    assert ascend.remarks() == ("Ascend option jit_compile is not set (the option cannot be set)",)


def test_transfer_to_npu_is_detected(
    install: Install, versions: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not ascend.pretends()

    def is_available() -> bool:
        return True

    is_available.__module__ = "torch_npu.npu"
    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert devices.available("cuda") == 0  # an NPU under another name
    assert "transfer_to_npu" in str(devices.why_not("cuda"))
    assert [text.split(":")[0] for text in ascend.remarks()] == ["transfer_to_npu is active"]


def test_transfer_to_npu_is_detected_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_npu.contrib.transfer_to_npu", types.ModuleType("transfer_to_npu"))
    assert ascend.pretends()


def test_auto_that_came_to_the_cpu_says_what_is_broken(
    versions: dict[str, str | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken(tmp_path, monkeypatch, f"ImportError({NO_HCCL!r})")
    remarks = devices.remarks(torch.device("cpu"), "auto")
    assert len(remarks) == 1
    assert remarks[0].startswith("auto came to the CPU, since CANN is missing")
    assert devices.remarks(torch.device("cpu"), "cpu") == ()  # asked for


def test_a_cpu_without_torch_npu_is_no_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_npu", None)
    assert devices.remarks(torch.device("cpu"), "auto") == ()


STUB_TORCH = f"""
try:
    import torch_npu
except Exception as error:
    raise RuntimeError({AUTOLOAD!r}) from error
"""


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (STUB_TORCH, DeviceError, "torch cannot be imported: CANN is missing .*TORCH_DEVICE_BACKEND_AUTOLOAD=0"),
        ("raise RuntimeError('of its own')", RuntimeError, "^of its own$"),
        ("import absent_part_of_torch", ModuleNotFoundError, "absent_part_of_torch"),
    ],
)
def test_torch_cannot_be_imported(
    content: str, error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ascend, "version", lambda _: None)
    broken(tmp_path, monkeypatch, f"ImportError({NO_HCCL!r})")
    (tmp_path / "torch.py").write_text(content)
    monkeypatch.delitem(sys.modules, "torch")
    with pytest.raises(error, match=said):
        start.import_torch()


def test_torch_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(DependencyError, match="`pip install torch`"):
        start.import_torch()


def test_the_command_where_torch_loads_a_broken_torch_npu(tmp_path: Path) -> None:
    """The real torch, with a distribution whose entry point it loads on import."""
    package, about = tmp_path / "torch_npu", tmp_path / "torch_npu-2.13.0.dist-info"
    package.mkdir()
    about.mkdir()
    (package / "__init__.py").write_text(f"raise ImportError({NO_HCCL!r})\n")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torch_npu\nVersion: 2.13.0\n")
    (about / "entry_points.txt").write_text("[torch.backends]\ntorch_npu = torch_npu:_autoload\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    environment.pop("TORCH_DEVICE_BACKEND_AUTOLOAD", None)
    command = [sys.executable, "-m", "literatim.cli.main", "transcribe", "a.wav", "--model", "demo", "--device", "npu"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("literatim: torch cannot be imported: CANN is missing or not set up in this shell")
    assert "`source /usr/local/Ascend/ascend-toolkit/set_env.sh`" in done.stderr
    assert "`export TORCH_DEVICE_BACKEND_AUTOLOAD=0`" in done.stderr
    assert "Traceback" not in done.stderr
