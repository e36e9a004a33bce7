"""Filter bank features against kaldi-native-fbank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import literatim
from literatim.audio import fbank as ours
from literatim.audio.decode import decode
from literatim.audio.lasr import BLOCK, frames, samples
from reference.kaldi import kaldi

DEMO = Path(literatim.__file__).parent / "demo"
QUIET = 20.0  # nats, 87 dB: a band so far below its frame's loudest is mostly rounding in Kaldi's float32 transform


def noise(length: int, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """(length,) float32."""
    return (level * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


def compare(sound: np.ndarray, n_mels: int = 80) -> None:
    """As many frames, and log-mel within 1e-3 wherever float32 can tell."""
    found, wanted = ours.fbank(torch.from_numpy(sound), n_mels).numpy(), kaldi(sound, n_mels)
    assert found.shape == wanted.shape == (frames(len(sound)), n_mels)
    if len(wanted):
        told = wanted.max(1, keepdims=True) - wanted < QUIET
        assert told.mean() > 0.999
        assert np.abs(found - wanted)[told].max() < 1e-3


@pytest.mark.parametrize("n_mels", [80, 40])
def test_random_sounds(n_mels: int) -> None:
    """Loud, barely there, silent, constant, a tone, a sweep, and short ones to the sample."""
    time = np.arange(32_000) / 16_000
    tones = [np.sin(2 * np.pi * 300 * time), 0.3 * np.sin(2 * np.pi * (50 + 1200 * time) * time)]
    sounds = [noise(16_000), noise(16_000, 1e-4), noise(16_000, 1.0), np.zeros(8000), np.full(4000, 0.5), *tones]
    for sound in [*sounds, *(noise(length, seed=length) for length in (399, 400, 401, 559, 560, 719, 720))]:
        compare(sound.astype(np.float32), n_mels)


@pytest.mark.parametrize(
    "name", ["clips/en-new-templates-0.flac", "clips/en-noise-15db-0.flac", "recordings/noisy.flac"]
)
def test_speech(name: str) -> None:
    """Synthetic speech, clean and in noise."""
    compare(decode(DEMO / name).samples[0])


def test_rows_of_a_batch_and_blocks() -> None:
    """A row stands alone, and that a long sound is transformed in parts shows nowhere."""
    sound = torch.from_numpy(noise(2 * samples(BLOCK + 5)).reshape(2, -1))
    found = ours.fbank(sound)
    assert found.shape == (2, BLOCK + 5, 80)
    for row, alone in zip(sound, found, strict=True):
        assert torch.equal(ours.fbank(row), alone)
        assert np.abs(alone.numpy() - kaldi(row.numpy())).max() < 1e-3


def test_centred() -> None:
    """Each row's mean is of its own frames alone, and what stands behind them is zero, whatever it was."""
    features = ours.fbank(torch.from_numpy(noise(8000)))
    alone = ours.centred(features)
    torch.testing.assert_close(alone.mean(0), torch.zeros(80), atol=1e-5, rtol=0)
    batch = torch.full((2, len(features) + 3, 80), torch.nan)
    batch[0, : len(features)], batch[1, :7] = features, features[:7]
    found = ours.centred(batch, torch.tensor([len(features), 7]))
    torch.testing.assert_close(found[0, : len(features)], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1, :7], ours.centred(features[:7]), atol=1e-5, rtol=0)
    assert not found[0, len(features) :].any()
    assert not found[1, 7:].any()
