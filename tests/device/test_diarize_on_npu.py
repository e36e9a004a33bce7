"""Who speaks when on the fake npu: the CPU's turns, and few shapes, however long a recording is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import literatim
from literatim import demo
from literatim.audio.decode import decode
from literatim.pipeline import voice
from literatim.verify.fake_npu import OPS, TO_DEVICE, TO_HOST, calls
from literatim.voices import SpeakerModel, load_speaker
from speaker_builders import random_speaker_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_speaker_folder(tmp_path_factory.mktemp("voices"), 5)


@pytest.fixture(scope="module")
def npu(folder: Path) -> SpeakerModel:
    return load_speaker(folder, device="npu", dtype="float32")


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return decode(demo.recording_path("meeting")).samples[0].copy()


def test_the_same_turns(folder: Path, npu: SpeakerModel, sound: np.ndarray) -> None:
    """With random weights; voices as near as vectors are."""
    cpu = load_speaker(folder, device="cpu", dtype="float32")
    wanted, found = (model.diarize(sound, num_speakers=2) for model in (cpu, npu))
    assert len(wanted.turns) > 5
    assert found.turns == wanted.turns
    assert np.allclose(found.voices, wanted.voices, atol=1e-4)


def test_a_longer_recording_brings_few_shapes(npu: SpeakerModel, sound: np.ndarray) -> None:
    """Batches of powers of two, of a few widths; vectors alone come back, for frames and how many of them count."""
    OPS.clear()
    npu.diarize(np.tile(sound, 3))
    assert calls(TO_HOST) == calls(TO_DEVICE) / 2 > 3
    first = {call.shapes[0] for call in OPS if call.op == "aten.convolution" and call.shapes[0][1] == 1}
    assert first
    assert {shape[0] for shape in first} <= {1, 2, 4, 8, 16}
    assert {shape[3] for shape in first} <= set(voice.WIDTHS)


def test_a_transcript_with_speakers(folder: Path, sound: np.ndarray) -> None:
    """Voices are heard where the text is made."""
    told = literatim.load("demo", device="npu", dtype="float32", assistant="none").transcribe(
        sound[: 8 * 16_000], language="en", diarize=True, speaker_model=str(folder), num_speakers=1
    )
    assert told.speakers == ("SPEAKER_00",)
    assert {word.speaker for segment in told.segments for word in segment.words or ()} == {"SPEAKER_00"}
