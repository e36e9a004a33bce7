"""docs/benchmarks/README.md beside the reports: their commands, their figures, and nothing that the program lacks."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from literatim.bench import voices
from literatim.cli import (
    bench_compare,
    bench_der,
    bench_dictation,
    bench_live,
    bench_long,
    bench_mixed,
    bench_spec,
    bench_speed,
    bench_turns,
    bench_voices,
    bench_wer,
    bench_words,
)

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"
PAGE = (FOLDER / "README.md").read_text("utf-8")
COMMANDS = {
    "speed": bench_speed.speed,
    "spec": bench_spec.spec,
    "wer": bench_wer.wer,
    "live": bench_live.live,
    "long": bench_long.long,
    "words": bench_words.words,
    "mixed": bench_mixed.mixed,
    "dictation": bench_dictation.dictation,
    "der": bench_der.der,
    "voices": bench_voices.voices,
    "turns": bench_turns.turns,
    "compare": bench_compare.compare,
}
REPORTS = [file.name for file in sorted(FOLDER.glob("speed-*.json"))]


def _lines() -> list[list[str]]:
    """The words after `literatim bench` of every command on the page."""
    text = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ")
    return [shlex.split(line, comments=True)[2:] for line in text.splitlines() if line.startswith("literatim bench ")]


@pytest.fixture(autouse=True)
def _files_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in (option for command in COMMANDS.values() for option in command.params):
        if isinstance(option.type, click.Path):
            monkeypatch.setattr(option.type, "exists", False)


def _parsed(words: list[str]) -> dict[str, Any]:
    """A command's values, as click reads them."""
    return COMMANDS[words[0]].make_context(words[0], words[1:]).params


def test_the_commands_are_understood() -> None:
    lines = _lines()
    assert {words[0] for words in lines} == set(COMMANDS)
    for words in lines:
        _parsed(words)


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_has_the_command_that_made_it(name: str) -> None:
    """Shape, batches, dtypes, peers and rounds of the command are those of the file."""
    (words,) = (words for words in _lines() if words[0] == "speed" and f"docs/benchmarks/{name}" in words)
    given, report = _parsed(words), json.loads((FOLDER / name).read_text("utf-8"))
    assert report["model"] == (given["shape"] or given["model"])
    assert report["settings"]["batches"] == list(given["batches"])
    assert report["settings"]["iterations"] == (given["iterations"] or 5)
    assert report["environment"]["dtypes"] == list(given["dtypes"] or ("float32", "bfloat16", "int8"))
    assert {row["name"] for row in report["rows"]} == {"literatim", *(given["peers"] or bench_speed.PEERS)}


def _ratio(report: dict[str, Any], kind: str) -> str:
    dtype, batch = kind.split(", batch ")
    for row in report["rows"]:
        if (row["name"], row["dtype"], row["batch"]) == ("transformers", dtype, int(batch)):
            return f"{row['ours_to_this']['total']:.2f}"
    return "not measured"


def _beside(report: dict[str, Any], kind: str) -> str:
    name, dtype = kind.split(", ")
    (row,) = (row for row in report["rows"] if (row["name"], row["dtype"]) == (name, dtype))
    assert row["ours_to_this"]["ours"] == "literatim bfloat16"
    return f"{row['ours_to_this']['total']:.2f}"


def _speed_up(report: dict[str, Any], batch: str) -> str:
    for row in report["rows"]:
        if row["name"] == "literatim" and row["drafted"] and row["batch"] == int(batch):
            return f"{row['speed_up']['total']:.2f}"
    return "not measured"


@pytest.mark.parametrize("name", [file.name for file in sorted(FOLDER.glob("spec-*.json")) if "tails" not in file.name])
def test_a_report_of_drafts_has_its_command_and_the_plain_tokens(name: str) -> None:
    (words,) = (words for words in _lines() if words[0] == "spec" and f"docs/benchmarks/{name}" in words)
    given, report = _parsed(words), json.loads((FOLDER / name).read_text("utf-8"))
    assert report["model"] == (given["shape"] or given["model"])
    assert report["settings"]["batches"] == list(given["batches"])
    assert {row["same_tokens"] for row in report["rows"] if row["name"] == "literatim"} == {1.0}


