"""`precision`: the switches are off within the block, as before after it, and a report says what float32 means."""

from __future__ import annotations

import threading
import types
import warnings
from typing import Any

import pytest
import torch

from literatim import device as devices
from literatim.device import ascend
from literatim.errors import OptionError

CUDA = torch.device("cuda")
CPU = torch.device("cpu")


@pytest.fixture
def npu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The switches of torch.npu at their documented defaults."""
    switches = types.SimpleNamespace(
        conv=types.SimpleNamespace(allow_hf32=True), matmul=types.SimpleNamespace(allow_hf32=False)
    )
    monkeypatch.setattr(torch, "npu", switches, raising=False)
    monkeypatch.setattr(ascend, "_settings", {"jit_compile": False, "allow_internal_format": False})
    return types.SimpleNamespace(type="npu", index=0)


def test_tf32_is_off_within_and_as_before_after() -> None:
    before = devices.precision_flags(CUDA)
    assert before["float32_conv"] == "tf32"  # torch's default on NVIDIA cards since Ampere
    with devices.precision("highest", CUDA):
        within = devices.precision_flags(CUDA)
        assert (within["float32_matmul"], within["float32_conv"]) == ("float32", "float32")
        assert torch.backends.cudnn.allow_tf32 is False
        assert torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction is False
    assert devices.precision_flags(CUDA) == before
    assert torch.backends.cudnn.allow_tf32 is True


@pytest.mark.parametrize("level", ["high", "medium"])
def test_products_that_a_user_made_coarser(level: str) -> None:
    """torch refuses to multiply where its older and newer switches disagree, so both are read here."""
    torch.set_float32_matmul_precision(level)
    try:
        before = devices.precision_flags(CUDA)
        assert before["float32_matmul"] == "tf32"
        with devices.precision("highest", CUDA):
            assert torch.get_float32_matmul_precision() == "highest"
            assert torch.backends.cuda.matmul.allow_tf32 is False
            assert devices.precision_flags(CUDA)["float32_matmul"] == "float32"
        assert torch.get_float32_matmul_precision() == level
        assert devices.precision_flags(CUDA) == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_cpu_too() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        with devices.precision("highest", CPU):
            assert devices.precision_flags(CPU)["float32_matmul"] == "float32"
        assert devices.precision_flags(CPU)["float32_matmul"] in {"bf16", "float32"}  # older versions do not tell
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_hf32_is_off_within_and_as_before_after(npu: Any) -> None:
    flags = devices.precision_flags(npu)
    assert (flags["float32_conv"], flags["float32_matmul"]) == ("hf32", "float32")
    assert flags["npu.allow_internal_format"] is False
    with devices.precision("highest", npu):
        assert torch.npu.conv.allow_hf32 is False
        assert devices.precision_flags(npu)["float32_conv"] == "float32"
    assert torch.npu.conv.allow_hf32 is True
    assert torch.npu.matmul.allow_hf32 is False


def test_a_switch_that_is_missing_is_not_claimed(npu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "npu", types.SimpleNamespace(), raising=False)
    with devices.precision("highest", npu):
        flags = devices.precision_flags(npu)
    assert flags["npu.conv.allow_hf32"] is None
    assert flags["float32_conv"] is None


def test_the_default_touches_nothing(npu: Any) -> None:
    for device in (CPU, CUDA, npu):
        before = devices.precision_flags(device)
        with devices.precision("default", device):
            assert devices.precision_flags(device) == before


def test_an_error_within_restores_them(npu: Any) -> None:
    with pytest.raises(KeyError), devices.precision("highest", npu):
        raise KeyError
    assert torch.npu.conv.allow_hf32 is True


def test_they_nest(npu: Any) -> None:
    with devices.precision("highest", npu):
        with devices.precision("highest", npu):
            pass
        assert torch.npu.conv.allow_hf32 is False
    assert torch.npu.conv.allow_hf32 is True


@pytest.mark.parametrize("level", ["medium", "", "Highest"])
def test_an_unknown_level(level: str) -> None:
    with pytest.raises(OptionError, match="choose one of default, highest"), devices.precision(level, CPU):
        pass


def test_older_names_of_torch_that_advise_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch 2.9 warns at each reading of allow_tf32."""

    def get() -> str:
        warnings.warn("Please use the new API settings to control TF32 behavior", UserWarning, stacklevel=1)
        return "highest"

    monkeypatch.setattr(torch, "get_float32_matmul_precision", get)
    assert devices.precision_flags(CPU)["float32_matmul_precision"] == "highest"


def test_an_older_torch_without_the_newer_names(monkeypatch: pytest.MonkeyPatch) -> None:
    older = types.SimpleNamespace(
        cudnn=types.SimpleNamespace(allow_tf32=True), cuda=types.SimpleNamespace(matmul=types.SimpleNamespace())
    )
    monkeypatch.setattr(torch, "backends", older)
    flags = devices.precision_flags(CUDA)
    assert (flags["float32_matmul"], flags["float32_conv"]) == ("float32", "tf32")
    with devices.precision("highest", CUDA):
        assert older.cudnn.allow_tf32 is False
    assert older.cudnn.allow_tf32 is True


def test_the_switches_are_those_of_the_process(npu: Any) -> None:
    """As the docstring says: another thread meets them too."""
    seen = []
    with devices.precision("highest", npu):
        thread = threading.Thread(target=lambda: seen.append(torch.npu.conv.allow_hf32))
        thread.start()
        thread.join()
    assert seen == [False]
