"""Planted acceptance: how often a draft is right, where, and that it is carried through the loop."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from literatim import hub
from literatim.bench import spec_clips
from literatim.bench.planted import CLOSE, PlantedNetwork, Trace, with_errors
from literatim.errors import OptionError
from literatim.provenance.model_hash import model_hash


class Echo:
    """A network whose hidden states are zeros and whose logits prefer id 0."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.moves: list[tuple[int, int, int]] = []

    def feed(self, tokens: Tensor, lengths: Tensor, limit: int, start: int = 0) -> Tensor:
        return torch.zeros((*tokens.shape, 4), dtype=torch.bfloat16)

    def choose(self, hidden: Tensor) -> Tensor:
        assert hidden.shape[1] == 4
        logits = torch.zeros((len(hidden), self._size))
        logits[:, 0] = 50.0
        return logits

    logits = choose

    def move(self, source: int, target: int, positions: int) -> None:
        self.moves.append((source, target, positions))


def test_the_least_sure_are_wrong_and_stay_where_they_were() -> None:
    margins = np.array([9.0, -2.0, -1.0, 8.0, 7.0, 0.5, 6.0, 5.0])
    wanted = "10011011"  # half a trace of 8 is 4; at 5/8 the three smallest are wrong: -2, -1 and 0.5
    rows = Trace(margins).right(5 / 8, 3, 8, seed=1)
    turned = {wanted[at:] + wanted[:at] for at in range(8)}
    assert rows.shape == (3, 8)
    assert {"".join("1" if flag else "0" for flag in row) for row in rows} <= turned


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95])
@pytest.mark.parametrize(("rows", "length"), [(1, 100), (8, 100), (32, 48)])
def test_the_share_is_the_one_wanted(rate: float, rows: int, length: int) -> None:
    noise = np.random.default_rng(0).standard_normal(2000)
    margins = np.convolve(noise, np.ones(5), "same")  # what is next to each other is alike
    drawn = Trace(margins).right(rate, rows, length, seed=0)
    assert abs(drawn.mean() - rate) <= CLOSE + 0.5 / drawn.size


def test_all_right() -> None:
    assert Trace(np.array([1.0, -5.0])).right(1.0, 2, 7, seed=0).all()


def test_the_bundled_trace_is_of_a_real_draft() -> None:
    margins = Trace.bundled().margins
    assert len(margins) > 1000
    wrong = margins <= 0
    together = (wrong[1:] & wrong[:-1]).mean()
    assert together > wrong.mean() ** 2  # clusters: after an error, another is likelier


def test_the_bundled_trace_is_of_the_bundled_draft() -> None:
    """After training either anew: python -m literatim.bench.margins src/literatim/demo/clips/margins.json."""
    models = json.loads(spec_clips.MARGINS.read_text("utf-8"))["models"]
    assert models == {name: model_hash(hub.resolve(name))["sha256"][:16] for name in ("demo", "demo-draft")}


def test_no_trace(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(OptionError, match=r"lacks margins\.json"):
        Trace.read(tmp_path_factory.mktemp("none") / "margins.json")


def test_errors_are_other_words_of_the_text() -> None:
    assert with_errors([5, 6, 6, 7], [True, False, False, True]) == [5, 7, 7, 7]
    assert with_errors([5, 6], [True, False]) == [5, 5]


def test_targets_go_with_the_states_and_with_the_windows() -> None:
    targets = torch.tensor([[3, 51864, 255, 256], [7, 8, 9, 10], [11, 12, 13, 14], [15, 16, 17, 18]])
    network = PlantedNetwork(inner := Echo(51865), targets)

    def proposed(count: int, lengths: list[int], start: int = 0) -> list[int]:
        tokens = torch.zeros((len(lengths), count), dtype=torch.int32)
        hidden = network.feed(tokens, torch.tensor(lengths, dtype=torch.int32), 4, start)
        assert network.logits(hidden[:, 0]).argmax(-1).tolist() == [0] * len(lengths)  # the network's own
        return network.choose(hidden.flatten(0, 1)).argmax(-1).tolist()

    assert proposed(1, [0, 0]) == [3, 7]
    assert proposed(2, [1, 2]) == [51864, 255, 9, 10]
    assert proposed(1, [0], start=2) == [11]  # the third window
    network.move(2, 0, 4)  # takes the place of the first, which has ended
    assert inner.moves == [(2, 0, 4)]
    assert proposed(1, [3, 3]) == [14, 10]
    assert proposed(2, [0], start=2) == [15, 16]  # and the fourth the place that is free
    assert proposed(1, [1, 1, 2]) == [12, 8, 17]