@pytest.mark.parametrize(
    ("title", "lines", "told"),
    [
        ("## Results of 2026-11-20", 4, _ratio),
        ("## Results of 2026-11-21", 6, _speed_up),
        ("## Plain decoding beside the peers", 3, _beside),
    ],
)
def test_the_figures_are_those_of_the_files(title: str, lines: int, told: Callable[[dict[str, Any], str], str]) -> None:
    """Of the first table below the title: a file a column, and what it says of the line's first cell."""
    section = PAGE[PAGE.index(title) + len(title) :]
    header, _, *rows = re.findall(r"^\|(.*)\|$", section[: section.index("\n## ")], re.MULTILINE)
    files = re.findall(r"\]\((.*?\.json)\)", header)
    assert len(rows) == lines
    for row in rows:
        kind, *shown = (cell.strip() for cell in row.split("|"))
        for file, cell in zip(files, shown, strict=True):
            assert cell == told(json.loads((FOLDER / file).read_text("utf-8")), kind)


def test_the_figures_of_live_are_those_of_the_file() -> None:
    section = PAGE[PAGE.index("## Live") :].split("\n## ")[0]
    found = json.loads((FOLDER / "live-demo.json").read_text("utf-8"))["results"]
    rows = [re.findall(r"[\d.]+", line) for line in re.findall(r"^\|( [\d.]+ s .*)\|$", section, re.MULTILINE)]
    assert len(rows) == len(found) == 3
    for row, entry in zip(rows, found, strict=True):
        times = [entry[form][f"p{level}"] for form in ("shown", "agreed", "final") for level in (50, 95)]
        rates = [100 * entry[name] for name in ("wer_live", "wer_offline", "work_share")]
        assert row == [f"{entry['live_step']:g}", *(f"{value:.2f}" for value in (*times, *rates))]


def _table(title: str) -> list[list[str]]:
    """The cells of the first table below a title, without its head."""
    return _table_with_head(title)[1:]


def _table_with_head(title: str) -> list[list[str]]:
    section = PAGE[PAGE.index(f"\n{title}\n") + len(title) + 2 :].split("\n#")[0]
    lines = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in (lines[0], *lines[2:])]


def _command(name: str) -> dict[str, Any]:
    """The values of the command that made a file."""
    (words,) = (words for words in _lines() if f"docs/benchmarks/{name}" in words)
    return _parsed(words)


def test_the_figures_of_long_recordings_are_those_of_the_file() -> None:
    report = json.loads((FOLDER / "long-demo.json").read_text("utf-8"))
    rows = _table("## Long recordings")
    assert len(rows) == len(report["rows"]) == 9
    for cells, row in zip(rows, report["rows"], strict=True):
        found, speed = row["words"], (f"{3600 * row['rtf']:.1f}", f"{row['tokens_per_s']:.0f}")
        shares = [f"{100 * found[name]:.2f} %" for name in ("wer", "coverage")]
        said, beyond = str(sum(row["hallucinated"].values())), f"{row['memory']['beyond'] / 1e6:.0f}"
        assert cells == [f"{row['name']}, {row['what']}", *speed, *shares, said, beyond]
    given, settings = _command("long-demo.json"), report["settings"]
    assert report["model"] == (given["model"] or "demo")
    assert (60 * given["minutes"], given["silence"]) == (settings["seconds"], settings["silence_seconds"])


def test_the_figures_of_languages_in_turn_are_those_of_the_file() -> None:
    report = json.loads((FOLDER / "mixed-demo.json").read_text("utf-8"))
    assert report["settings"]["seconds"] == 60 * _command("mixed-demo.json")["minutes"]
    rows = _table("### Languages in turn")
    assert len(rows) == len(report["rows"]) == 4
    for cells, row in zip(rows, report["rows"], strict=True):
        detected = "each window" if row["multilingual"] else f"once: {row['language']}"
        assert cells == [row["strategy"], detected, *(f"{100 * row[name]:.2f} %" for name in ("wer", "coverage"))]
    once, anew = (f"{100 * row['wer']:.1f} %" for row in report["rows"] if row["strategy"] == "batched")
    assert f"from {once} to {anew} word errors" in _readme("README.md")


def _readme(name: str) -> str:
    return " ".join((FOLDER.parents[1] / name).read_text("utf-8").split())


