"""The device package on the fake npu: picked, prepared, measured, and used by several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from literatim import device as devices
from literatim.api import load
from literatim.device import ascend
from literatim.errors import DeviceError
from literatim.fleet import Fleet
from whisper_builders import random_whisper_folder

NPU = torch.device("npu", 0)


def test_it_is_picked_and_prepared() -> None:
    assert devices.available("npu") == 2
    assert devices.why_not("npu") is None
    assert devices.pick("npu") == NPU
    assert devices.pick("auto").type == "npu"
    assert torch.npu.is_jit_compile_false()
    assert torch.npu.config.allow_internal_format is False
    assert ascend.settings() == {"jit_compile": False, "allow_internal_format": False}
    assert devices.several("npu", "1,0") == (torch.device("npu", 1), NPU)
    with pytest.raises(DeviceError, match=r"npu:2 is not there \(2 npu devices found, the last is npu:1\)"):
        devices.several("npu", "0,2")


def test_memory_is_counted() -> None:
    devices.reset_peak(NPU)
    before = devices.memory(NPU)
    held = torch.ones(1 << 20, device=NPU)  # 4 MiB
    after = devices.memory(NPU)
    assert None not in (before.allocated, after.allocated, after.peak, after.free, after.total)
    assert int(after.allocated or 0) - int(before.allocated or 0) == held.numel() * 4
    del held
    assert devices.memory(NPU).allocated == before.allocated
    assert int(devices.memory(NPU).peak or 0) >= int(after.allocated or 0)
    devices.reset_peak(NPU)
    assert devices.memory(NPU).peak == before.allocated


def test_time_is_taken_by_events() -> None:
    watch = devices.Stopwatch(NPU)
    assert watch.uses_events
    watch.start()
    torch.ones((64, 64), device=NPU) @ torch.ones((64, 64), device=NPU)
    assert 0 < watch.stop() < 60
    devices.synchronize(NPU)


def test_convolutions_run_in_hf32_until_they_are_told_not_to() -> None:
    assert devices.precision_flags(NPU)["float32_conv"] == "hf32"
    with devices.precision("highest", NPU):
        assert torch.npu.conv.allow_hf32 is False
        assert devices.precision_flags(NPU)["float32_conv"] == "float32"
    assert torch.npu.conv.allow_hf32 is True


def test_what_is_told_of_it() -> None:
    assert devices.name_of(NPU) == torch.npu.get_device_name(0)
    assert devices.dtypes(NPU) == ("float32", "float16", "bfloat16")
    assert devices.versions(NPU)["torch"] == torch.__version__


class InstallsTheFake(str):
    """A word whose unpacking, in another process, puts the fake npu there first."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        install = "__import__('literatim.verify.fake_npu', fromlist=['install']).install(devices=2)"
        return eval, (f"({install}, {str(self)!r})[1]",)


def test_two_devices_share_recordings(tmp_path: Path) -> None:
    """The texts are those of the CPU."""
    folder = random_whisper_folder(tmp_path / "model", 3)
    random = np.random.default_rng(1)
    audios = [random.uniform(-0.3, 0.3, 16_000).astype(np.float32) for _ in range(4)]
    options: dict[str, Any] = {"language": "en", "no_speech_threshold": None, "temperature": 0.0, "max_new_tokens": 8}
    options |= {"batch_size": 2}
    options["strategy"] = "sequential"
    precision = InstallsTheFake("highest")
    with Fleet(folder, device="npu", device_index="0,1", dtype="float32", precision=precision) as fleet:
        assert fleet.devices == (NPU, torch.device("npu", 1))
        found = {outcome.index: outcome for outcome in fleet.transcribe_many(audios, **options)}
    recognizer = load(folder, device="cpu", dtype="float32")
    for index, audio in enumerate(audios):
        transcript = found[index].transcript
        assert transcript is not None, found[index].error
        assert transcript.text == recognizer.transcribe(audio, **options).text != ""
