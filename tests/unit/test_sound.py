"""Long recordings that are not held: the same samples, features and text, whatever they come from."""

from __future__ import annotations

import io
import subprocess
import sys
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from literatim.api import Recognizer, load
from literatim.audio import mel, sound
from literatim.audio.chunks import Cutter
from literatim.audio.decode import Stream, decode
from literatim.audio.silero import load_silero
from literatim.audio.sound import Sliding, channels, digest, peak
from literatim.audio.vad import Limits
from literatim.demo import recording_path
from literatim.options import AudioOptions, VadOptions
from reference.transcripts import same

RATE = 16_000
SECONDS = 100
SPLIT = AudioOptions(channels="split")


def samples() -> np.ndarray:
    """(2, S) int16."""
    random = np.random.default_rng(3)
    return (random.uniform(-0.2, 0.2, (2, SECONDS * RATE)) * 32767).astype(np.int16)


def write(path: Path, content: np.ndarray) -> Path:
    """(C, S) int16 at 16 kHz."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(len(content))
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(content.T.tobytes())
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sound") / "long.wav", samples())


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are held where it would be minutes."""
    monkeypatch.setattr(sound, "HELD", 2 * RATE)
    monkeypatch.setattr(sound, "BACK", 9 * RATE)


class Pipe(io.RawIOBase):
    """Bytes that come once."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        return self._data.read(count)

    def seekable(self) -> bool:
        return False


def behind(data: bytes) -> io.BytesIO:
    """A file object that stands after something else."""
    found = io.BytesIO(b"something else" + data)
    found.seek(14)
    return found


WAYS: dict[str, Any] = {
    "path": lambda path: path,
    "bytes": lambda path: path.read_bytes(),
    "pipe": lambda path: Pipe(path.read_bytes()),
    "file object": lambda path: behind(path.read_bytes()),
    "array": lambda path: samples(),
}


def sliding(source: Any, **options: Any) -> list[Sliding]:
    found = [item.samples for item in channels(Stream(source, options=SPLIT), 80, **options) if item is not None]
    assert all(isinstance(item, Sliding) for item in found)
    return found  # type: ignore[return-value]


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize("way", WAYS)
def test_samples_are_the_same_wherever_they_are_asked_for(way: str, file: Path) -> None:
    whole = [torch.from_numpy(channel.copy()) for channel in decode(file, options=SPLIT).samples]
    found = sliding(WAYS[way](file))
    assert len(found) == 2
    places = [*range(0, SECONDS * RATE, 7 * RATE), 3 * RATE, 0, 99 * RATE, SECONDS * RATE - 5]
    for place in places:  # by turns: each has a place of its own in the file
        for one, expected in zip(found, whole, strict=True):
            assert len(one) == len(expected)
            assert torch.equal(one[place : place + 30 * RATE], expected[place : place + 30 * RATE])
            assert len(one._held) < 45 * RATE
    for one, expected in zip(found, whole, strict=True):
        assert digest(one) == digest(expected)
        assert peak(one, 80) == peak(expected, 80) == mel.maximum(expected, 80)
        assert one.lost is None


@pytest.mark.usefixtures("_few")
def test_features_are_the_same_to_the_last_bit(file: Path) -> None:
    """Of windows from any frame on, the first and the last among them."""
    expected = torch.from_numpy(decode(file).samples[0].copy())
    (found,) = [item.samples for item in channels(Stream(file), 80) if item is not None]
    for start in (0, 1, 12, 2999, 7001, SECONDS * 100 - 3000, SECONDS * 100 - 40):
        count = min(3000, SECONDS * 100 - start)
        ours, theirs = (mel.normalise(mel.frames_of(one, start, count, 80), peak(one, 80)) for one in (found, expected))
        assert torch.equal(ours, theirs)


def test_a_short_recording_is_held(file: Path) -> None:
    (found,) = channels(Stream(file), 80)
    assert found is not None
    assert isinstance(found.samples, torch.Tensor)
    assert torch.equal(found.samples, torch.from_numpy(decode(file).samples[0].copy()))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2000), st.lists(st.integers(0, 1500), max_size=6))
def test_the_maximum_of_pieces_is_that_of_all_frames(loud: int, cuts: list[int]) -> None:
    random = np.random.default_rng(loud)
    noise = torch.from_numpy(0.01 * random.standard_normal(loud + 1500).astype(np.float32))
    noise[loud : loud + 3] = 0.9
    frames = -(-(len(noise) + 200) // 160)
    expected = float(mel.frames_of(noise, 0, frames, 80).max())
    found = mel.Maximum(80, block=3)
    for start, stop in pairwise([0, *sorted(cuts), len(noise)]):
        found.push(noise[start:stop])
    assert found.finish() == pytest.approx(expected, abs=1e-5)
    assert found.finish() == mel.maximum(noise, 80, block=3)


def cutter() -> Cutter:
    return Cutter(load_silero(), Limits.of(VadOptions()), 0)


def spoken() -> np.ndarray:
    """(1, S) int16: the bundled meeting, with seconds of silence between and around."""
    whole = decode(recording_path("meeting")).samples[0]
    parts = [np.zeros(3 * RATE, np.float32)]
    for at in range(0, len(whole), 12 * RATE):
        parts += [whole[at : at + 12 * RATE], np.zeros(3 * RATE, np.float32)]
    return (np.concatenate(parts) * 32767).astype(np.int16)[None]


def test_speech_alone_is_the_same_held_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "spoken.wav", spoken())
    (held,) = channels(Stream(path), 80, cutter)
    monkeypatch.setattr(sound, "HELD", 5 * RATE)
    monkeypatch.setattr(sound, "BACK", RATE)
    (found,) = channels(Stream(path), 80, cutter)
    assert held is not None
    assert found is not None
    assert isinstance(found.samples, Sliding)
    assert held.timeline is not None
    assert found.timeline is not None
    assert len(found.timeline.spans) > 3
    assert found.timeline.spans == held.timeline.spans
    assert len(found.samples) == len(held.samples) == len(found.timeline)
    for start in range(0, len(held.samples), 4 * RATE):
        assert torch.equal(found.samples[start : start + 9 * RATE], held.samples[start : start + 9 * RATE])
    assert digest(found.samples) == digest(held.samples)


GROWTH = """
import resource, sys
from literatim.audio.decode import Stream
from literatim.audio.sound import channels
def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
list(channels(Stream(sys.argv[1]), 80))
before = most()
(found,) = channels(Stream(sys.argv[2]), 80)
for start in range(0, len(found.samples), 30 * 16000):
    found.samples[start : start + 30 * 16000]
