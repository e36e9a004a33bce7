"""Random folders and the turns of a speed run; no time is ever asserted."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import torch

from literatim.bench import peers, shapes, speed, speed_report, table
from literatim.bench.windows import Windows, babble, cut
from literatim.errors import OptionError

MICRO_SECONDS = 2.0  # 100 encoder positions of 20 ms


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes.write(shapes.SHAPES["micro"], tmp_path_factory.mktemp("bench") / "micro")


@pytest.fixture
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "REST_SECONDS", 0.0)


# ---- random folders and windows


def test_the_layout_is_that_of_the_released_vocabulary() -> None:
    ids = shapes._vocabulary(shapes.SHAPES["tiny"])
    # openai/whisper-tiny's generation_config.json and vocabulary size
    assert max(ids.values()) + 1 == 51865
    assert ids["<|endoftext|>"] == 50257
    assert ids["<|startoftranscript|>"] == 50258
    assert ids["<|en|>"] == 50259
    assert ids["<|transcribe|>"] == 50359
    assert ids["<|notimestamps|>"] == 50363


def test_windows() -> None:
    sound = babble(2, 1.5, seed=3)
    assert sound.shape == (2, 24000)
    assert 0.01 < abs(sound).max() <= 1.0
    assert (sound == babble(2, 1.5, seed=3)).all()
    assert not (sound[0] == sound[1]).all()
    assert Windows.make(sound, 80).features.shape == (2, 80, 150)
    pieces = cut(sound[0], 3, 1.0)
    assert (pieces[1, :8000] == sound[0, 16000:]).all()
    assert (pieces[1, 8000:] == sound[0, :8000]).all()


# ---- runners


def test_our_tokens_are_those_of_transformers(micro: Path, tmp_path: Path) -> None:
    setup = peers.Setup(torch.device("cpu"), 1, tmp_path)
    windows = Windows.make(babble(3, MICRO_SECONDS, seed=1), 80)
    ours = peers.Literatim(micro, "float32", setup).run(windows, 30)
    theirs = peers.Transformers(micro, "float32", setup).run(windows, 30)
    assert [len(row) for row in ours] == [30, 30, 30]
    assert len({token for row in ours for token in row}) > 10  # alive: not one token over and over
    assert ours[0] != ours[1]
    assert ours == theirs


def test_eight_bits_are_refused_and_not_replaced(micro: Path, tmp_path: Path) -> None:
    with pytest.raises(peers.Unmeasurable, match="literatim has no int8"):
        peers.Literatim(micro, "int8", peers.Setup(torch.device("cpu"), 1, tmp_path))


@pytest.mark.usefixtures("no_rest")
def test_report_of_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    before = torch.get_num_threads()
    plan = speed.Plan(
        "micro",
        batches=(1, 2),
        dtypes=("float32", "bfloat16"),
        peers=("transformers", "faster-whisper"),
        tokens=6,
        repeats=2,
        threads=1,
    )
    found = speed.run(plan)
    assert torch.get_num_threads() == before
    assert found["weights"] == "random"
    assert found["environment"]["torch_threads"] == found["settings"]["threads"] == 1
    assert {"date", "cpu", "cores", "torch", "packages"} <= set(found["environment"])
    names = [(row["batch"], row["dtype"], row["name"]) for row in found["rows"]]
    assert names == [
        (batch, dtype, name)
        for batch in (1, 2)
        for dtype in ("float32", "bfloat16")
        for name in ("literatim", "transformers", "faster-whisper")
    ]
    for row in found["rows"]:
        if row["name"] == "faster-whisper":
            assert row["status"] == "absent"
            assert "literatim[bench]" in row["reason"]
        else:
            assert row["status"] == "measured"
            assert row["repeats"] == len(row["samples_ms"]["total"]) == 2
    assert all(row["same_tokens"] == 1.0 for row in found["rows"] if row["dtype"] == "float32" and "repeats" in row)
    assert speed.differing(found) == []
    text = speed_report.speed_table(found).plain()
    assert "faster-whisper bfloat16, batch 1 and 2: absent" in text
    path = tmp_path / "deep" / "speed.json"
    table.save(found, path)
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(found))


def test_too_many_tokens_are_refused() -> None:
    with pytest.raises(OptionError, match="room for 60"):  # 64 positions, 4 of them the prompt
        speed.run(speed.Plan("micro", peers=(), tokens=61, threads=1))


class Noted(peers.Runner):
    """Notes whose turn it is."""

    name, package = "noted", "torch"
    log: list[str]

    def _load(self) -> None:
        self.log.append("load peer")

    def encode(self, windows: Windows) -> None:
        """Nothing."""

    def run(self, windows: Windows, tokens: int) -> peers.Ids:
        return [[0] * tokens] * len(windows)

    def turn(self, windows: Windows, tokens: int) -> peers.Turn:
        self.log.append("peer")
        return peers.Turn(1.0, 2.0)


class Broken(Noted):
    name = "broken"

    def run(self, windows: Windows, tokens: int) -> peers.Ids:
        raise RuntimeError("out of luck\nand more")


class Short(Noted):
    name = "short"

    def run(self, windows: Windows, tokens: int) -> peers.Ids:
        return [[0] * (tokens - 1)] * len(windows)


class Single(Noted):
    name = "single"
    most_rows = 1


@pytest.mark.usefixtures("no_rest")
def test_turns_alternate(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    monkeypatch.setattr(Noted, "log", log, raising=False)
    monkeypatch.setitem(peers.PEERS, "noted", Noted)

    def ours(self: Any, windows: Windows, tokens: int) -> peers.Turn:
        log.append("ours")
        return peers.Turn(0.5, 0.5 + 0.01 * tokens)

    monkeypatch.setattr(peers.Literatim, "turn", ours)
    plan = speed.Plan("micro", (1,), ("float32",), ("noted",), tokens=10, repeats=3, threads=1)
    mine, peer = speed.run(plan)["rows"]
    assert log == ["load peer", "ours", "peer", "ours", "peer", "ours", "peer"]
    assert mine["encoder_ms"] == pytest.approx(500)
    assert mine["token_ms"] == pytest.approx(10)
    assert mine["window_ms"] == pytest.approx(600)
    assert peer["ours_to_this"]["ours"] == "literatim float32"
    assert peer["ours_to_this"]["total"] == pytest.approx(0.6 / 2.0)
    assert peer["ours_to_this"]["encoder"] == pytest.approx(0.5)
    assert peer["ours_to_this"]["token"] == pytest.approx(0.1 / 1.0)


@pytest.mark.usefixtures("no_rest")
def test_what_a_peer_cannot_do_is_a_row_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noted, "log", [], raising=False)
    for kind in (Broken, Short, Single):
        monkeypatch.setitem(peers.PEERS, kind.name, kind)
    plan = speed.Plan("micro", (2,), ("float32",), ("broken", "short", "single"), tokens=4, repeats=1, threads=1)
    mine, broken, short, single = speed.run(plan)["rows"]
    assert mine["status"] == "measured"
    assert (broken["status"], broken["reason"]) == ("failed", "RuntimeError: out of luck")
    assert (short["status"], short["reason"]) == ("not measurable", "it decoded 3 tokens instead of 4")
    assert single["status"] == "not measurable"
    assert "total_ms" not in broken


@pytest.mark.usefixtures("no_rest")
def test_no_new_round_begins_after_the_time_is_up() -> None:
    plan = speed.Plan("micro", (1,), ("float32",), (), tokens=2, repeats=50, seconds=0.0, threads=1)
    assert speed.run(plan)["rows"][0]["repeats"] == 1


def test_eight_bit_peers_are_compared_with_our_fastest() -> None:
    def row(name: str, dtype: str, total: float) -> speed.Row:
        return speed.Row(name, name, "1", dtype, 1, ids=[[1, 2]], turns=[peers.Turn(total / 2, total)])

    rows = [row("literatim", "float32", 4.0), row("literatim", "bfloat16", 2.0), row("x", "int8", 1.0)]
    entry = speed._entries(rows, speed.Plan("micro", tokens=2))[2]
    assert entry["ours_to_this"] == {"ours": "literatim bfloat16", "encoder": 2.0, "total": 2.0, "token": 2.0}


def test_differing_tokens_fail_in_float32_only() -> None:
    row = {"name": "transformers", "dtype": "float32", "batch": 1, "same_tokens": 0.75}
    other = {**row, "dtype": "bfloat16"}
    assert speed.differing({"rows": [row, other]}) == [
        "batch 1: 25.0% of the tokens differ from transformers in float32"
    ]


def test_drawing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    row = {
        "status": "measured",
        "batch": 1,
        "dtype": "float32",
        "encoder_ms": 5.0,
        "package": "x",
        "version": "1",
    }
    found = {
        "shape": "tiny",
        "weights": "random",
        "environment": {"cpu": "a CPU"},
        "settings": {"batches": [1, 8], "tokens": 100, "window_seconds": 30.0, "threads": 2},
        "rows": [
            {**row, "name": "literatim", "window_ms": 20.0, "token_ms": 0.1, "same_tokens": 1.0},
            {**row, "name": "x", "window_ms": 43.0, "token_ms": 0.4, "same_tokens": 1.0},
        ],
    }
    speed_report.draw(found, tmp_path / "a.svg")
    speed_report.draw(found, tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert ET.fromstring(text).tag.endswith("svg")
    assert "literatim float32" in text
    assert " 43" in text
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")
