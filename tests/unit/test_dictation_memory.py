"""An hour of dictation takes no more memory than a few minutes of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from literatim.api import MedasrRecognizer, load
from literatim.audio.strides import Strider
from literatim.options import TranscribeOptions
from literatim.pipeline import dictation
from literatim.pipeline.dictation import Window, Writer
from medasr_builders import random_lasr_folder

RATE = 16_000


def windows(model: MedasrRecognizer, minutes: float) -> Iterator[Window]:
    """Of a recording that is made as it is read."""
    strider, tones = Strider(dictation.strides(model._listener, TranscribeOptions())), np.random.default_rng(1)
    parts: Any = (part for _ in range(round(60 * minutes)) for part in [tones.uniform(0.05, 2.5)])
    number = 0
    for tone in parts:
        for chunk in strider.push(torch.from_numpy((0.1 * np.sin(tone * np.arange(RATE))).astype(np.float32))):
            yield Window(0, 0, number, chunk)
            number += 1
    for chunk in strider.finish():
        yield Window(0, 0, number, chunk)


def peak(model: MedasrRecognizer, minutes: float) -> tuple[int, int, int]:
    """Bytes that Python and numpy held at most, steps that waited to be told at most, and segments."""
    writer, most, told = Writer(model._listener, True), 0, 0
    tracemalloc.start()
    for heard in dictation.run(model._listener, windows(model, minutes), TranscribeOptions(batch_size=4)):
        told += len(writer.take(heard))
        most = max(most, len(writer._steps))
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held, most, told


def test_windows_are_forgotten(tmp_path: Path) -> None:
    """What waits is a minute's steps at most, and does not grow with the recording."""
    tiny = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "subsampling_conv_channels": 4}
    model = load(random_lasr_folder(tmp_path, 5, **tiny), device="cpu")
    assert isinstance(model, MedasrRecognizer)
    short, long = peak(model, 2), peak(model, 7)
    assert long[2] > 3 * short[2] > 0
    assert long[1] < 60 * 25 + 500
    assert long[0] < 1.3 * short[0] + 500_000


@pytest.mark.slow
def test_an_hour(tmp_path: Path) -> None:
    """The same for an hour."""
    tiny = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "subsampling_conv_channels": 4}
    model = load(random_lasr_folder(tmp_path, 5, **tiny), device="cpu")
    assert isinstance(model, MedasrRecognizer)
    short, long = peak(model, 5), peak(model, 60)
    assert long[2] > 10 * short[2] > 0
    assert long[1] < 60 * 25 + 500
    assert long[0] < 1.3 * short[0] + 500_000
