"""Sounds that are not speech: coloured noise, hum, tones, coughs. As 16 kHz samples of unit variance."""

from __future__ import annotations

import numpy as np

RATE = 16_000


def _unit(samples: np.ndarray) -> np.ndarray:
    return (samples / max(float(samples.std()), 1e-9)).astype(np.float32)


def noise(rng: np.random.Generator, count: int) -> np.ndarray:
    """Noise with a random slope of its spectrum, sometimes swelling."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum *= (np.arange(len(spectrum)) + 50.0) ** -rng.uniform(0, 1)
    samples = np.fft.irfft(spectrum, count)
    if rng.random() < 0.33:
        samples *= 1 + 0.8 * np.sin(np.arange(count) / RATE * 2 * np.pi * rng.uniform(0.3, 4))
    return _unit(samples)


def hum(rng: np.random.Generator, count: int) -> np.ndarray:
    """Mains hum: 50 or 60 Hz and its harmonics over a little noise."""
    time, base = np.arange(count) / RATE, rng.choice([50.0, 60.0])
    waves = (rng.uniform(0.1, 1) / k * np.sin(2 * np.pi * base * k * time + rng.uniform(0, 6)) for k in range(1, 9))
    return _unit(np.sum(list(waves), axis=0) + 0.05 * rng.standard_normal(count))


def tones(rng: np.random.Generator, count: int) -> np.ndarray:
    """Music-like: chords of decaying harmonic tones that change a few times a second."""
    samples, at = np.zeros(count), 0
    while at < count:
        length = min(count - at, int(RATE * rng.uniform(0.15, 0.8)))
        time = np.arange(length) / RATE
        for _ in range(rng.integers(1, 4)):
            pitch = 110 * 2 ** (rng.integers(0, 36) / 12)
            for k in range(1, rng.integers(2, 6)):
                samples[at : at + length] += (
                    np.sin(2 * np.pi * pitch * k * time) / k * np.exp(-time * rng.uniform(1, 6))
                )
        at += length
    return _unit(samples)


def coughs(rng: np.random.Generator, count: int) -> np.ndarray:
    """Short bursts of band-shaped noise with a sharp onset, silence between them."""
    samples, at = np.zeros(count), int(rng.uniform(0, 0.5) * RATE)
    while at < count:
        length = min(count - at, int(RATE * rng.uniform(0.15, 0.45)))
        burst = noise(rng, max(length, 2))[:length]
        samples[at : at + length] += burst * np.exp(-np.arange(length) / RATE * rng.uniform(8, 20))
        at += length + int(RATE * rng.uniform(0.2, 3))
    return _unit(samples + 1e-4 * rng.standard_normal(count))


KINDS = (noise, hum, tones, coughs)
