"""A speed report as tables, drawing and page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from literatim.bench import speed_page, speed_report
from literatim.bench.presets import PRESETS
from literatim.bench.rows import Row, Work, entries
from literatim.bench.runners.base import Turn
from literatim.cli.bench_common import drawing

WORDS = {"wer": 0.125, "reason": None}


def _row(name: str, total: float, **facts: Any) -> Row:
    stages = {"features": 0.001, "encoder": 0.01, "decoder": total - 0.01, "post": 0.002} if name == "literatim" else {}
    turns = [Turn(total / 4, total, stages), Turn(total / 4, total, stages)]
    start = {"cold_ms": 900.0, "load_ms": 300.0, "first_run_ms": 80.0}
    host = {"allocated": 3_000_000, "peak": 4_000_000}
    memory = {"host": host, "loaded": {"host": {"allocated": 2_000_000, "peak": 2_500_000}}}
    given = {"start": start, "turns": turns, "memory": memory, "wer": WORDS, "ids": [[1, 2]], **facts}
    return Row(name, name, "1.5", "best", "greedy", "float32", 1, **given)


@pytest.fixture
def report() -> dict[str, Any]:
    ours = _row("literatim", 0.025, shapes={"encoder": 1, "decoder": 4}, decode_ms=7.0)
    absent = Row("openvino", "openvino-genai", None, "best", "greedy", "int8", 1, "absent", "not <b>installed</b>")
    return {
        "model": "tiny",
        "weights": "random",
        "environment": {"cpu": "a CPU & more", "date": "2026-01-02", "packages": {"torch": "2.9", "x": None}},
        "settings": {"batches": [1, 8], "tokens": 2, "window_seconds": 30.0, "threads": 2},
        "rows": entries([ours, _row("transformers", 0.05), absent], Work(2, 30.0)),
        "published": [vars(item) for item in PRESETS["whisper-tiny"].published],
        "published_note": "stated as published",
    }


def test_tables_show_what_was_measured_and_why_the_rest_was_not(report: dict[str, Any]) -> None:
    latency, throughput, start, stages, published = speed_report.tables(report)
    ours, theirs = (dict(zip(latency.columns, row, strict=True)) for row in latency.rows)
    assert (ours["mean"], ours["p99"], ours["std"], ours["ms/token"]) == ("25.0", "25.0", "0.0", "9.38")
    assert (ours["ours/this"], theirs["ours/this"], theirs["same tokens"]) == ("", "0.50", "100.00 %")
    assert "2 tokens of a 30 s window" in latency.title
    assert "openvino int8 (best: greedy), batch 1: absent: not <b>installed</b>" in latency.notes
    rates = dict(zip(throughput.columns, throughput.rows[0], strict=True))
    assert (rates["windows/s"], rates["RTFx"], rates["tokens/s"], rates["WER"]) == ("40", "1200.0", "80.0", "12.50 %")
    assert "2 tokens a request" in throughput.title
    begun = dict(zip(start.columns, start.rows[0], strict=True))
    assert (begun["cold start"], begun["load"], begun["first run"], begun["warm"]) == ("900", "300", "80", "25")
    assert (begun["shapes"], begun["host loaded MB"], begun["host MB"], begun["host peak MB"]) == ("5", "2", "3", "4")
    assert (begun["device MB"], begun["device peak MB"]) == ("", "")
    assert [row[4:] for row in stages.rows] == [("7.0", "1.0", "10.0", "15.0", "2.0")]
    beside = published.rows[0]
    assert beside[:7] == (
        "transformers 4.57.6 with torch-npu 2.9.0.post1, CANN 8.5.1", "Ascend 910B4", "", "float32", "1", "105.4", "25"
    )  # fmt: skip
    assert published.notes[0] == "stated as published"
    assert any(note.startswith("source: an Ascend port") for note in published.notes)


def test_a_speed_without_words_says_so(report: dict[str, Any]) -> None:
    for row in report["rows"][:2]:
        row["wer"] = {"wer": None, "reason": "no WER: random weights"}
    table = speed_report.throughput(report)
    assert [row[-1] for row in table.rows] == ["no WER", "no WER"]
    assert "no WER: random weights" in table.notes


def test_device_memory_is_named(report: dict[str, Any]) -> None:
    report["rows"][0]["memory"]["device"] = {"allocated": 145_400_000, "peak": 200_000_000, "reserved": None}
    row = dict(zip(speed_report.start(report).columns, speed_report.start(report).rows[0], strict=True))
    assert (row["device MB"], row["device peak MB"]) == ("145", "200")
    assert speed_report.published(report).rows[0][-2:] == ("145.4", "145.4")


class Page(HTMLParser):
    """Checks that tags close in order, and gathers texts and addresses."""

    EMPTY = ("meta", "br", "hr", "link", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)
        names = ("src", "href", "xlink:href") if tag != "a" else ()
        self.loaded += [value for name, value in attrs if name in names and not value.startswith("#")]

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"td", "th", "p", "dd", "dt", "h1", "h2"}:
            self.texts.append(data)


def _read(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


def test_the_page_holds_every_figure_and_needs_nothing_else(report: dict[str, Any], tmp_path: Path) -> None:
    from literatim.bench.speed_draw import draw

    draw(report, tmp_path / "a.svg")
    text = speed_page.page(report, (tmp_path / "a.svg").read_text(encoding="utf-8"))
    page = _read(text)
    assert page.loaded == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 1
    assert '<meta name="viewport"' in text
    assert "prefers-color-scheme: dark" in text
    for table in speed_report.tables(report):
        for cell in (*table.columns, *(cell for row in table.rows for cell in row)):
            assert not cell or cell in page.texts
    assert "a CPU & more" in page.texts  # escaped once
    assert "b" not in page.tags  # a reason is text, whatever it holds
    assert "<?xml" not in text
    assert "torch 2.9, x not known" in page.texts


def test_a_page_without_a_drawing(report: dict[str, Any]) -> None:
    page = _read(speed_page.page(report, None))
    assert "svg" not in page.tags
    assert page.tags.count("table") == 5


def test_the_drawing(report: dict[str, Any], tmp_path: Path) -> None:
    from literatim.bench.speed_draw import draw

    draw(report, tmp_path / "a.svg")
    draw(report, tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert ET.fromstring(text).tag.endswith("svg")
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    assert {"literatim float32", "transformers float32", " 25", " 50"} <= set(shown)
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")


def test_a_drawing_of_nothing(report: dict[str, Any], tmp_path: Path) -> None:
    from literatim.bench.speed_draw import draw

    report["rows"] = report["rows"][2:]
    draw(report, tmp_path / "a.svg")
    assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert speed_report.tables(report)[0].rows == ()


def test_no_drawing_without_matplotlib(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert drawing(report, tmp_path / "a.json", "literatim.bench.speed_draw") is None
    assert list(tmp_path.iterdir()) == []
    assert "pip install 'literatim[bench]'" in capsys.readouterr().err
