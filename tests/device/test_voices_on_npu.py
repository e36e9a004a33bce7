"""Networks for voices on the fake npu: the CPU's vectors, few shapes, nothing that a real device is slow at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from literatim.errors import DeviceError
from literatim.pipeline import voice
from literatim.verify import fake_npu, faults
from literatim.verify.fake_npu import OPS, TO_DEVICE, TO_HOST, Call, calls
from literatim.voices import SpeakerModel, load_speaker
from speaker_builders import random_speaker_folder

COMPARED = ("aten.lt", "aten.eq", "aten.max", "aten.argmax", "aten.gt")
BANDS = 80


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_speaker_folder(tmp_path_factory.mktemp("voices"), 5)


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[SpeakerModel, SpeakerModel]:
    """The same weights in float32 on the CPU and on the npu."""
    cpu, npu = (load_speaker(folder, device=device, dtype="float32") for device in ("cpu", "npu"))
    return cpu, npu


def frames(length: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(length, BANDS, generator=torch.Generator().manual_seed(seed + length))


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    assert np.isfinite(wanted).all()
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_the_same_vectors_in_batches(pair: tuple[SpeakerModel, SpeakerModel]) -> None:
    """Of every length from one frame on, short and long beside each other: masked there, of one length here."""
    cpu, npu = (model.encoder for model in pair)
    sounds = [frames(length) for length in (*range(1, 20), 49, 50, 51, 120, 148, 148, 199, 333, 1001)]
    wanted = cpu.embed_frames(sounds)
    assert len(np.unique(wanted.round(3), axis=0)) == len(sounds) - 1  # two are the same
    for size in (1, 3, 16):
        close(npu.embed_frames(sounds, size), wanted)


def test_long_recordings(pair: tuple[SpeakerModel, SpeakerModel], monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces of one width, the last filled up."""
    cpu, npu = (model.encoder for model in pair)
    sounds = [frames(length) for length in (1601, 2000, 2407)]
    wanted = cpu.embed_frames(sounds)
    monkeypatch.setattr(voice, "PIECE", 800)
    close(npu.embed_frames(sounds), wanted)


def test_sound_and_windows(pair: tuple[SpeakerModel, SpeakerModel]) -> None:
    """The whole way from samples."""
    cpu, npu = pair
    samples = np.random.default_rng(0).standard_normal(80_000).astype(np.float32) * 0.1
    close(npu.embed(samples).vector, cpu.embed(samples).vector)
    windows = [(start, start + 24_000) for start in range(0, 56_000, 12_000)] + [(60_000, 66_400)]
    sound = torch.from_numpy(samples)
    close(npu.encoder.embed_windows(sound, windows), cpu.encoder.embed_windows(sound, windows))


def test_float16_by_default(folder: Path) -> None:
    """With vectors of the same direction."""
    npu, cpu = load_speaker(folder, device="npu:1"), load_speaker(folder, device="cpu")
    assert (npu.device, npu.dtype) == (torch.device("npu", 1), torch.float16)
    samples = np.random.default_rng(0).standard_normal(80_000).astype(np.float32) * 0.1
    assert npu.compare(npu.embed(samples), cpu.embed(samples)).cosine > 0.9999


def test_what_a_device_is_slow_at_is_not_asked_of_it(pair: tuple[SpeakerModel, SpeakerModel]) -> None:
    """No float64, no comparisons of int64, no lookups; frames are made on the CPU, and come back as vectors alone."""
    OPS.clear()
    pair[1].encoder.embed([0.1 * np.random.default_rng(n).standard_normal(20_000 + n).astype("f") for n in range(3)])
    compared = [call for call in OPS if call.op in COMPARED]
    assert compared
    assert [call for call in compared if torch.int64 in call.dtypes] == []
    assert [call for call in OPS if torch.float64 in call.dtypes] == []
    assert [call.op for call in OPS if "fft" in call.op or "index" in call.op or "gather" in call.op] == []
    assert calls(TO_DEVICE) == 2  # frames and how many are each row's own
    assert calls(TO_HOST) == 1


def test_more_recordings_bring_no_new_shapes(pair: tuple[SpeakerModel, SpeakerModel]) -> None:
    """A dozen widths, and batches of powers of two: that is all there ever is below 32 s."""

    def kinds(lengths: list[int], size: int) -> set[Call]:
        OPS.clear()
        pair[1].encoder.embed_frames([frames(length) for length in lengths], size)
        return {call for call in OPS if call.op not in (TO_DEVICE, TO_HOST)}

    known: set[Call] = set()
    for width in voice.WIDTHS[:6]:
        for rows in (1, 2, 4):
            known |= kinds([width] * rows, rows)
    lengths = torch.randint(1, 400, (30,), generator=torch.Generator().manual_seed(0)).tolist()
    assert kinds(lengths, 4) - known == set()


def test_a_lacking_operation_is_named_with_its_place(pair: tuple[SpeakerModel, SpeakerModel]) -> None:
    """And the model goes on after it."""
    wanted = r"^npu:0 has no aten::convolution, needed by conv1; .* or use --device cpu$"
    with fake_npu.unsupported("aten.convolution"), pytest.raises(DeviceError, match=wanted):
        pair[1].encoder.embed_frames([frames(100)])
    assert np.isfinite(pair[1].encoder.embed_frames([frames(100)])).all()


@pytest.mark.parametrize(
    "fault", [faults.scaled("aten.convolution", 1.2), faults.swapped_rows("aten.addmm")], ids=["scaled", "swapped"]
)
def test_a_planted_fault_is_seen(fault: faults.Fault, pair: tuple[SpeakerModel, SpeakerModel]) -> None:
    """In the vectors; after it the device is right again."""
    sounds = [frames(100, seed) for seed in range(4)]
    expected = pair[1].encoder.embed_frames(sounds)
    with fake_npu.plant(fault):
        wrong = pair[1].encoder.embed_frames(sounds)
    assert fault.hits > 0
    assert np.abs(wrong - expected).max() > 1e-2 * np.abs(expected).max()
    close(pair[1].encoder.embed_frames(sounds), expected)
