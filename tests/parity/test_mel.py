"""Log-mel spectrograms equal to transformers' extractor and to openai/whisper's rule for whole recordings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor

from literatim.audio import mel
from reference.openai_whisper import openai

TOLERANCE = 1e-4
RATE = 16_000
WINDOW_SILENCE = 30 * RATE  # zero samples that openai/whisper puts after a recording
REAL_AUDIO = os.environ.get("LITERATIM_REAL_AUDIO")


def noise(seconds: float, seed: int = 0) -> Tensor:
    samples = round(seconds * RATE)
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def tones(seconds: float) -> Tensor:
    """Three tones that come and go, over almost nothing."""
    time = torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    waves = sum(
        torch.sin(2 * torch.pi * hertz * time) * torch.sin(torch.pi * hertz / 90 * time).clamp(min=0)
        for hertz in (110.0, 997.0, 6900.0)
    )
    assert isinstance(waves, Tensor)
    return (0.2 * waves + 1e-5 * noise(seconds).double()).float()


def silence(seconds: float) -> Tensor:
    return torch.zeros(round(seconds * RATE))


def clipped(seconds: float) -> Tensor:
    """As loud as samples can be."""
    return noise(seconds, 1).sign()


def click(seconds: float) -> Tensor:
    """Silence with one sample at full scale at its very end."""
    samples = silence(seconds)
    samples[-1] = 1.0
    return samples


SOUNDS = [noise, tones, silence, clipped, click]


def extractor(n_mels: int, seconds: int = 30) -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=n_mels, chunk_length=seconds)


def openai_log_mel(samples: Tensor, n_mels: int) -> Tensor:
    """openai/whisper's for a whole recording, without the silence it appends: (n_mels, S // 160)."""
    whole = openai("audio").log_mel_spectrogram(samples, n_mels, padding=WINDOW_SILENCE)
    return whole[:, : len(samples) // mel.HOP_LENGTH]  # type: ignore[no-any-return]


def whole_log_mel(samples: Tensor, n_mels: int) -> Tensor:
    """Ours for a whole recording."""
    frames = mel.frames_of(samples, 0, len(samples) // mel.HOP_LENGTH, n_mels)
    return mel.normalise(frames, mel.maximum(samples, n_mels))


def largest(left: Tensor, right: Tensor) -> float:
    assert left.shape == right.shape
    return float((left - right).abs().max())


@pytest.mark.parametrize("n_mels", [80, 128])
def test_the_filters_are_those_of_both_libraries(n_mels: int) -> None:
    filters = mel.mel_filters(n_mels)
    assert filters.shape == (n_mels, 201)
    assert largest(filters, openai("audio").mel_filters("cpu", n_mels)) < 1e-7
    theirs = torch.from_numpy(np.asarray(extractor(n_mels).mel_filters)).float().T
    assert largest(filters, theirs) < 1e-7


@pytest.mark.parametrize("seconds", [1, 2, 7])
@pytest.mark.parametrize("n_mels", [80, 128])
def test_full_windows_are_those_of_transformers(n_mels: int, seconds: int) -> None:
    batch = torch.stack([make(seconds) for make in SOUNDS])
    features = extractor(n_mels, seconds)(list(batch.numpy()), sampling_rate=RATE, return_tensors="pt")
    found = mel.log_mel(batch, n_mels)
    assert found.shape == (len(SOUNDS), n_mels, seconds * 100)
    for row, expected in zip(found, features.input_features, strict=True):
        assert largest(row, expected) < TOLERANCE


def test_a_whisper_window_is_that_of_transformers() -> None:
    samples = tones(30)
    expected = extractor(80)(samples.numpy(), sampling_rate=RATE, return_tensors="pt").input_features
    assert largest(mel.log_mel(samples[None], 80), expected) < TOLERANCE


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    batch = torch.stack([noise(1), clipped(1)])
    assert largest(mel.log_mel(batch, 80)[0], mel.log_mel(batch[:1], 80)[0]) < 1e-6


# openai/whisper: one maximum for the whole recording


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("seconds", [0.1, 1.003, 3.3333])
@pytest.mark.parametrize("make", SOUNDS)
def test_whole_recordings_are_those_of_openai_whisper(make: object, seconds: float, n_mels: int) -> None:
    samples = make(seconds)  # type: ignore[operator]
    assert largest(whole_log_mel(samples, n_mels), openai_log_mel(samples, n_mels)) < TOLERANCE


@pytest.mark.parametrize("behind", [1, 39, 40, 100, 159, 160, 199])
def test_the_maximum_is_heard_in_the_frames_that_reach_over_the_end(behind: int) -> None:
    """A click in the last samples is loudest in a frame whose centre lies after the recording."""
    samples = noise(1.0) * 1e-3
    samples[-behind] = 1.0
    expected = openai_log_mel(samples, 80)
    assert largest(whole_log_mel(samples, 80), expected) < TOLERANCE


def test_a_loud_stretch_elsewhere_sets_the_floor() -> None:
    samples = torch.cat([noise(1) * 1e-4, clipped(0.5), noise(1) * 1e-4])
    found = mel.normalise(mel.frames_of(samples, 0, 90, 80), mel.maximum(samples, 80))
    assert largest(found, openai_log_mel(samples, 80)[:, :90]) < TOLERANCE
    own = mel.frames_of(samples, 0, 90, 80)
    assert largest(found, mel.normalise(own, float(own.max()))) > 0.1


@pytest.mark.parametrize("block", [1, 7, 100, 10_000])
def test_the_maximum_does_not_depend_on_how_it_is_gone_through(block: int) -> None:
    samples = torch.cat([noise(0.3), clipped(0.1), noise(0.4)])
    assert mel.maximum(samples, 80, block) == pytest.approx(mel.maximum(samples, 80), abs=1e-5)


@pytest.mark.parametrize(
    ("start", "count"), [(0, 1), (0, 3), (1, 1), (1, 9), (2, 5), (37, 40), (98, 2), (99, 1), (95, 30), (101, 4)]
)
def test_a_part_is_the_part_of_the_whole(start: int, count: int) -> None:
    """Also at the mirrored beginning, and where silence follows the end."""
    samples = noise(1.0037)
    silent = torch.cat([samples, silence(1)])
    stft = torch.stft(silent, 400, 160, window=torch.hann_window(400), return_complex=True)
    whole = (mel.mel_filters(80) @ stft.abs() ** 2).clamp(min=1e-10).log10()
    found = mel.frames_of(samples, start, count, 80)
    assert found.shape == (80, count)
    # log10 magnifies rounding where a frame holds a few samples alone
    assert largest(found, whole[:, start : start + count]) < 1e-3
    normalised = mel.normalise(found, float(whole.max()))
    assert largest(normalised, mel.normalise(whole, float(whole.max()))[:, start : start + count]) < TOLERANCE


@pytest.mark.parametrize("length", [1, 2, 40, 159, 160, 199, 200, 201, 202, 401])
def test_recordings_too_short_to_mirror(length: int) -> None:
    samples = noise(1)[:length]
    whole = openai("audio").log_mel_spectrogram(samples, 80, padding=WINDOW_SILENCE)[:, :4]
    frames = mel.frames_of(samples, 0, 4, 80)
    assert largest(mel.normalise(frames, float(frames.max())), whole) < TOLERANCE


def test_silence_is_the_floor() -> None:
    assert (mel.frames_of(silence(1), 0, 100, 80) == mel.LOG_FLOOR).all()
    assert mel.maximum(silence(1), 80) == mel.LOG_FLOOR
    assert whole_log_mel(silence(1), 80).unique().tolist() == [-1.5]  # (-10 + 4) / 4


def test_normalise_by_hand() -> None:
    found = mel.normalise(torch.tensor([2.0, 0.0, -5.0, -6.5, -10.0]), 2.0)
    assert found.tolist() == [1.5, 1.0, -0.25, -0.5, -0.5]


@pytest.mark.skipif(REAL_AUDIO is None, reason="LITERATIM_REAL_AUDIO names no recording")
@pytest.mark.parametrize("n_mels", [80, 128])
def test_a_real_recording(n_mels: int) -> None:
    from literatim.audio.decode import decode

    assert REAL_AUDIO is not None
    samples = torch.from_numpy(decode(Path(REAL_AUDIO)).samples[0])
    assert largest(whole_log_mel(samples, n_mels), openai_log_mel(samples, n_mels)) < TOLERANCE
    window = torch.nn.functional.pad(samples, (0, 30 * RATE))[: 30 * RATE]
    expected = extractor(n_mels)(window.numpy(), sampling_rate=RATE, return_tensors="pt").input_features
    assert largest(mel.log_mel(window[None], n_mels), expected) < TOLERANCE