def test_the_figures_of_word_times_are_those_of_the_file() -> None:
    """On the page, and in the READMEs."""
    report = json.loads((FOLDER / "words-demo.json").read_text("utf-8"))
    sets, cost = report["sets"], report["cost"]
    least, most = min(cost["rounds"]["whole"]), max(cost["rounds"]["whole"])
    told = (
        f"take {cost['whole']:.2f} of the time without (median of seven rounds in turns, {least:.2f} to {most:.2f})",
        f"is {100 * cost['pass']:.1f} % of the decoding",
        f"the path through it {100 * cost['path']:.1f} %",
    )
    assert len(cost["recordings"]) == 3
    assert len(cost["rounds"]["whole"]) == _command("words-demo.json")["rounds"] == 7
    assert cost["path"] < 0.1  # promised
    assert all(figure in " ".join(PAGE.split()) for figure in told)
    assert _command("words-demo.json")["limit"] is None
    rows = _table("### Times of words")
    assert [cells[0] for cells in rows] == list(sets)
    for cells, found in zip(rows, sets.values(), strict=True):
        times = [[f"{1000 * found[name][level]:.0f} ms" for level in ("p50", "p95")] for name in ("start", "end")]
        counts = f"{found['words_heard_right']} of {found['words']}"
        assert cells[1:] == [counts, *map(", ".join, times), f"{100 * found['both']['near']:.2f} %"]
    clean, noisy = sets["clean"], sets["noisy"]
    middle, near = f"{1000 * clean['both']['p50']:.0f} ms", [f"{100 * e['both']['near']:.1f} %" for e in (clean, noisy)]
    assert f"off by {middle} in the middle, and {near[0]} of starts and ends" in _readme("README.md")
    assert (
        f"({clean['words_heard_right']} words that it heard right; {near[1]} of {noisy['words_heard_right']} with"
        in (_readme("README.md"))
    )
    assert all(figure in _readme("README.zh.md") for figure in (middle, *near))
    # what the project promises of them
    assert clean["both"]["p50"] <= 0.08
    assert clean["both"]["near"] >= 0.95


def _row(report: dict[str, Any], name: str, setting: str) -> dict[str, Any]:
    return next(row for row in report["rows"] if (row["name"], row["setting"]) == (name, setting))


def test_the_figures_of_long_recordings_with_random_weights_are_those_of_the_files() -> None:
    section = PAGE[PAGE.index("| [tiny](long-tiny.json)") :].split("\n\n")[0]
    header, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines())
    reports = [json.loads((FOLDER / file).read_text("utf-8")) for file in re.findall(r"\((.*?)\)", " ".join(header))]
    assert len(reports) == 2
    assert len(lines) == 6
    for title, *cells in lines:
        setting = f"batched-{int(re.findall('[0-9]+', title)[0])}"
        for report, cell in zip(reports, cells, strict=True):
            if "not measured" in cell:
                assert all(row["setting"] != setting for row in report["rows"])
                continue
            up = _row(report, "literatim", setting)["speed_up"]
            beside = _row(report, "faster-whisper", setting)["ours_to_this"]
            told = beside["seconds"] if "faster-whisper" in title else up["tokens_per_s"]
            assert cell == f"{up['decoder_tokens_per_s'] if 'decoder' in title else told:.2f}"
    for name, report in zip(("long-tiny.json", "long-small.json"), reports, strict=True):
        given, settings = _command(name), report["settings"]
        assert (report["model"], settings["seconds"]) == (given["shape"], 60 * given["minutes"])
        assert settings["rounds"] == (given["rounds"] or 1)


def test_our_time_beside_faster_whispers_batches_is_that_of_the_file() -> None:
    report = json.loads((FOLDER / "long-demo-batched.json").read_text("utf-8"))
    assert report["settings"]["rounds"] == _command("long-demo-batched.json")["rounds"] == 3
    shares = [_row(report, "faster-whisper", f"batched-{size}")["ours_to_this"]["seconds"] for size in (8, 16)]
    assert f"{shares[0]:.2f} of faster-whisper's time at 8 and {shares[1]:.2f} at 16" in " ".join(PAGE.split())


def test_the_figures_of_memory_are_those_of_the_file() -> None:
    report = json.loads((FOLDER / "long-memory-demo.json").read_text("utf-8"))
    assert report["settings"]["minutes"] == list(_command("long-memory-demo.json")["lengths"])
    rows = _table("### Memory")
    found = {(row["way"], row["minutes"]): row["beyond"] for row in report["rows"]}
    assert len(found) == sum(len(cells) - 1 for cells in rows)
    for way, *cells in rows:
        expected = [found[way, minutes] / 1e6 for minutes in report["settings"]["minutes"]]
        assert cells == [f"{size:.0f}" for size in expected]
    assert max(found.values()) < 1.5e9


