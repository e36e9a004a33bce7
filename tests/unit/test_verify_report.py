"""The report as JSON and as a page."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import verify_builders as built
from literatim.errors import OptionError
from literatim.verify.chart import chart
from literatim.verify.page import page
from literatim.verify.report import from_dict, load, save, to_dict
from literatim.verify.types import Report

VOID = {"meta", "br", "line", "polyline", "path", "circle"}


class Page(HTMLParser):
    """Checks that elements close in order, and keeps names, attributes and text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def count(self, tag: str, kind: str) -> int:
        return sum(name == tag and attributes.get("class") == kind for name, attributes in self.tags)


@pytest.mark.parametrize("made", [built.report(), built.passed()])
def test_there_and_back(made: Report, tmp_path: Path) -> None:
    save(made, tmp_path / "new" / "folder")
    back = load(tmp_path / "new" / "folder")
    assert back == load(tmp_path / "new" / "folder" / "report.json")
    assert to_dict(back) == to_dict(made)
    for name in ("verdict", "modules", "zoom", "model", "schema"):
        assert getattr(back, name) == getattr(made, name)
    assert [item.tokens for item in back.end_to_end] == [item.tokens for item in made.end_to_end]
    assert (tmp_path / "new" / "folder" / "report.html").read_text("utf-8") == page(made)


def test_the_json_is_strict_and_versioned() -> None:
    made = built.report()
    lost = [item for item in made.modules if math.isinf(item.ratio)]
    assert len(lost) == 2
    text = json.dumps(to_dict(made), allow_nan=False)
    found = json.loads(text)
    assert (found["kind"], found["schema"], found["exit_code"]) == ("verify", 1, 1)
    assert [item["ratio"] for item in found["modules"] if item["name"] == lost[0].name] == [None]
    assert to_dict(built.passed())["exit_code"] == 0


