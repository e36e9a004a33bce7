"""`literatim doctor` as a user runs it, on machines that are broken in known ways."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest

WORKS, PROBLEM, COULD_NOT_RUN = 0, 1, 2
NO_CANN = "libhccl.so: cannot open shared object file: No such file or directory"


def doctor(path: Path | None, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it with packages of `path` before all others, and no accelerator's variables from outside."""
    environment = {name: value for name, value in os.environ.items() if "VISIBLE" not in name and name != "NO_COLOR"}
    environment |= {"PYTHONIOENCODING": "utf-8", "COLUMNS": "100", **variables}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "literatim.cli.main", "doctor", *arguments],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def findings(done: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], dict[str, Any]]:
    said = json.loads(done.stdout)
    assert said["exit_code"] == done.returncode
    return {(finding["section"], finding["name"]): finding for finding in said["findings"]}


def package(root: Path, name: str, code: str, version: str = "", points: str = "") -> Path:
    """An importable package, with the metadata of a distribution when it has a version."""
    (root / name).mkdir(parents=True)
    (root / name / "__init__.py").write_text(code)
    if version:
        info = root / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(points)
    return root


def torch_release() -> str:
    from importlib import metadata

    return metadata.version("torch").partition("+")[0]


def test_torch_that_cannot_be_imported(tmp_path: Path) -> None:
    package(tmp_path, "torch", "raise ImportError('libtorch_cpu.so: cannot open shared object file')")
    done = doctor(tmp_path, "--json")
    found = findings(done)
    assert done.returncode == PROBLEM
    assert "libtorch_cpu.so" in found["python", "torch"]["text"]
    assert found["python", "torch"]["mend"] == "pip install --force-reinstall torch"
    assert found["models", "demo"]["state"] == "ok"
    assert found["machine", "memory"]["state"] in {"ok", "warn"}


