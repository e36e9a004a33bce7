"""Two reports beside each other: what is matched, what differs, and what counts as worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from literatim.bench import compare, compare_speed, compare_wer, wer
from literatim.errors import OptionError
from literatim.provenance.differences import differences

PUBLISHED = Path(__file__).parents[2] / "docs" / "benchmarks"


def _row(turns: list[float], **other: Any) -> dict[str, Any]:
    row = {"name": "literatim", "setting": "default", "dtype": "float32", "batch": 1, "tokens": 100}
    samples = {"encoder": [0.0] * len(turns), "total": [1000 * turn for turn in turns]}
    return {**row, "status": "measured", "samples_ms": samples, **other}


def _speed(*rows: dict[str, Any], **environment: Any) -> dict[str, Any]:
    environment = {"cpu": "X", "torch": "2.9.0", "packages": {"av": "18.1.0"}, **environment}
    return {"schema": 2, "kind": "speed", "environment": environment, "settings": {"threads": 2}, "rows": list(rows)}


STEADY = [1.00, 1.02, 0.98, 1.01, 0.99]


def test_speed_by_hand() -> None:
    slower = [2 * value for value in STEADY]
    found = compare_speed.compare_speed(_speed(_row(STEADY)), _speed(_row(slower)), limit=1.5)
    (row,) = found["rows"]
    assert (row["a_seconds"], row["b_seconds"], row["ratio"]) == (1.0, 2.0, 2.0)
    low, high = row["interval"]
    # the medians of five such values lie within 0.98 ... 1.02
    assert 2 * 0.98 / 1.02 <= low < 2.0 < high <= 2 * 1.02 / 0.98
    assert "above 1.5" in found["above"][0]
    assert compare_speed.compare_speed(_speed(_row(STEADY)), _speed(_row(slower)), limit=2.0)["above"] == []
    assert compare_speed.compare_speed(_speed(_row(slower)), _speed(_row(STEADY)), limit=1.5)["above"] == []


def test_a_slower_run_that_may_be_chance_is_not_above() -> None:
    swinging = [0.8, 0.9, 1.25, 1.3, 1.3]
    found = compare_speed.compare_speed(_speed(_row(STEADY)), _speed(_row(swinging)), limit=1.1)
    (row,) = found["rows"]
    assert row["ratio"] == pytest.approx(1.25)
    assert row["interval"][0] < 1.0 < row["interval"][1]
    assert found["above"] == []


def test_rows_are_matched_by_all_that_they_measure() -> None:
    first = [_row(STEADY), _row(STEADY, batch=8), _row(STEADY, tokens=50), _row(STEADY, name="peer", setting="best")]
    second = [_row(STEADY), _row(STEADY, dtype="float16"), _row([], batch=8, status="failed")]
    second.append(_row(STEADY, name="peer"))
    found = compare_speed.compare_speed(_speed(*first), _speed(*second))
    assert [(row["name"], row["batch"], row["tokens"]) for row in found["rows"]] == [("literatim", 1, 100)]
    assert found["only_in_a"] == [
        "literatim default float32, batch 8, 100 tokens",
        "literatim default float32, batch 1, 50 tokens",
        "peer best float32, batch 1, 100 tokens",
    ]
    assert len(found["only_in_b"]) == 2
    shown = compare_speed.speed_table(found).plain()
    assert "only in A: literatim default float32, batch 8" in shown
    with pytest.raises(OptionError, match="no measured row in common"):
        compare_speed.compare_speed(_speed(first[1]), _speed(*second))


def test_few_turns_have_no_interval_and_fail_nothing() -> None:
    found = compare_speed.compare_speed(_speed(_row([1.0, 1.0])), _speed(_row([9.0, 9.0])), limit=1.0)
    assert (found["rows"][0]["ratio"], found["rows"][0]["interval"], found["above"]) == (9.0, None, [])


def test_the_first_schema_is_read() -> None:
    # one setting, and the tokens of all rows in one place
    row = {"name": "literatim", "dtype": "float32", "batch": 1, "status": "measured"}
    old = _speed({**row, "samples_ms": {"encoder": [1.0] * 3, "total": [900.0, 1000.0, 1300.0]}})
    old["settings"]["tokens"] = 100
    (found,) = compare_speed.compare_speed(old, _speed(_row([0.5, 0.5, 0.5])))["rows"]
    assert (found["setting"], found["a_seconds"], found["ratio"]) == ("default", 1.0, 0.5)


@pytest.mark.parametrize("name", [file.name for file in sorted(PUBLISHED.glob("speed-*.json"))])
def test_published_reports_can_be_compared(name: str) -> None:
    report = compare.read_report(PUBLISHED / name)
    found = compare_speed.compare_speed(report, report)
    assert {row["ratio"] for row in found["rows"]} == {1.0}
    assert len(found["rows"]) == sum(row["status"] == "measured" for row in report["rows"])


def test_what_was_made_differently_is_said() -> None:
    first = _speed(_row(STEADY), model={"sha256": "1f"}, precision={"conv": "tf32"}, date="a", commit="1")
    second = _speed(
        _row(STEADY),
        cpu="Y",
        torch="2.13.0",
        model={"sha256": "2e"},
        precision={"conv": "float32"},
        date="b",
        commit="2",
    )
    second["settings"]["threads"] = 4
    found = compare_speed.compare_speed(first, second)
    assert found["differences"] == {
        "machine": {"cpu": ["X", "Y"]},
        "model": {"sha256": ["1f", "2e"]},
        "software": {"torch": ["2.9.0", "2.13.0"], "precision.conv": ["tf32", "float32"]},
        "code": {"commit": ["1", "2"]},
        "settings": {"threads": [2, 4]},
    }
    shown = compare_speed.speed_table(found).plain()
    assert "differs in machine: cpu X / Y" in shown
    assert "The machines differ" in shown
    same = compare_speed.speed_table(compare_speed.compare_speed(first, first)).plain()
    assert "differ" not in same
    assert differences(first, _speed()) == {}  # names that one of them does not have


def _entry(name: str, words: str, heard: str, language: str = "en", **other: Any) -> dict[str, Any]:
    counts = wer.score(words, heard, language, {"none": str.strip})
    scores = {name: item.to_dict() for name, item in counts.items()}
    return {
        "id": name,
        "file": f"{name}.wav",
        "language": language,
        "expected": words,
        "text": heard,
        "scores": scores,
        **other,
    }


def _wer(*files: dict[str, Any]) -> dict[str, Any]:
    return {"schema": 2, "kind": "wer", "environment": {"cpu": "X"}, "settings": {}, "files": list(files)}


def _many(errors: list[int]) -> dict[str, Any]:
    """Recordings of ten words, of which so many were heard as another."""
    words = list("abcdefghij")
    return _wer(*(_entry(f"r{at}", " ".join(words), " ".join(["x"] * n + words[n:])) for at, n in enumerate(errors)))


def test_rates_of_pairs() -> None:
    a, b = [0, 1, 2, 1, 3, 0, 1, 2, 0, 1], [1, 2, 3, 2, 4, 1, 2, 3, 1, 2]
    found = compare_wer.compare_wer(_many(a), _many(b), limit=1.5)
    (row,) = found["rates"]
    # 11 and 21 of 100 words; each recording got exactly one error more, so every draw shows one in ten more
    assert (row["a"], row["b"]) == (pytest.approx(0.11), pytest.approx(0.21))
    assert row["difference"] == pytest.approx(0.1)
    assert row["interval"] == pytest.approx([0.1, 0.1])
    alone = wer.rates([wer.Counts(words=10, substitutions=n) for n in b])["wer_interval"]
    assert alone[0] < 0.17  # without the pairs the interval is wide
    assert "1.5 times 11.00 %" in found["above"][0]
    assert compare_wer.compare_wer(_many(a), _many(b), limit=3.0)["above"] == []
    assert compare_wer.compare_wer(_many(b), _many(a), limit=1.0)["above"] == []


def test_errors_where_there_were_none_are_above_any_limit() -> None:
    none, some = _many([0] * 10), _many([1] * 10)
    assert compare_wer.compare_wer(none, some, limit=100.0)["above"] != []
    assert compare_wer.compare_wer(none, none, limit=1.0)["above"] == []


def test_the_interval_covers_no_difference() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.integers(0, 5, 200).tolist(), generator.integers(0, 5, 200).tolist()
    found = compare_wer.compare_wer(_many(a), _many(b), limit=1.0)
    low, high = found["rates"][0]["interval"]
    difference = (np.array(b) - np.array(a)) / 10
    normal = 1.96 * difference.std(ddof=1) / np.sqrt(200)
    assert (low, high) == pytest.approx((difference.mean() - normal, difference.mean() + normal), abs=0.004)


def test_only_what_is_in_both_is_compared() -> None:
    first = _wer(_entry("a", "one two", "one"), _entry("b", "x", "y"), _entry("c", "one two", "one two"))
    second = _wer(_entry("c", "one too", "one two"), _entry("a", "one two", "one two"), _entry("d", "x", "y"))
    found = compare_wer.compare_wer(first, second)
    assert (found["recordings"], found["only_in_a"], found["only_in_b"], found["other_words"]) == (2, 1, 1, 1)
    assert found["rates"][0]["recordings"] == 1
    assert (found["rates"][0]["a"], found["rates"][0]["b"]) == (0.5, 0.0)
    assert found["rates"][0]["interval"] is None
    shown = "\n".join(table.plain() for table in compare_wer.wer_tables(found))
    assert "1 recordings only in A, 1 only in B" in shown
    assert "1 recordings with other reference words" in shown
    with pytest.raises(OptionError, match="no recording in common"):
        compare_wer.compare_wer(first, _wer(_entry("z", "x", "x")))


def test_those_that_changed_most_come_first() -> None:
    before, after = _many([0, 5, 2, 1]), _many([1, 0, 2, 4])
    changed = compare_wer.compare_wer(before, after, worst=2)["changed"]
    assert [(item["id"], item["a_errors"], item["b_errors"]) for item in changed] == [("r1", 5, 0), ("r3", 1, 4)]
    assert changed[0]["b_text"] == "a b c d e f g h i j"
    table = compare_wer.wer_tables(compare_wer.compare_wer(before, after))[1]
    assert [row[-1] for row in table.rows] == ["-5", "+3", "+1"]
    assert len(compare_wer.wer_tables(compare_wer.compare_wer(before, before))) == 1


def test_a_change_is_counted_after_the_strongest_normaliser_of_each() -> None:
    def entry(name: str, language: str, heard: str) -> dict[str, Any]:
        counts = wer.score("ja goed", heard, language, wer.normalizers("all", {}))
        return _entry(name, "ja goed", heard, language, scores={rule: item.to_dict() for rule, item in counts.items()})

    before = _wer(entry("dutch", "nl", "Ja, goed."), entry("english", "en", "ja goed"))
    after = _wer(entry("dutch", "nl", "Ja."), entry("english", "en", "Ja. Goed!"))
    (changed,) = compare_wer.compare_wer(before, after)["changed"]
    assert (changed["id"], changed["normaliser"], changed["b_errors"]) == ("dutch", "basic", 1)


def test_languages_without_spaces_are_compared_by_characters() -> None:
    first = _wer(_entry("a", "今天天气", "今天天汽", "zh"), _entry("b", "one two", "one two"))
    second = _wer(_entry("a", "今天天气", "今天天气", "zh"), _entry("b", "one two", "one"))
    rates = compare_wer.compare_wer(first, second)["rates"]
    assert [(row["rate"], row["a"], row["b"]) for row in rates] == [("wer", 0.0, 0.5), ("cer", 0.25, 0.0)]


def test_recordings_of_the_first_schema_are_matched_by_file() -> None:
    old = _many([1, 2, 3])
    for entry in old["files"]:
        entry["file"] = entry.pop("id")
        del entry["expected"]
    found = compare_wer.compare_wer(old, _many([1, 2, 3]))
    assert (found["recordings"], found["rates"][0]["difference"]) == (3, 0.0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("[]", "no report"),
        ('{"kind": "speed"}', "no report"),
        ('{"kind": "compare wer", "files": []}', "no report"),
    ],
)
def test_files_that_are_no_report(tmp_path: Path, content: str | None, reason: str) -> None:
    file = tmp_path / "a.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OptionError, match=reason):
        compare.read_report(file)


def test_two_kinds_are_not_compared(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(_speed(_row(STEADY))))
    speed = compare.read_report(tmp_path / "a.json")
    assert compare.same_kind(speed, speed) == "speed"
    with pytest.raises(OptionError, match="a speed report and a wer report"):
        compare.same_kind(speed, _many([1]))