def test_a_field_of_a_later_version_is_passed_over_and_a_missing_one_is_its_default() -> None:
    found = to_dict(built.report())
    found["verdict"]["certainty"] = 1
    del found["zoom"]
    assert from_dict(found) == replace(from_dict(to_dict(built.report())), zoom=())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "speed"}, "is no report"),
        ({"schema": 2}, "has the form 2 and this version of literatim reads 1"),
        ({"modules": [{}]}, "is damaged"),
        ({"modules": 3}, "is damaged"),
        ({"verdict": {"status": "pass", "reasons": None}}, "is damaged"),
    ],
)
def test_what_is_no_report(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = tmp_path / "some.json"
    file.write_text(json.dumps({**to_dict(built.report()), **change}))
    with pytest.raises(OptionError, match=said):
        load(file)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{")
    for path, said in ((tmp_path, "is not JSON"), (tmp_path / "none", "cannot be read"), (tmp_path / "x", "cannot")):
        with pytest.raises(OptionError, match=said):
            load(path)
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(OptionError, match="is no report"):
        load(tmp_path / "list.json")
    with pytest.raises(OptionError, match="cannot be written"):
        save(built.passed(), tmp_path / "report.json")


def test_the_page_says_all_and_needs_nothing() -> None:
    made = built.report()
    content = page(made, ("a remark",))
    found = Page(content)
    assert not [tag for tag, _ in found.tags if tag in {"script", "link", "img", "iframe"}]
    assert "http" not in content
    assert "@import" not in content
    assert "url(" not in content
    for text in ("fail", "not as it should be", "2 clips have <other> tokens", "a remark", "gain 1.001", "2026-01-02"):
        assert text in found.text
    for item in made.modules:
        assert item.name in found.text
    assert "All 26 places" in found.text
    assert "23 fp32-grade; 1 tf32-hf32-grade, which is not expected; 2 broken, which is not expected." in found.text
    assert found.count("tr", "fail") == 2 * 3  # of the three that fail, once alone and once among all
    assert found.count("tr", "warn") == 2
    for text in ("4 not finite", "1 wrong", "exact", "∞", "A & B", "in a process of its own", "1 − 5.1e-07"):
        assert text in found.text


def test_the_tokens_are_marked_where_they_differ() -> None:
    found = Page(page(built.report()))
    assert (found.count("div", "clip"), found.count("div", "clip tie"), found.count("div", "clip fail")) == (1, 1, 2)
    assert sum(tag == "mark" for tag, _ in found.tags) == 2 + 1 + 2
    for text in ("1 of 4 clips are the same", "a tie, either is right", "a rule decided", "the rules forbid", "<two>"):
        assert text in found.text


def test_a_clean_page_has_no_place_to_look() -> None:
    content = page(built.passed())
    found = Page(content)
    assert "Where to look" not in found.text
    assert "Inside" not in found.text
    assert "1 of 1 clips are the same" in found.text
    assert found.count("tr", "fail") == 0
    assert content.count("<details open>") == 2


def test_an_evidence_is_not_told_twice() -> None:
    made = built.report()
    suspect = made.verdict.suspects[0]
    again = replace(made.verdict, reasons=(f"{suspect.module}: {suspect.evidence}", "another"))
    found = Page(page(replace(made, verdict=again)))
    assert found.text.count("gain 1.001") == 1
    assert "another" in found.text


def test_nothing_but_a_verdict() -> None:
    Page(page(built.report(modules=(), end_to_end=(), zoom=(), environment={}, settings={})))


def test_the_drawing_has_a_point_for_each_place() -> None:
    drawn = chart(built.modules())
    found = Page(drawn)
    counts = [found.count("circle", kind) for kind in ("pass", "warn", "fail")]
    assert counts == [21, 1, 1]
    assert found.count("path", "lost") == 2  # not finite, and a wrong choice; the mask is exact
    assert found.text.count("encoder 0") == 1
    assert found.text.count("decoder 1") == 1
    assert "encoder.layers.1.attention.out: 1.0e-03, CPU 1.0e-07, tf32-hf32" in found.text
    lines = re.findall(r'polyline class="(\w+)" points="([^"]*)"', drawn)
    assert [(kind, len(points.split())) for kind, points in lines] == [("floor", 24), ("through", 25)]  # one is exact


def test_layers_are_named_where_there_is_room() -> None:
    """Those of which there is a place here and there are marked by a line alone."""
    names = (
        [f"decoder.layers.{at}.cross.kv" for at in range(4)] + ["decoder.layers.0.mlp.fc1"] * 40 + ["decoder.norm"] * 80
    )
    drawn = chart([built.place(name, at, built.deviation(1e-7, 1e-7)) for at, name in enumerate(names)])
    found = Page(drawn)
    assert found.text.count("decoder 0") == 1
    assert "decoder 1" not in found.text
    assert sum(tag == "line" and values.get("x1") == values.get("x2") for tag, values in found.tags) == 5


def test_the_drawing_is_to_scale() -> None:
    """A power of ten is everywhere as high; what is beyond the scale stays inside."""
    heights = {}
    for error in (1e-8, 1e-6, 1e-4, 1e-2):
        drawn = chart([built.place("encoder.conv1", 0, built.deviation(error, 1e-7))])
        heights[error] = float(re.findall(r'<circle class="pass" cx="[\d.]+" cy="([\d.]+)"', drawn)[0])
    steps = [a - b for a, b in zip(list(heights.values()), list(heights.values())[1:], strict=False)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.2)
    assert steps[0] > 20
    for error in (0.0, 1e-30, 1e30):
        drawn = chart([built.place("encoder.conv1", 0, built.deviation(error, 1e-7))])
        assert all(0 <= float(y) <= 300 for y in re.findall(r'cy="([-\d.]+)"', drawn))


def test_whose_the_noise_is() -> None:
    whole = built.whole()
    for against, said in (("fp64", "the same dtype there"), ("transformers", "transformers in the same dtype")):
        assert said in Page(page(built.report(end_to_end=(replace(whole, against=against),)))).text