def test_torch_that_is_missing(tmp_path: Path) -> None:
    package(tmp_path, "torch", "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    done = doctor(tmp_path, "--device", "npu")
    assert done.returncode == PROBLEM
    assert "fail  torch" in done.stdout
    assert "-> pip install torch\n" in done.stdout
    assert "not looked at, since torch cannot be imported" in done.stdout


def test_torch_that_crashes_and_one_that_hangs(tmp_path: Path) -> None:
    crash = package(tmp_path / "crash", "torch", "import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    found = findings(doctor(crash, "--json", "--device", "cpu"))
    assert "SIGILL" in found["python", "torch"]["text"]
    assert str(crash / "torch") in found["python", "torch"]["text"]
    hang = package(tmp_path / "hang", "torch", "import time\ntime.sleep(600)")
    package(hang, "av", "import time\ntime.sleep(600)")
    found = findings(doctor(hang, "--json", "--device", "cpu", "--timeout", "2"))
    assert "did not answer within 2 s" in found["python", "torch"]["text"]
    assert "did not answer within 2 s" in found["python", "av"]["text"]


@pytest.fixture(scope="module")
def broken_npu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torch_npu as it is without CANN: torch loads it by itself, and its import raises."""
    return package(
        tmp_path_factory.mktemp("npu"),
        "torch_npu",
        f"raise ImportError({NO_CANN!r})",
        f"{torch_release()}.post1",
        "[torch.backends]\ntorch_npu = torch_npu:_autoload\n",
    )


def test_torch_npu_without_cann(broken_npu: Path) -> None:
    done = doctor(broken_npu, "--json", "--quick", ASCEND_RT_VISIBLE_DEVICES="1,0")
    found = findings(done)
    assert done.returncode == PROBLEM
    torch, npu = found["python", "torch"], found["npu", "devices"]
    assert torch["state"] == npu["state"] == "fail"
    assert "torch_npu by itself" in torch["text"]
    assert NO_CANN in torch["text"]
    assert "TORCH_DEVICE_BACKEND_AUTOLOAD=0" in torch["mend"]
    assert "libhccl.so" in npu["text"]
    assert "set_env.sh" in npu["mend"]
    assert found["npu", "visible"]["mend"] == "export ASCEND_RT_VISIBLE_DEVICES=0,1"
    assert found["cpu", "dtypes"]["state"] == "ok"


def test_torch_npu_without_cann_and_without_autoload(tmp_path: Path) -> None:
    """Of another version than torch, and of none that is listed."""
    package(tmp_path, "torch_npu", f"raise ImportError({NO_CANN!r})", "2.5.1")
    found = findings(doctor(tmp_path, "--json", "--quick", "--device", "npu", TORCH_DEVICE_BACKEND_AUTOLOAD="0"))
    assert found["python", "torch"]["state"] == "ok"
    assert "libhccl.so" in found["npu", "devices"]["text"]
    assert "2.5.1" in found["npu", "versions"]["text"]
    assert found["npu", "versions"]["state"] == "fail"


def test_no_home_and_no_network(tmp_path: Path) -> None:
    """Nothing can be made below /proc; the network is refused by a proxy on a closed port."""
    package(tmp_path, "torch", "raise ImportError('none')")
    variables = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
    variables |= {"HOME": "/proc/none", "HF_HOME": "/proc/none/hf", "no_proxy": "127.0.0.1"}
    found = findings(doctor(tmp_path, "--json", "--device", "cpu", "--network", **variables))
    assert found["models", "cache"]["state"] == "warn"
    assert "HF_HOME" in found["models", "cache"]["mend"]
    assert found["models", "network"]["state"] == "warn"
    assert "http://127.0.0.1:9 does not answer" in found["models", "network"]["text"]
    assert found["models", "hub"]["text"] == "http://127.0.0.1:9 (HF_ENDPOINT)"


@pytest.fixture(scope="module")
def healthy() -> subprocess.CompletedProcess[str]:
    """This machine, the CPU alone, with all the work."""
    return doctor(None, "--device", "cpu", CUDA_VISIBLE_DEVICES="", LITERATIM_MODEL="demo")


def test_a_healthy_machine(healthy: subprocess.CompletedProcess[str]) -> None:
    assert healthy.returncode == WORKS, healthy.stdout
    assert "\x1b" not in healthy.stdout
    assert healthy.stderr == ""
    for name in ("torch", "packages", "processor", "threads", "demo", "matmul", "end to end", "dictation", "voices"):
        assert f"  ok    {name} " in healthy.stdout
    assert "meeting.flac" in healthy.stdout
    assert "Device cuda" not in healthy.stdout


def heard(page: str) -> str:
    """What the bundled model said, in one line."""
    found = re.search(r'end to end .*?"(.*?)"', page, re.DOTALL)
    assert found is not None
    return " ".join(found[1].split())


def test_the_documented_page_has_the_words_of_today(healthy: subprocess.CompletedProcess[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "doctor.md"
    # another CPU rounds another way, and may hear a word differently
    assert SequenceMatcher(None, heard(page.read_text("utf-8")), heard(healthy.stdout), autojunk=False).ratio() > 0.9


def test_the_page_is_a_page(healthy: subprocess.CompletedProcess[str]) -> None:
    lines = healthy.stdout.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100


@pytest.mark.slow
@pytest.mark.skipif(tuple(map(int, torch_release().split(".")[:2])) < (2, 10), reason="the fake npu needs torch 2.10")
def test_a_whole_look_at_a_fake_npu(tmp_path: Path) -> None:
    warning = "Warning: The /usr/local/Ascend/ascend-toolkit/latest owner does not match the current owner."
    code = f"import sys, warnings\nwarnings.warn({warning!r})\nsys.modules.pop('torch_npu')\n"
    code += "from literatim.verify import fake_npu\nfake_npu.install(2)\n"
    package(tmp_path, "torch_npu", code, torch_release())
    done = doctor(tmp_path, "--json", "--device", "npu:1", ASCEND_RT_VISIBLE_DEVICES="0,3")
    found = findings(done)
    assert done.returncode == WORKS
    for name in ("visible", "devices", "dtypes", "matmul", "end to end", "dictation", "voices"):
        assert found["npu", name]["state"] == "ok", found["npu", name]
    assert "hf32 in convolutions" in found["npu", "dtypes"]["text"]
    for name in ("end to end", "dictation", "voices"):
        assert "the CPU's" in found["npu", name]["text"]
    assert "harmless" in found["warnings", "another owner"]["text"]


def test_a_device_that_does_not_exist() -> None:
    done = doctor(None, "--device", "gpu")
    assert done.returncode == COULD_NOT_RUN
    assert "choose one of cpu, cuda, npu, mps, xpu" in done.stderr


def test_words_that_the_output_cannot_write(tmp_path: Path) -> None:
    package(tmp_path, "torch", "raise ImportError('\\u6587\\u4ef6 is missing')")
    done = doctor(tmp_path, "--device", "cpu", PYTHONIOENCODING="ascii")
    assert done.returncode == PROBLEM
    assert "ImportError: ?? is missing" in done.stdout
