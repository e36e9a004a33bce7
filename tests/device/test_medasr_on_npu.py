"""MedASR on the fake npu: the CPU's text, few shapes, and nothing that is slow or wrong on a real device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from literatim.api import MedasrRecognizer, load
from literatim.errors import DeviceError
from literatim.types import Transcript
from literatim.verify import fake_npu, faults
from literatim.verify.fake_npu import OPS, TO_DEVICE, TO_HOST, Call, calls
from medasr_builders import random_lasr_folder
from reference.transcripts import same

RATE = 16_000
COMPARED = ("aten.lt", "aten.eq", "aten.max", "aten.argmax")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_lasr_folder(tmp_path_factory.mktemp("medasr"), 5)


@pytest.fixture(scope="module")
def pair(folder: Path) -> tuple[MedasrRecognizer, MedasrRecognizer]:
    """The same weights in float32 on the CPU and on the npu."""
    cpu, npu = (load(folder, device=device, dtype="float32") for device in ("cpu", "npu"))
    assert isinstance(cpu, MedasrRecognizer)
    assert isinstance(npu, MedasrRecognizer)
    return cpu, npu


def sound(seconds: float, seed: int) -> np.ndarray:
    """A tone of another pitch each tenth of a second."""
    random = np.random.default_rng(seed)
    tones = [np.sin(random.uniform(0.05, 2.5) * np.arange(1600)) for _ in range(int(seconds * 10) + 1)]
    return (0.1 * np.concatenate(tones)[: round(seconds * RATE)]).astype(np.float32)


def many(recognizer: MedasrRecognizer, audios: list[Any], size: int) -> list[Transcript | None]:
    found = recognizer.transcribe_many(audios, batch_size=size, word_timestamps=True)
    return [outcome.transcript for outcome in sorted(found, key=lambda outcome: outcome.index)]


def test_the_same_text_in_batches(pair: tuple[MedasrRecognizer, MedasrRecognizer]) -> None:
    """Of short and long recordings beside each other: words, times and scores."""
    cpu, npu = pair
    audios = [sound(seconds, seed) for seed, seconds in enumerate((0.7, 3.2, 26.0, 5.1, 9.0))]
    expected = [cpu.transcribe(audio, word_timestamps=True) for audio in audios]
    assert len({transcript.text for transcript in expected}) == len(audios)
    for size in (1, 4):
        for found, wanted in zip(many(npu, audios, size), expected, strict=True):
            same(found, wanted)


def test_float16_by_default(folder: Path) -> None:
    """With finite scores."""
    npu = load(folder, device="npu:1")
    assert (npu.device, npu.dtype) == (torch.device("npu", 1), torch.float16)
    transcript = npu.transcribe(sound(4.0, 1))
    assert transcript.segments
    assert all(np.isfinite(segment.avg_logprob) for segment in transcript.segments)


def test_what_a_device_is_slow_at_is_not_asked_of_it(pair: tuple[MedasrRecognizer, MedasrRecognizer]) -> None:
    """No float64, no comparisons of int64, masks of attention are bool; features are made on the CPU."""
    OPS.clear()
    many(pair[1], [sound(2.5, seed) for seed in range(3)], 4)
    compared = [call for call in OPS if call.op in COMPARED]
    assert compared
    assert [call for call in compared if torch.int64 in call.dtypes] == []
    masks = [call.dtypes[3] for call in OPS if call.op == faults.ATTENTION and len(call.dtypes) > 3]
    assert masks
    assert set(masks) == {torch.bool}
    assert [call.op for call in OPS if "fft" in call.op] == []
    assert [call for call in OPS if torch.float64 in call.dtypes] == []
    assert calls(TO_DEVICE) == 2  # frames and how many are each row's own
    assert calls(TO_HOST) == 2  # ids and log-probabilities


def test_more_recordings_bring_no_new_shapes(pair: tuple[MedasrRecognizer, MedasrRecognizer]) -> None:
    """Widths of 5, 10, 15 and 20 s, and batches of 1, 2 and 4: that is all there ever is."""

    def kinds(audios: list[Any], size: int) -> set[Call]:
        OPS.clear()
        many(pair[1], audios, size)
        return {call for call in OPS if call.op not in (TO_DEVICE, TO_HOST)}

    known: set[Call] = set()
    for seconds in (5.0, 10.0, 15.0, 20.0):
        for rows in (1, 2, 4):
            known |= kinds([sound(seconds, seed) for seed in range(rows)], rows)
    others = [sound(0.5 + 1.7 * number, number) for number in range(9)]
    assert kinds(others, 4) - known == set()
    assert kinds([sound(47.0, 50)], 3) - known == set()


def test_a_lacking_operation_is_named_with_its_place(pair: tuple[MedasrRecognizer, MedasrRecognizer]) -> None:
    """And the recognizer goes on after it."""
    wanted = r"^npu:0 has no aten::convolution, needed by encoder\.subsampler\.conv_0; .* or use --device cpu$"
    with fake_npu.unsupported("aten.convolution"), pytest.raises(DeviceError, match=wanted):
        pair[1].transcribe(sound(1.0, 0))
    assert pair[1].transcribe(sound(2.0, 0)).segments


@pytest.mark.parametrize(
    "fault",
    [faults.scaled("aten.mm", 1.2), faults.swapped_rows("aten.mm"), faults.unmasked()],
    ids=["scaled", "swapped", "unmasked"],
)
def test_a_planted_fault_is_heard(fault: faults.Fault, pair: tuple[MedasrRecognizer, MedasrRecognizer]) -> None:
    """In tokens or in scores; after it the device is right again."""

    def heard() -> list[Any]:
        found = many(pair[1], [sound(3.0, 3), sound(2.0, 4)], 2)
        return [
            (segment.tokens, round(segment.avg_logprob, 3))
            for transcript in found
            for segment in (transcript.segments if transcript else ())
        ]

    expected = heard()
    with fake_npu.plant(fault):
        wrong = heard()
    assert fault.hits > 0
    assert wrong != expected
    assert heard() == expected
