"""The course of `bench spec` and its figures; no time is ever asserted."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from literatim.audio.decode import decode
from literatim.bench import spec, spec_clips, spec_memory, spec_report, spec_rows, speed, tails
from literatim.bench.plan import Plan as SpeedPlan
from literatim.bench.protocol import Refused
from literatim.bench.spec_rows import SpecRow, entries
from literatim.bench.spec_subject import WAVES, Plan, Shaped
from literatim.bench.spec_ways import Ours, Round, Run, speculation
from literatim.bench.worker import Inside
from literatim.errors import OptionError
from literatim.models.whisper import SPARE
from literatim.train import sets

QUICK = {"threads": 1, "iterations": 1, "warmup": 1}


def _run(**values: Any) -> dict[str, Any]:
    return spec.run(Plan(**{**QUICK, **values}))


# ---- planted acceptance, through the loop


def test_a_draft_that_is_always_right() -> None:
    report = _run(shape="micro", batches=(3,), tokens=26, num_assistant_tokens=4, acceptance=1.0)
    row = report["rows"][1]
    assert row["same_tokens"] == 1.0
    assert row["speculation"]["acceptance"] == 1.0
    assert row["speculation"]["rounds"] == 25 / 5  # the first token comes with the prompt, then 4 proposals and one
    assert row["tokens"] == 3 * 26


@pytest.mark.parametrize(("dtype", "words"), [("float32", 0), ("bfloat16", 200)])
def test_the_acceptance_is_the_planted_one(dtype: str, words: int) -> None:
    tokens, rows = 50, 8
    report = _run(
        shape="micro",
        batches=(rows,),
        tokens=tokens,
        num_assistant_tokens=3,
        acceptance=0.7,
        dtypes=(dtype,),
        words=words,
    )
    plain, drafted = report["rows"]
    assert plain["same_tokens"] == drafted["same_tokens"] == 1.0
    # of rows * tokens proposals those are not judged that follow three right ones: three standard errors of a share
    assert abs(drafted["speculation"]["acceptance"] - 0.7) < 3 * math.sqrt(0.7 * 0.3 / (0.7 * rows * tokens))
    assert drafted["speculation"]["by_proposals"][-1]["proposals"] == 3
    assert report["settings"]["acceptance"] == "planted: 0.7"


def test_a_decoder_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("literatim.bench.spec_subject.DECODER_ALONE", ("micro",))
    report = _run(shape="micro", batches=(1, 5), tokens=30, num_assistant_tokens=4, dtypes=("bfloat16",))
    assert [row["same_tokens"] for row in report["rows"]] == [1.0] * 4
    assert not report["settings"]["encoder"]
    assert "decoder alone" in spec_report.heading(report)
    with pytest.raises(OptionError, match="decoder alone"):
        _run(shape="micro", tokens=10, peers=("transformers",))


def test_rows_of_a_decoder_alone_say_different_things(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("literatim.bench.spec_subject.DECODER_ALONE", ("micro",))
    subject = Shaped(Plan(shape="micro", tokens=20), tmp_path)
    plain, _ = subject.ways("float32")
    (found,) = plain.begin(subject.groups(4))
    assert len(found.ids) == WAVES * 4
    assert len({tuple(ids) for ids in found.ids}) == WAVES * 4
    assert all(len(set(ids)) > 5 for ids in found.ids)


def test_a_window_says_in_a_slot_taken_over_what_it_says_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("literatim.bench.spec_subject.DECODER_ALONE", ("micro",))
    subject = Shaped(Plan(shape="micro", tokens=20), tmp_path)
    plain, _ = subject.ways("float32")
    (group,) = subject.groups(3)
    (found,) = plain.begin([group])
    (alone,) = plain.begin([replace(group, slots=1)])
    assert alone.ids == found.ids
    assert len(alone.rounds) > len(found.rounds)


# ---- real words


def test_real_words_with_transformers_beside() -> None:
    report = _run(model="demo", assistant="demo-draft", limit=3, batches=(1, 2), peers=("transformers",))
    ours = [row for row in report["rows"] if row["name"] == "literatim"]
    theirs = [row for row in report["rows"] if row["name"] == "transformers" and row["status"] == "measured"]
    assert [row["same_tokens"] for row in ours] == [1.0] * 4
    assert len({row["wer"]["wer"] for row in ours}) == 1
    assert [row["what"] for row in theirs] == [
        "plain", "assisted, as it comes", "assisted, 4 proposals", "assisted, 8 proposals",
    ]  # fmt: skip
    assert theirs[0]["same_tokens"] == 1.0
    assert all(row["ours_to_this"]["total"] > 0 for row in theirs)
    assert {row["reason"] for row in report["rows"] if row["status"] != "measured"} == {
        "it decodes one recording at a time"
    }
    assert json.loads(json.dumps(report)) == report
    for table in spec_report.tables(report):
        assert table.plain()


def test_the_clips_are_windows_of_the_frozen_sets() -> None:
    cases = spec_clips.cases()
    assert len(cases) == 73
    assert {case.language for case in cases} == {"en", "nl"}
    for case in cases:
        name, _, number = case.id.rpartition("-")
        row = json.loads((sets.FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()[int(number)])
        assert case.text == " ".join(line["text"] for line in row["lines"])
        assert case.speaker == row["lines"][0]["manner"]["voice"].partition("+")[2]


def test_a_clip_is_heard_to_its_end() -> None:
    samples = decode(spec_clips.cases()[0].audio).samples[0]
    assert 2.0 < len(samples) / 16_000 <= 8.0
    assert abs(samples[:-4800]).max() > 0.05


# ---- bench speed with an assistant


def test_speed_with_an_assistant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "REST_SECONDS", 0.0)
    plan = SpeedPlan(
        "demo", assistant="demo-draft", batches=(1, 2), dtypes=("float32",), peers=("transformers",), tokens=6,
        iterations=1, threads=1, reference=None,
    )  # fmt: skip
    monkeypatch.setattr(speed, "clips", lambda *_: [])
    report = speed.run(plan, launch=Inside)
    assert report["assistant"] == "demo-draft"
    assert [row["status"] for row in report["rows"]] == ["measured", "measured", "measured", "not measurable"]
    assert report["rows"][3]["reason"] == "it decodes no more than 1 recording at a time"


# ---- figures


class _Way:
    def __init__(self, name: str, dtype: str, drafted: bool) -> None:
        self.name, self.package, self.dtype, self.drafted = name, name, dtype, drafted
        self.what, self.most_rows = "a way", None


def _row(name: str, dtype: str, drafted: bool, times: list[tuple[float, float]], ids: list[int]) -> SpecRow:
    row = SpecRow(_Way(name, dtype, drafted), 1, "1", ids=[[ids]])  # type: ignore[arg-type]
    for encoder, decoder in times:
        row.add([Run(encoder, decoder, [ids], (Round(1, 2, decoder, 1, 2),))])
    return row


def test_ratios_are_of_the_same_round() -> None:
    plain = _row("literatim", "float32", False, [(1.0, 8.0), (1.0, 2.0), (1.0, 5.0)], [7, 8])
    drafted = _row("literatim", "float32", True, [(1.0, 2.0), (1.0, 2.0), (1.0, 2.0)], [7, 8])
    peer = _row("another", "int8", False, [(0.0, 6.0), (0.0, 6.0), (0.0, 1.0)], [7, 9])
    found = entries([plain, drafted, peer], [None] * 3)
    assert found[1]["speed_up"] == {"decoder": 2.5, "total": 2.0}  # of 4, 1, 2.5; of 9/3, 3/3, 6/3
    assert found[2]["ours_to_this"]["total"] == 0.5  # of 3/6, 3/6, 3/1
    assert found[1]["tokens_per_s"] == {"total": 2 / 3, "decoder": 1.0}
    assert [row["same_tokens"] for row in found] == [1.0, 1.0, None]
    assert found[1]["speculation"]["acceptance"] == 0.5
    assert spec_rows.differing({"rows": found}) == []


def test_a_draft_that_changes_a_token_is_a_failure() -> None:
    plain = _row("literatim", "float32", False, [(1.0, 8.0)], [7, 8])
    drafted = _row("literatim", "float32", True, [(1.0, 2.0)], [7, 9])
    found = entries([plain, drafted], [None, None])
    assert spec_rows.differing({"rows": found}) == ["batch 1, float32: 100.0% of the windows differ with a draft"]


def test_a_timed_run_that_says_something_else_is_a_failure() -> None:
    plain, drafted = (_row("literatim", "float32", kind, [(1.0, 2.0)], [7, 8]) for kind in (False, True))
    drafted.add([Run(1.0, 2.0, [[7, 9]])])
    assert entries([plain, drafted], [None, None])[1]["same_tokens"] == 0.0


def test_what_a_draft_did() -> None:
    rounds = [Round(2, 3, 0.5, 4, 5), Round(2, 3, 0.3, 6, 6), Round(1, 3, 0.1, 0, 1), Round(1, 0, 0.1, 0, 0)]
    found = speculation(rounds)
    assert found["acceptance"] == 10 / 12
    assert found["accepted_a_round"] == 10 / 6
    assert found["by_proposals"] == [
        {"proposals": 0, "rounds": 1, "full_rounds": 0, "median_ms": None},
        {"proposals": 3, "rounds": 3, "full_rounds": 2, "median_ms": 500.0},
    ]
    assert speculation([])["acceptance"] is None


def test_memory_of_large_v2_with_two_layers() -> None:
    alone, eight = spec_memory.of_shape(spec_memory.LARGE_V2, 2, torch.float16)
    width, layer = 1280, 14 * 1280**2 + 2 * 1280**2  # self and cross attention with 4 matrices each, and 8 of the MLP
    vectors = 8 * width + 5 * width + 3 * 2 * width  # biases of the attentions (k's are kept as zeros), MLP, norms
    small = 2 * (layer + vectors) + 448 * width + 2 * width  # positions and the last norm
    assert alone["draft_weights"] == 2 * small
    one_row = (alone["cache"] - 8) // 32  # keys and values of a layer, 2 bytes each; places come in blocks
    assert 0 <= one_row / (2 * 2 * width) - (1500 + 448 + SPARE) < 64
    assert eight["draft_cache"] == 8 * (2 * one_row + 8)
    assert abs(alone["weights"] / 2 - 1543e6) < 2e6  # parameters of openai/whisper-large-v2
    assert alone["added_share"] < 0.1
    assert eight["added_share"] < 0.1


# ---- what cannot be run


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model": "demo", "shape": "micro"}, "a shape has a draft of its own"),
        ({"assistant": "demo-draft", "shape": "micro"}, "a shape has a draft of its own"),
        ({"shape": "micro", "acceptance": 0.0}, "a share above 0"),
        ({"shape": "micro", "acceptance": 1.5}, "a share above 0"),
        ({"shape": "micro", "dtypes": ("int8",)}, "--dtype int8"),
        ({"shape": "micro", "tokens": 61}, "has room for 60"),
        ({"shape": "micro", "tokens": 10, "draft_layers": 2}, "a draft has fewer"),
        ({"model": "demo", "peers": ("openvino",)}, "30 s only"),
        ({"model": "demo", "assistant": "none"}, "name one by --assistant"),
    ],
)
def test_could_not_run(values: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        _run(**values)


def test_without_the_clips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spec_clips, "FOLDER", tmp_path)
    with pytest.raises(OptionError, match="lacks the bundled clips"):
        spec_clips.cases()


def test_a_peer_that_breaks_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def __init__(self, *_: Any) -> None:
            pass

        def ask(self, *_: Any) -> dict[str, Any]:
            raise Refused("absent", "not installed", "ImportError")

        def close(self) -> None:
            pass

    plan = Plan(**QUICK, shape="micro", batches=(1,), tokens=10, peers=("faster-whisper",))
    report = spec.run(plan, launch=Silent)
    assert [row["status"] for row in report["rows"]] == ["measured", "measured", "absent"]
    assert "faster-whisper: absent: not installed" in spec_report.tables(report)[0].plain()


def test_an_engine_has_its_draft_back_after_a_plain_run(tmp_path: Path) -> None:
    subject = Shaped(Plan(shape="micro", tokens=5), tmp_path)
    plain, drafted = subject.ways("float32")
    assert isinstance(plain, Ours)
    before = plain.engine.assistant, plain.engine.pace
    plain.begin(subject.groups(1))
    assert (drafted.engine.assistant, drafted.engine.pace) == before
    assert before[0] is not None


# ---- proposals that cost nothing


def test_rounds_are_replayed_as_they_would_be() -> None:
    said = (1, 2, 3, 4, 9)
    # after [1]: 2 is right, 7 wrong, 4 right in its place; after [1, 2, 3]: 5 is wrong; the others are not asked for
    text = tails.Text(said, ((), (2, 7, 4), (0, 0, 0), (5, 9, 9), (9, 9, 9)))
    plain = tails.replay([text], tails.draft, 3)
    assert (plain.rounds, plain.tokens, plain.accepted, plain.steps) == (3, 4, 2, 9)  # 2 3 | 4 | 9
    again = tails.replay([text], tails.recycle, 3)
    assert (again.rounds, again.accepted, again.steps) == (2, 2, 3)  # 2 3 | 4 from before, then 9
    assert tails.lookup(tails.Text((5, 6, 7, 5, 6, 7), ()), 5, [], 2) == ((7, 5), 0)
    assert tails.lookup(tails.Text((5, 6, 7, 8), ()), 3, [], 2) == ((), 0)


def test_what_stands_behind_a_wrong_proposal() -> None:
    # wrong at the places of 2 and of 4, but not of 3; the end has nothing behind it
    text = tails.Text((1, 2, 3, 4, 9), ((), (7, 3), (3, 4), (5, 5), (8, 8)))
    assert tails.behind([text]) == {"rejected": 0.5, "new": 0.5}


def test_merging_goes_on_with_what_agrees() -> None:
    text = tails.Text((1, 2, 3), ((), (2, 8, 8), (8, 8, 8)))
    assert tails.merge(text, 1, [2, 3, 4], 3) == ([2, 3, 4], 1)
    assert tails.merge(text, 1, [5, 6, 7], 3) == ((2, 8, 8), 3)
    assert tails.Seconds(2.0, 0.5, 1.0).of(tails.Replay(tokens=4, rounds=2, checked=4, steps=2)) == 2.0


def test_each_way_comes_as_often_after_each_neighbour_and_at_each_place() -> None:
    rows = [*"abcde"]
    orders = [spec._in_turn(rows, number) for number in range(10)]
    assert {"".join(order) for order in orders[:3]} == {"abcde", "edcba", "bcdea"}
    before = Counter(pair for order in orders for pair in pairwise(order))
    assert set(before.values()) == {4}
    assert len(before) == 10
    assert all(Counter(order[place] for order in orders) == dict.fromkeys(rows, 2) for place in range(5))
    assert [spec._in_turn(rows[:2], number) for number in range(4)] == [["a", "b"], ["b", "a"], ["b", "a"], ["a", "b"]]
