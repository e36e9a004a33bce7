"""`load(precision=...)`: inference runs under it, a caller between two segments does not; and what a load warns of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from literatim import device as devices
from literatim.api import Recognizer, load
from literatim.errors import OptionError
from literatim.pipeline.engine import Engine
from whisper_builders import random_whisper_folder

OPTIONS: dict[str, Any] = {
    "language": "en",
    "no_speech_threshold": None,
    "temperature": 0.0,
    "max_new_tokens": 4,
    "strategy": "sequential",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("precision") / "model", 3)


@pytest.fixture
def audio() -> np.ndarray[Any, Any]:
    return np.random.default_rng(2).uniform(-0.3, 0.3, 100_000).astype(np.float32)


@dataclass
class Levels:
    """The precision in force at each run of the encoder, and those entered and not left."""

    seen: list[str]
    now: list[str]


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> Levels:
    """Written down instead of set."""
    found = Levels([], ["none"])

    @contextmanager
    def precision(level: str, device: torch.device) -> Iterator[None]:
        assert device.type == "cpu"
        found.now.append(level)
        yield
        found.now.pop()

    listen = Engine.listen

    def heard(self: Engine, windows: Any, start: int = 0) -> None:
        found.seen.append(found.now[-1])
        listen(self, windows, start)

    monkeypatch.setattr(devices, "precision", precision)
    monkeypatch.setattr(Engine, "listen", heard)
    return found


@pytest.mark.parametrize("level", ["default", "highest"])
def test_inference_runs_under_it(level: str, folder: Path, audio: Any, levels: Levels) -> None:
    recognizer = load(folder, device="cpu", precision=level)
    assert recognizer.precision == level
    recognizer.transcribe(audio, **OPTIONS)
    assert set(levels.seen) == {level}
    for _ in recognizer.stream(audio, **OPTIONS):
        assert levels.now[-1] == "none"
    for _ in recognizer.transcribe_many([audio, audio], **OPTIONS):
        assert levels.now[-1] == "none"
    assert set(levels.seen) == {level}
    assert len(levels.seen) >= 3


def test_an_unknown_precision(folder: Path) -> None:
    with pytest.raises(OptionError, match="precision is 'exact'; choose one of default, highest"):
        load(folder, device="cpu", precision="exact")


def test_remarks_are_warned_of_and_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "remarks", lambda device, asked: (f"{device} was asked for as {asked}",))
    with pytest.warns(devices.DeviceWarning, match="cpu was asked for as cpu"):
        recognizer = load(folder, device="cpu")
    assert recognizer.warnings == ("cpu was asked for as cpu",)


def test_a_recognizer_says_where_it_is(folder: Path) -> None:
    recognizer = load(folder, device="cpu")
    assert isinstance(recognizer, Recognizer)
    assert recognizer.device == torch.device("cpu")
    assert recognizer.warnings == ()
