"""Where speech is: beside the package silero-vad, and what holds of any cut."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from literatim.audio import silero
from literatim.audio.chunks import Chunk, Cutter, Parts, Timeline
from literatim.audio.decode import decode
from literatim.audio.silero import FRAME, Silero, load_silero
from literatim.audio.vad import Detector, Limits, Span, Speech, Spotter, quietest
from literatim.demo import recording_path
from literatim.errors import DependencyError
from literatim.options import VadOptions
from literatim.train import sounds
from reference.silero import ask

RATE = 16_000
WAYS: list[dict[str, Any]] = [
    {"min_speech_duration_ms": 0, "min_silence_duration_ms": 160, "speech_pad_ms": 400},
    {},  # the package's own defaults
    {"threshold": 0.8, "neg_threshold": 0.2, "min_speech_duration_ms": 500, "speech_pad_ms": 0},
    {"threshold": 0.02, "min_silence_duration_ms": 0, "speech_pad_ms": 100},
    {"min_silence_duration_ms": 2000, "speech_pad_ms": 1000, "min_speech_duration_ms": 100},
]


def options(way: dict[str, Any]) -> VadOptions:
    """Ours for the package's."""
    given = {"min_speech_duration_ms": 250, "min_silence_duration_ms": 100, "speech_pad_ms": 30, **way}
    return VadOptions(**{f"vad_{name}": value for name, value in given.items()})


def random_run(number: int) -> list[float]:
    """Probabilities that dwell high and low, with excursions; never at a threshold."""
    random = np.random.default_rng(number)
    high = np.repeat(random.random(60) < 0.5, random.integers(1, 40, 60))
    values = np.where(high, 0.9, 0.05) + random.uniform(-0.3, 0.3, len(high)) * (random.random(len(high)) < 0.5)
    return np.clip(values, 1e-6, 1).tolist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def recordings() -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    found = {name: decode(recording_path(name)).samples[0][: 20 * RATE + 77] for name in ("meeting", "noisy")}
    if given := os.environ.get("LITERATIM_RECORDING"):
        found["given"] = decode(given).samples[0]
    found |= {make.__name__: 0.1 * make(random, 4 * RATE + 5) for make in sounds.KINDS}
    return {**found, "silence": np.zeros(RATE, np.float32), "short": found["meeting"][RATE : RATE + 200]}


