"""Recorded steps: the same to the last bit, in memory of their own, and none where they would be wrong.

A device's graphs are stood in for by operators that are written down and run again (`recording`).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from literatim import device as devices
from literatim.api import Recognizer, load
from literatim.demo import recording_path
from literatim.models.config import WhisperConfig
from literatim.models.graphed import BEFORE, MOST, GraphedDecoder
from literatim.models.whisper import Decoder
from recording import Graph, record

CONFIG = WhisperConfig(8, 32, 1, 2, 64, 2, 2, 64, 90, 20, 100)
ROWS, LIMIT = 3, 64


@pytest.fixture
def decoder() -> Decoder:
    random, made = torch.Generator().manual_seed(3), Decoder(CONFIG)
    for value in made.parameters():
        value.data.normal_(generator=random).mul_(0.3)
    return made.eval().requires_grad_(False)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> type[Graph]:
    """A CPU that has them."""
    monkeypatch.setenv("LITERATIM_KERNELS", "none")
    monkeypatch.setattr(devices, "wants_graphs", lambda _: True)
    monkeypatch.setattr(devices, "record", record)
    monkeypatch.setattr(Graph, "replays", 0)
    return Graph


class Heard:
    """A decoder with recorded steps beside the same one without, each with a cache of its own and the same sound."""

    def __init__(self, decoder: Decoder) -> None:
        self.plain, self.graphed = copy.deepcopy(decoder), GraphedDecoder(decoder)
        self.states = torch.randn(ROWS, 20, 32, generator=torch.Generator().manual_seed(4))
        self.given: list[tuple[Tensor, Tensor]] = []
        self.caches = self.plain.allocate(ROWS), self.graphed.allocate(ROWS)
        self.plain.listen(self.states, self.caches[0])
        self.graphed.listen(self.states, self.caches[1])

    def both(self, number: int, fed: int = 2, rows: slice = slice(0, ROWS)) -> tuple[Tensor, Tensor]:
        """A step that nobody has fed before."""
        random, count = torch.Generator().manual_seed(number), rows.stop - rows.start
        tokens = torch.randint(0, 90, (count, fed), generator=random, dtype=torch.int32)
        lengths = torch.randint(0, LIMIT - fed, (count,), generator=random, dtype=torch.int32)
        self.given += [(tokens, tokens.clone()), (lengths, lengths.clone())]
        wanted, found = (cache.part(rows.start, count) for cache in self.caches)
        return self.plain(tokens, lengths, wanted, LIMIT), self.graphed(tokens, lengths, found, LIMIT)


@torch.inference_mode()
def test_steps_are_recorded_once_they_repeat_and_give_the_same(decoder: Decoder, graphs: type[Graph]) -> None:
    heard, results = Heard(decoder), []
    for number in range(12):
        for fed, rows in ((1, slice(0, 3)), (3, slice(0, 3)), (1, slice(1, 3))):
            wanted, found = heard.both(number, fed, rows)
            assert torch.equal(found, wanted)
            results.append((found, wanted))
        assert torch.equal(*(cache.text for cache in heard.caches))
    assert graphs.replays == 3 * (12 - BEFORE)  # that which compares is one of them
    assert all(torch.equal(found, wanted) for found, wanted in results)  # none was written over
    assert all(torch.equal(given, before) for given, before in heard.given)


@pytest.mark.parametrize("part", ["", "layers.1", "norm"])
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
@torch.inference_mode()
def test_prompts_and_watched_steps_run_as_they_are(decoder: Decoder, graphs: type[Graph], part: str, kind: str) -> None:
    heard, seen = Heard(decoder), [0]
    for number in range(BEFORE + 3):
        heard.both(number, MOST + 1)
    assert graphs.replays == 0
    for number in range(BEFORE + 3):
        heard.both(number)
    before = graphs.replays
    assert before > 0
    hook = getattr(decoder.get_submodule(part), kind)(lambda *_: seen.append(1))
    assert torch.equal(*heard.both(77))
    hook.remove()
    assert graphs.replays == before
    assert seen == [0, 1]
    assert torch.equal(*heard.both(78))
    assert graphs.replays == before + 1


@torch.inference_mode()
def test_another_cache_is_not_taken_for_the_first(decoder: Decoder, graphs: type[Graph]) -> None:
    heard = Heard(decoder)
    for number in range(BEFORE + 2):
        heard.both(number)
    assert graphs.replays == 2
    heard.caches = heard.plain.allocate(ROWS), heard.graphed.allocate(ROWS)
    assert not heard.graphed._recorded  # they would keep the first one in memory
    heard.plain.listen(heard.states.flip(0), heard.caches[0])
    heard.graphed.listen(heard.states.flip(0), heard.caches[1])
    for number in range(BEFORE):
        assert torch.equal(*heard.both(number))
    assert graphs.replays == 2  # prepared anew
    assert torch.equal(*heard.both(9))
    assert torch.equal(*heard.both(10))
    assert graphs.replays == 4


def refusing(_device: torch.device, _work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
    raise RuntimeError("operation not permitted when stream is capturing\nmore of it")


def wrong(device: torch.device, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
    result, replay = record(device, work)
    return result, lambda: (replay(), result.add_(1e-6))[0]


@pytest.mark.parametrize(
    ("how", "told"), [(refusing, "not permitted when stream is capturing"), (wrong, "other numbers")]
)
@torch.inference_mode()
def test_a_device_that_cannot_works_as_without(
    decoder: Decoder, graphs: type[Graph], monkeypatch: pytest.MonkeyPatch, how: Callable[..., object], told: str
) -> None:
    monkeypatch.setattr(devices, "record", how)
    heard = Heard(decoder)
    for number in range(BEFORE):
        heard.both(number)
    with pytest.warns(devices.DeviceWarning, match=told):
        assert torch.equal(*heard.both(8))
    before = graphs.replays
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(5):
            assert torch.equal(*heard.both(number))
    assert graphs.replays == before


def test_a_transcript_is_the_same_with_and_without_a_draft(
    graphs: type[Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(recognizer: Recognizer) -> list[tuple[float, float, tuple[int, ...]]]:
        heard = recognizer.transcribe(Path(recording_path("meeting")), strategy="batched", batch_size=4)
        return [(segment.start, segment.end, tuple(segment.tokens)) for segment in heard.segments]

    recorded = [load("demo", device="cpu", assistant=draft) for draft in ("none", "demo-draft")]
    found = [said(recognizer) for recognizer in recorded]
    assert all(isinstance(recognizer._engine.steps, GraphedDecoder) for recognizer in recorded)
    assert graphs.replays > 50
    before = graphs.replays
    monkeypatch.setattr(devices, "wants_graphs", lambda _: False)
    assert said(load("demo", device="cpu", assistant="none")) == found[0] == found[1]
    assert graphs.replays == before
