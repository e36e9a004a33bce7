"""MedASR's features against transformers' LasrFeatureExtractor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LasrFeatureExtractor

from literatim.audio import lasr

RATE = 16_000


def sounds() -> list[np.ndarray]:
    """A sweep, noise, silence with a click, something very loud, and short ones to the sample."""
    random = np.random.default_rng(0)
    time = np.arange(3 * RATE) / RATE
    sweep = 0.3 * np.sin(2 * np.pi * (50 + 1200 * time) * time)
    click = np.zeros(RATE // 2)
    click[4000] = 1.0
    short = [0.1 * random.standard_normal(length) for length in (400, 401, 559, 560, 719, 720)]
    return [
        part.astype(np.float32) for part in (sweep, 0.05 * random.standard_normal(37_777), click, 40 * sweep, *short)
    ]


@pytest.mark.parametrize("n_mels", [128, 80])
def test_features(n_mels: int) -> None:
    """Each sound alone: as many frames, and the same to a tenth of what float32 can tell apart."""
    extractor = LasrFeatureExtractor(feature_size=n_mels)
    for sound in sounds():
        wanted = extractor(sound, sampling_rate=RATE)["input_features"][0]
        found = lasr.log_mel(torch.from_numpy(sound), n_mels)
        assert found.shape == (lasr.frames(len(sound)), n_mels)
        torch.testing.assert_close(found, torch.as_tensor(wanted), atol=2e-6, rtol=0)


def test_batches_and_their_masks() -> None:
    """Sounds padded to the longest: frames that are a row's own are those that transformers' mask names."""
    made = sounds()
    batch = LasrFeatureExtractor()(made, sampling_rate=RATE, return_attention_mask=True, return_tensors="pt")
    for sound, wanted, mask in zip(made, batch["input_features"], batch["attention_mask"], strict=True):
        assert int(mask.sum()) == lasr.frames(len(sound))
        found = lasr.log_mel(torch.from_numpy(sound))
        torch.testing.assert_close(found, wanted[: len(found)], atol=2e-6, rtol=0)


def test_more_than_a_block() -> None:
    """A long sound is transformed in parts, which shows nowhere; rows of a batch stand alone."""
    sound = torch.randn(2, lasr.samples(lasr.BLOCK + 5), generator=torch.Generator().manual_seed(1))
    found = lasr.log_mel(sound)
    wanted = LasrFeatureExtractor()(sound.numpy(), sampling_rate=RATE, return_tensors="pt")["input_features"]
    assert found.shape == (2, lasr.BLOCK + 5, 128)
    torch.testing.assert_close(found, wanted, atol=2e-6, rtol=0)


def test_too_short_for_a_frame() -> None:
    """No frames, rather than an error from inside torch."""
    assert lasr.log_mel(torch.zeros(399)).shape == (0, 128)
    assert [lasr.frames(count) for count in (0, 399, 400, 559, 560)] == [0, 0, 1, 1, 2]