@pytest.fixture(scope="module")
def package(recordings: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return ask(tmp_path_factory.mktemp("silero"), recordings, WAYS, [random_run(number) for number in range(60)])


@pytest.fixture(scope="module")
def network() -> Silero:
    return load_silero()


def probabilities(network: Silero, samples: np.ndarray, piece: int | None = None) -> Tensor:
    detector, sound = Detector(network), torch.from_numpy(samples)
    return torch.cat([*(detector.push(part) for part in sound.split(piece or len(sound))), detector.finish()])


def test_probabilities_are_the_packages(network: Silero, recordings: dict[str, np.ndarray], package: Any) -> None:
    for name, samples in recordings.items():
        expected = torch.tensor(package["sounds"][name]["probabilities"])
        torch.testing.assert_close(probabilities(network, samples), expected, atol=1e-4, rtol=0)
    everything = [p for answer in package["sounds"].values() for p in answer["probabilities"]]
    assert min(everything) < 0.01
    assert max(everything) > 0.99


def test_spans_are_the_packages(network: Silero, recordings: dict[str, np.ndarray], package: Any) -> None:
    for name, samples in recordings.items():
        for way, expected in zip(WAYS, package["sounds"][name]["spans"], strict=True):
            speech = Speech(network, Limits.of(options(way)))
            found = [*speech.push(torch.from_numpy(samples)), *speech.finish()]
            assert [list(span) for span in found] == expected
    assert len(package["sounds"]["meeting"]["spans"][1]) > 5


def test_spans_of_any_probabilities_are_the_packages(package: Any) -> None:
    for number, expected in enumerate(package["runs"]):
        run = random_run(number)
        spotter = Spotter(Limits.of(options(WAYS[number % len(WAYS)])))
        found = [span for probability in run for span in spotter.push(probability, 0.0)]
        assert [list(span) for span in [*found, *spotter.finish(FRAME * len(run))]] == expected
    assert sum(len(spans) for spans in package["runs"]) > 300


@pytest.mark.parametrize("piece", [1, 333, 16_000])
def test_pieces_of_any_length_give_the_same(piece: int, network: Silero, recordings: dict[str, np.ndarray]) -> None:
    samples = recordings["noisy"][: RATE if piece == 1 else None]
    whole = probabilities(network, samples)
    assert len(whole) == -(-len(samples) // FRAME)
    assert torch.equal(probabilities(network, samples, piece), whole)


def cut(samples: Tensor, longest: int | None, network: Silero | None, piece: int = 5000, **given: Any) -> list[Chunk]:
    cutter = Cutter(network, Limits.of(VadOptions(**given), longest), longest)
    found = [chunk for part in samples.split(piece) for chunk in cutter.push(part)]
    found += cutter.finish()
    assert cutter.total == len(samples)
    return found


def spans(chunks: list[Chunk]) -> list[Span]:
    return [span for chunk in chunks for span in chunk.timeline.spans]


@pytest.mark.parametrize("seconds", [2, 8, 30, None])
def test_chunks_are_the_recordings_own_samples(
    seconds: int | None, network: Silero, recordings: dict[str, np.ndarray]
) -> None:
    samples, longest = torch.from_numpy(recordings["meeting"]), None if seconds is None else seconds * RATE
    chunks = cut(samples, longest, network)
    assert len(chunks) == 1 if seconds is None else len(chunks) >= 20 // seconds
    for chunk in chunks:
        parts = [samples[start:end] for start, end in chunk.timeline.spans]
        assert torch.equal(chunk.samples, torch.cat(parts))
        assert len(chunk.timeline) == len(chunk.samples)
        assert longest is None or len(chunk.samples) <= longest
    flat = [time for span in spans(chunks) for time in span]
    assert flat == sorted(flat)


@settings(max_examples=30, deadline=None)
@given(
    points=st.lists(st.integers(0, 9_000), min_size=1, max_size=6, unique=True).map(sorted),
    piece=st.integers(1, 4_000),
    longest=st.sampled_from([0, 700]),
)
def test_parts_are_cut_as_recordings_of_their_own(points: list[int], piece: int, longest: int) -> None:
    """However the samples come in; a part behind the end is none, the last may be open."""
    samples, limits = torch.arange(8_000, dtype=torch.float32), Limits.of(VadOptions(vad_speech_pad_ms=0), 700)
    asked = list(zip_longest(points[::2], points[1::2]))
    cutter = Parts(lambda: Cutter(None, limits, longest), asked)
    found = [chunk for part in samples.split(piece) for chunk in cutter.push(part)] + [*cutter.finish()]
    told: list[int] = []
    for start, stop in asked:
        own, part = Cutter(None, limits, longest), samples[start:stop]
        told += [len(chunk.samples) for chunk in ([*own.push(part), *own.finish()] if len(part) else [])]
    assert [len(chunk.samples) for chunk in found] == told
    for chunk in found:
        assert torch.equal(chunk.samples, torch.cat([samples[start:end] for start, end in chunk.timeline.spans]))
    assert sum(told) == sum(len(samples[start:stop]) for start, stop in asked)


@settings(max_examples=40)
@given(number=st.integers(0, 10_000), longest=st.sampled_from([2.0, 4.5, 8.0, 30.0]), pad=st.sampled_from([0, 30, 400]))
def test_long_speech_is_cut_and_none_of_it_lost(number: int, longest: float, pad: int) -> None:
    """Each frame of speech is in a span, once; none is longer than allowed."""
    random = np.random.default_rng(number)
    run = np.repeat(random.random(30) < 0.8, random.integers(1, 200, 30)).astype(float)
    limits = Limits.of(VadOptions(vad_speech_pad_ms=pad), round(longest * RATE))
    spotter = Spotter(limits)
    found = [span for probability in run for span in spotter.push(probability, random.random())]
    found += spotter.finish(FRAME * len(run))
    held = np.zeros(FRAME * len(run), int)
    for start, end in found:
        assert 0 < end - start <= round(longest * RATE)
        held[start:end] += 1
    assert held.max(initial=0) <= 1
    assert held.reshape(-1, FRAME)[run > 0].all()


def test_a_cut_is_where_it_hurts_least() -> None:
    sure, loud = [0.99] * 40, [1.0] * 40
    assert quietest(np.column_stack([sure, loud[:20] + [0.0] * 5 + loud[25:]])) == 22
    doubtful = sure[:30] + [0.2] * 5 + sure[35:]
    assert quietest(np.column_stack([doubtful, loud[:20] + [0.0] * 5 + loud[25:]])) == 32
    assert quietest(np.array([[0.5, 1.0]])) == 0


def test_without_a_detector_all_of_it_is_kept_and_cut_in_quiet_places() -> None:
    random = np.random.default_rng(0)
    loud = np.where(np.arange(60 * RATE) % (3 * RATE) < 2.6 * RATE, 0.3, 0.001)  # 0.4 s of quiet in 3 s
    samples = torch.from_numpy((loud * random.standard_normal(60 * RATE)).astype(np.float32))
    chunks = cut(samples, 8 * RATE, None, vad_speech_pad_ms=0)
    assert torch.equal(torch.cat([chunk.samples for chunk in chunks]), samples)
    assert 8 <= len(chunks) <= 15
    assert all(len(chunk.timeline.spans) == 1 for chunk in chunks)
    ends = [chunk.timeline.spans[0][1] for chunk in chunks[:-1]]
    assert all(end % (3 * RATE) >= 2.6 * RATE for end in ends)


@given(st.lists(st.integers(1, 50), min_size=2, max_size=12))
def test_times_come_back_to_the_sample(steps: list[int]) -> None:
    edges = np.cumsum(steps)[: len(steps) // 2 * 2].reshape(-1, 2)
    there = [(int(start), int(end)) for start, end in edges]
    timeline = Timeline(there)
    samples = [sample for start, end in there for sample in range(start, end)]
    assert len(timeline) == len(samples)
    assert [timeline.sample(place) for place in range(len(samples))] == samples
    ends = [timeline.sample(place, closing=True) for place in range(1, len(samples) + 1)]
    assert ends == [sample + 1 for sample in samples]
    assert timeline.sample(len(samples) + 7) == there[-1][1]
    assert timeline.sample(0, closing=True) == there[0][0]
    exact = [timeline.seconds(place / RATE) for place in range(len(samples))]
    assert exact == [sample / RATE for sample in samples]


def test_speech_under_noise_is_found_and_noises_are_not(network: Silero) -> None:
    """The network does take some music for speech: what is said of that is up to the model's own thresholds."""
    random = np.random.default_rng(1)
    for make in (sounds.noise, sounds.hum, sounds.coughs):
        assert cut(torch.from_numpy(0.1 * make(random, 5 * RATE)), 8 * RATE, network) == [], make.__name__
    noisy = torch.from_numpy(decode(recording_path("noisy")).samples[0].copy())
    assert sum(len(chunk.samples) for chunk in cut(noisy, 8 * RATE, network)) > 10 * RATE


def test_the_package_is_not_imported_and_threads_stay() -> None:
    code = (
        "import sys, torch; before = torch.get_num_threads(); from literatim.audio.silero import load_silero; "
        "load_silero(); assert 'silero_vad' not in sys.modules; assert torch.get_num_threads() == before; print('ok')"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "3"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert found.stdout == "ok\n"


def test_a_missing_or_old_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(_: str) -> Any:
        raise PackageNotFoundError

    monkeypatch.setattr(silero, "distribution", missing)
    with pytest.raises(DependencyError, match="pip install silero-vad"):
        load_silero()

    class Old:
        def locate_file(self, name: str) -> Path:
            return tmp_path / name

    monkeypatch.setattr(silero, "distribution", lambda _: Old())
    with pytest.raises(DependencyError, match=r"silero-vad>=6\.2\.3"):
        load_silero()
    there = tmp_path / silero._WEIGHTS
    there.parent.mkdir(parents=True)
    for content in (b"", b"\x3a", b"\x3a\x05abc", b"not ONNX", bytes(range(256))):
        there.write_bytes(content)
        with pytest.raises(DependencyError, match=r"silero-vad>=6\.2\.3"):
            load_silero()