def test_the_figures_of_ten_hours_are_those_of_the_files() -> None:
    readme = " ".join((FOLDER.parents[1] / "README.md").read_text("utf-8").split())
    (row,) = json.loads((FOLDER / "long-memory-10h.json").read_text("utf-8"))["rows"]
    assert (row["way"], row["minutes"]) == ("batched 8", 600)
    assert list(_command("long-memory-10h.json")["lengths"]) == [600]
    assert row["beyond"] < 1.5e9
    assert f"Ten hours in batches of 8, to their end: {row['beyond'] / 1e6:.0f} MB" in " ".join(PAGE.split())
    two = json.loads((FOLDER / "long-memory-demo.json").read_text("utf-8"))["rows"]
    (by_window,) = (each["beyond"] for each in two if (each["way"], each["minutes"]) == ("sequential", 120))
    told = f"Ten hours in batches of 8 took {row['beyond'] / 1e6:.0f} MB beyond `demo`, two hours window by window"
    assert f"{told} {by_window / 1e6:.0f} MB." in readme


def test_the_figures_of_dictation_are_those_of_the_file() -> None:
    report = json.loads((FOLDER / "dictation.json").read_text("utf-8"))
    assert report["settings"]["rounds"] == _command("dictation.json")["rounds"]
    expected = []
    for row in report["results"]:
        times = [f"{1000 * row['seconds'][name]['median']:,.0f}" for name in ("literatim", "transformers")]
        ratios = [f"{row[name][0]:.2f}" for name in ("ratio", "ratio_to_float32")]
        alike = "all" if row["steps_equal"] == 1 else f"{100 * row['steps_equal']:.2f} %"
        expected.append([f"{row['work']}, {row['dtype']}", *times, *ratios, alike])
    assert _table("## Dictation, 2026-11-22") == expected
    assert f"few ({report['results'][0]['tokens']} here)" in PAGE


def test_the_figures_of_voices_are_those_of_the_files() -> None:
    """Medians of each program and dtype, and ours by the best other; the hour, from file to turns."""
    report = json.loads((FOLDER / "voices.json").read_text("utf-8"))
    (_, *works), *rows = _table_with_head("## Voices, 2026-11-22")
    assert min(row["cosine"] for row in report["results"]) > 0.9999
    for program, dtype in dict.fromkeys((row["program"], row["dtype"]) for row in report["results"]):
        own = {row["work"]: row for row in report["results"] if (row["program"], row["dtype"]) == (program, dtype)}
        expected = [f"{1000 * own[work]['seconds']['median']:.1f}" for work in works]
        assert [f"{program}, {dtype}", *expected] in rows
    whole = {**report, "results": [row for row in report["results"] if row["dtype"] == "float32"]}
    found = [voices.compared(whole, work) for work in works]
    assert rows[-2][1:] == [f"{ratio[2][0]:.2f}" for ratio in found if ratio is not None]
    found = [voices.compared(report, work) for work in works]
    assert rows[-1][1:] == [f"{ratio[2][0]:.2f}" for ratio in found if ratio is not None]
    assert {ratio[1] for ratio in found if ratio is not None} == {"openvino in bfloat16"}
    turns = json.loads((FOLDER / "turns.json").read_text("utf-8"))
    ten, hour = turns["rows"]
    assert (ten["minutes"], hour["minutes"]) == (10, 60)
    told = f"takes {hour['seconds']:.1f} s and {hour['beyond'] / 1e6:.0f} MB beyond the model, ten minutes "
    assert f"{told}{ten['seconds']:.1f} s and {ten['beyond'] / 1e6:.0f} MB" in " ".join(PAGE.split())
    assert f"float32's vectors is {turns['cosines']['bfloat16']['least']:.6f}" in " ".join(PAGE.split())


def test_the_kinds_of_calls_are_those_of_the_file() -> None:
    report = json.loads((FOLDER / "kinds-demo.json").read_text("utf-8"))
    page = (FOLDER.parent / "strategies.md").read_text("utf-8")
    for found in report["results"]:
        steps = found["kinds_after_minutes"]
        counts = [max(kinds for at, kinds in steps if at <= minute or at == steps[0][0]) for minute in (1, 30, 53)]
        (row,) = (
            line for line in page.splitlines() if line.startswith(f"| {found['strategy']}") and "calls" not in line
        )
        assert row.split("|")[2:-1] == [f" {count} " for count in (*counts, found["kinds"], f"{found['calls']:,}")]


def test_diarization_errors_are_those_of_the_file() -> None:
    """A row of the table for each recording, to the digit."""
    report = json.loads((FOLDER / "der-demo.json").read_text("utf-8"))
    for entry in report["files"]:
        whole = entry["collar_0"]
        shares = [whole[kind] / whole["scored"] for kind in ("missed", "false_alarm", "confusion")]
        shown = [f"{100 * share:.2f} %" for share in (whole["der"], *shares, entry["collar_0.25"]["der"])]
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {entry['id']}"))
        assert [cell.strip() for cell in row.split("|")[3:-1]] == shown
        assert f"{entry['speakers']}, {entry['found']}" in row
