"""`literatim transcribe --device npu` in a process of its own, where the fake device is installed first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from audio_builders import wav
from literatim.audio.decode import decode
from literatim.demo import recording_path

CPU = "from literatim.cli.main import main; main()"
NPU = f"from literatim.verify import fake_npu; fake_npu.install(devices=1); {CPU}"
WITHOUT = f"""
from literatim.verify import fake_npu
fake_npu.install()
with fake_npu.unsupported("aten.gelu"):
    {CPU}
"""


def literatim(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        env=environment,
        capture_output=True,
        check=False,
        timeout=300,
        encoding="utf-8",
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The first eight seconds of a bundled recording."""
    (samples,) = decode(recording_path("noisy")).samples
    file = tmp_path_factory.mktemp("speech") / "speech.wav"
    file.write_bytes(wav((samples[: 8 * 16_000] * 32767).astype("<i2").tobytes()))
    return str(file)


def transcribe(program: str, file: str, device: str, *more: str) -> subprocess.CompletedProcess[str]:
    return literatim(program, "transcribe", file, "--model", "demo", "--device", device, *more)


def line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_command_says_the_same_on_an_npu(speech: str) -> None:
    """The CPU's process never hears of the fake device."""
    expected = line(transcribe(CPU, speech, "cpu", "--json"))
    done = transcribe(NPU, speech, "npu", "--json", "--dtype", "float32")
    found = line(done)
    assert found["text"] == expected["text"]
    assert [s["tokens"] for s in found["segments"]] == [s["tokens"] for s in expected["segments"]]
    assert len(found["text"].split()) > 5
    for ours, theirs in zip(found["segments"], expected["segments"], strict=True):
        assert ours["avg_logprob"] == pytest.approx(theirs["avg_logprob"], abs=1e-4)


def test_a_device_that_lacks_an_op_is_exit_code_2(speech: str) -> None:
    done = transcribe(WITHOUT, speech, "npu")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "literatim: npu:0 has no aten::gelu, needed by encoder; update torch" in done.stderr