print(most() - before, len(found.samples))
"""


@pytest.mark.slow
def test_an_hour_needs_no_more_memory_than_minutes(tmp_path: Path) -> None:
    """In a process of its own, beyond what 11 minutes need; the hour itself has 230 MB."""
    paths = [write(tmp_path / f"{minutes}.wav", np.zeros((1, minutes * 60 * RATE), np.int16)) for minutes in (11, 60)]
    done = subprocess.run([sys.executable, "-c", GROWTH, *map(str, paths)], check=True, capture_output=True, text=True)
    growth, length = map(int, done.stdout.split())
    assert length == 3600 * RATE
    assert growth < 30_000, growth  # kB


# whole transcripts


@pytest.fixture(scope="module")
def demo() -> Recognizer:
    return load("demo", device="cpu", assistant="none")


@pytest.mark.parametrize(
    "asked", [{"temperature": 0.7}, {"vad_filter": True}, {"clip_timestamps": (9.0, 21.0, 3.0, 7.0)}]
)
def test_a_long_recording_says_the_same_as_one_that_is_held(
    asked: dict[str, Any], demo: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sampled, so that the noise is the same too; without silence; and parts of it, one of them further back."""
    held = demo.transcribe(recording_path("noisy"), language="en", **asked)
    monkeypatch.setattr(sound, "HELD", 5 * RATE)
    monkeypatch.setattr(sound, "BACK", RATE)
    same(demo.transcribe(recording_path("noisy"), language="en", **asked), held)
    assert len(held.segments) > 1


@pytest.mark.usefixtures("_few")
def test_a_recording_that_changes_while_it_is_read_is_told(
    demo: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut after 12 s as soon as it was gone through once."""
    whole, path = spoken(), tmp_path / "growing.wav"
    write(path, whole[:, : 40 * RATE])
    finish = mel.Maximum.finish

    def cut(found: mel.Maximum) -> float:
        write(path, whole[:, : 12 * RATE])
        return finish(found)

    monkeypatch.setattr(mel.Maximum, "finish", cut)
    found = demo.transcribe(path, language="en")
    assert found.duration == 40
    assert any("changed while it was read: nothing was heard after 12.00 s" in warning for warning in found.warnings)
    monkeypatch.setattr(mel.Maximum, "finish", finish)
    write(path, whole[:, : 40 * RATE])
    assert demo.transcribe(path, language="en").warnings == ()
