"""Spoken markup: every command, sections and their times, and that nothing said is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from literatim.cli.inputs import Item
from literatim.cli.output import Output
from literatim.errors import OptionError
from literatim.text import dictation, marks, writers
from literatim.text.dictation import Span, parse, plain, raw, report
from literatim.types import Segment, Transcript, Word

SAMPLE = (  # the shape of MedASR's output, as published for a CT dictation
    "[EXAM TYPE] CT chest PE protocol {period} [INDICATION] 54-year-old female, shortness of breath {period} "
    "[FINDINGS] {colon} Pulmonary vasculature {colon} The main PA is patent {period} {new paragraph} "
    "Lungs {colon} No pneumothorax {period} {new paragraph} [IMPRESSION] {colon} Acute segmental PE {comma} "
    "right lower lobe {period}"
)
TEXT = """EXAM TYPE: CT chest PE protocol.

INDICATION: 54-year-old female, shortness of breath.

FINDINGS: Pulmonary vasculature: The main PA is patent.

Lungs: No pneumothorax.

IMPRESSION: Acute segmental PE, right lower lobe."""
WRITTEN = {  # one of each kind, with what stands in a text for "left {...} right"
    "period": "left. right",
    "full stop": "left. right",
    "comma": "left, right",
    "colon": "left: right",
    "semicolon": "left; right",
    "question mark": "left? right",
    "exclamation point": "left! right",
    "open parenthesis": "left (right",
    "close parenthesis": "left) right",
    "open quote": "left \u201cright",
    "close quote": "left\u201d right",
    "open square bracket": "left [right",
    "close square bracket": "left] right",
    "percent sign": "left% right",
    "number sign": "left #right",
    "hyphen": "left-right",
    "slash": "left/right",
    "backslash": "left\\right",
    "apostrophe": "left'right",
    "dash": "left \u2013 right",
    "ampersand": "left & right",
    "plus sign": "left + right",
    "equals sign": "left = right",
    "asterisk": "left * right",
    "new line": "left\nright",
    "next line": "left\nright",
    "newline": "left\nright",
    "new paragraph": "left\n\nright",
    "next paragraph": "left\n\nright",
}


def words(text: str) -> list[Span]:
    """A word a second, each half a second long."""
    return [Span(f" {word}", float(at), at + 0.5) for at, word in enumerate(text.split())]


@pytest.mark.parametrize("command", WRITTEN)
def test_each_command_is_written_as_its_mark(command: str) -> None:
    assert plain(f"left {{{command}}} right") == WRITTEN[command]
    assert plain(f"left {{{command.upper()}}} right") == WRITTEN[command]
    assert plain(f"left{{{command.replace(' ', '_')}}}right") == WRITTEN[command]


def test_every_mark_is_among_those_tried() -> None:
    assert {mark.text for mark in marks.MARKS.values()} == {marks.MARKS[command].text for command in WRITTEN}


@pytest.mark.parametrize("command", sorted(marks.MARKS))
def test_markup_comes_back_from_what_was_parsed(command: str) -> None:
    said = f"[FINDINGS] left {{{command}}} right {{{command}}}"
    assert raw(parse(said)) == said
    assert raw(parse(words(said))) == said


def test_a_report_as_text() -> None:
    assert report(SAMPLE).text() == TEXT
    assert [section.heading for section in report(SAMPLE).sections] == [
        "EXAM TYPE",
        "INDICATION",
        "FINDINGS",
        "IMPRESSION",
    ]


@pytest.mark.parametrize("between", ["", "{colon}", "{colon} {new paragraph}", "{new paragraph}", "{colon} {colon}"])
def test_a_heading_has_one_colon(between: str) -> None:
    assert report(f"[FINDINGS] {between} Lungs {{colon}} clear {{period}}").text() == "FINDINGS: Lungs: clear."


def test_headings_without_text_and_text_without_headings() -> None:
    assert report("[FINDINGS] {colon} [IMPRESSION] {colon} None {period}").text() == "FINDINGS:\n\nIMPRESSION: None."
    assert report("Lungs clear {period} [PLAN] Rest").text() == "Lungs clear.\n\nPLAN: Rest"
    assert report("").sections == ()
    assert report("{new paragraph}").text() == ""


def test_what_is_not_known_stays() -> None:
    said = "left {bold that} [see note] {} { 3 } [ right </s> a}b{c"
    assert plain(said) == said
    assert report(said).text() == said
    assert raw(parse(said)) == said


def test_breaks_in_a_row_are_one() -> None:
    assert plain("a {new line} {new paragraph} {new line} b {new paragraph}") == "a\n\nb"
    assert plain("a {new line} {new line} b") == "a\nb"


def test_markdown() -> None:
    made = report(
        "[FINDINGS] {colon} a_b {asterisk} c {new line} 2 {period} d {new paragraph} {number sign} 1"
    ).markdown()
    assert made == "## FINDINGS\n\na\\_b \\* c\\\n2\\. d\n\n\\#1"
    assert report("- a").markdown() == "\\- a"


def test_times_of_sections_and_paragraphs() -> None:
    found = report(words("Go {new paragraph} [EXAM TYPE] {colon} CT head {new paragraph} None {period}")).sections
    assert [(section.heading, section.start, section.end) for section in found] == [
        (None, 0, 2.5),
        ("EXAM TYPE", 3, 11.5),
    ]
    assert [(part.text, part.start, part.end) for part in found[1].paragraphs] == [
        ("CT head", 6, 7.5),
        ("None.", 10, 11.5),
    ]


def transcript(*segments: Segment) -> Transcript:
    text = "".join(segment.text for segment in segments)
    return Transcript(text=text, segments=segments, language="en", language_probability=1.0, duration=99.0)


def segment(text: str, start: float, end: float, *, timed: bool) -> Segment:
    said = tuple(Word(span.text, start + (span.start or 0), start + (span.end or 0), 0.5) for span in words(text))
    return Segment(0, 0, start, end, f" {text}", (), 0.0, 0.0, 1.0, 0.0, words=said if timed else None)


def test_a_transcript_as_punctuation() -> None:
    """Segments and words say what is written; a mark of two words has the times and the doubts of both."""
    parts = "[PLAN] {colon} Rest {period} {new paragraph}", "3 {hyphen} 4 {bold it} days {question mark}"
    made = dictation.rendered(transcript(segment(parts[0], 0, 9, timed=True), segment(parts[1], 20, 29, timed=False)))
    assert made.text == "[PLAN]: Rest.\n\n3-4 {bold it} days?"
    first, second = made.segments
    assert (first.text, second.text) == (" [PLAN]: Rest.", " 3-4 {bold it} days?")
    assert first.words is not None
    assert [(word.word, word.start, word.end, word.probability) for word in first.words] == [
        (" [PLAN]", 0, 0.5, 0.5),
        (":", 1, 1.5, 0.5),
        (" Rest", 2, 2.5, 0.5),
        (".", 3, 3.5, 0.5),
    ]
    again = dictation.rendered_segment(segment("a {new paragraph} b", 0, 9, timed=True))
    assert [(word.word, word.end, word.probability) for word in again.words or ()] == [
        (" a", 0.5, 0.5),
        ("\n\n", 2.5, 0.25),
        ("b", 3.5, 0.5),
    ]


@pytest.mark.parametrize(
    ("format", "name", "expected"),
    [
        ("report", "one.report.txt", "PLAN: Rest.\n"),
        ("report-md", "one.report.md", "## PLAN\n\nRest.\n"),
        ("report-json", "one.report.json", None),
    ],
)
def test_reports_as_files(format: str, name: str, expected: str | None, tmp_path: Path) -> None:
    said = transcript(segment("[PLAN] {colon} Rest {period}", 5, 9, timed=True))
    assert writers.save(said, "one", tmp_path, [format]) == [tmp_path / name]
    written = (tmp_path / name).read_text("utf-8")
    if expected is None:
        found = json.loads(written)
        assert (found["text"], found["sections"]) == ("PLAN: Rest.", report(said).to_dict()["sections"])
        assert [(part["heading"], part["start"], part["end"]) for part in found["sections"]] == [("PLAN", 5, 8.5)]
    else:
        assert written == expected


def output(**asked: Any) -> Output:
    """What the command makes of its flags."""
    values = {
        "output_format": None,
        "output_dir": None,
        "verbose": True,
        "as_json": False,
        "raw": False,
        "diarize": False,
    }
    values |= {"word_timestamps": False, "highlight_words": False, "max_line_width": None, "max_line_count": None}
    return Output.chosen({**values, "max_words_per_line": None, **asked}, 1).of("lasr_ctc")


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"verbose": False}, "[PLAN]: Rest.\n"),
        ({"verbose": False, "raw": True}, "[PLAN] {colon} Rest {period}\n"),
        ({"output_format": "report"}, "PLAN: Rest.\n"),
        ({"output_format": "report-md", "raw": True}, "PLAN: Rest.\n"),
    ],
)
def test_what_the_command_shows(
    asked: dict[str, Any], shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = output(**asked, output_dir=tmp_path if "output_format" in asked else None)
    chosen.show(Item("a.wav", PurePath("a")), transcript(segment("[PLAN] {colon} Rest {period}", 5, 9, timed=True)))
    assert capsys.readouterr().out == shown
    assert [path.name for path in tmp_path.iterdir()] == (
        [f"a.report.{'md' if asked['output_format'] == 'report-md' else 'txt'}"] if "output_format" in asked else []
    )


def test_what_is_printed_and_written_keeps_or_renders_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = transcript(segment("Rest {period}", 5, 9, timed=True))
    for raw_, expected in ((False, "Rest."), (True, "Rest {period}")):
        chosen = output(raw=raw_, output_format="all,report", output_dir=tmp_path)
        chosen.save(Item("a.wav", PurePath("a")), said)
        assert (tmp_path / "a.txt").read_text() == f"{expected}\n"
        assert json.loads((tmp_path / "a.json").read_text())["text"].strip() == expected
        assert (tmp_path / "a.report.txt").read_text() == "Rest.\n"
        assert {path.suffix for path in tmp_path.iterdir()} == {".txt", ".vtt", ".srt", ".tsv", ".json"}
        chosen.show_segment(said.segments[0])
        assert capsys.readouterr().out == f"[00:05.000 --> 00:09.000] {expected}\n"


def test_whisper_has_no_markup() -> None:
    for asked, why in (({"raw": True}, "leave raw out"), ({"output_format": "txt,report-md"}, "report-md is made of")):
        with pytest.raises(OptionError, match=why):
            output(**asked).of("whisper")
    assert output().of("whisper").streams
    assert not output(output_format="report").streams


def test_a_transcript_by_its_words_or_by_its_segments() -> None:
    facts = {"id": 0, "seek": 0, "tokens": (), "temperature": 0.0, "avg_logprob": 0.0}
    facts |= {"compression_ratio": 1.0, "no_speech_prob": 0.0}
    said = tuple(Word(span.text, span.start or 0.0, span.end or 0.0, 0.9) for span in words("[PLAN] Rest {period}"))
    timed = Segment(start=0, end=4, text=" [PLAN] Rest {period}", words=said, **facts)  # type: ignore[arg-type]
    bare = Segment(start=5, end=9, text=" [FINDINGS] None {new paragraph} Yes", **facts)  # type: ignore[arg-type]
    whole = Transcript(text="", segments=(timed, bare), language="en", language_probability=1.0, duration=9)
    assert report(whole).to_dict() == {
        "text": "PLAN: Rest.\n\nFINDINGS: None\n\nYes",
        "sections": [
            {
                "heading": "PLAN",
                "text": "Rest.",
                "start": 0,
                "end": 2.5,
                "paragraphs": [{"text": "Rest.", "start": 1, "end": 2.5}],
            },
            {
                "heading": "FINDINGS",
                "text": "None\n\nYes",
                "start": 5,
                "end": 9,
                "paragraphs": [{"text": "None", "start": 5, "end": 9}, {"text": "Yes", "start": 5, "end": 9}],
            },
        ],
    }


PIECES = [
    *(f"{{{name}}}" for name in marks.MARKS),
    "{odd one}",
    "[FINDINGS]",
    "[odd]",
    "CT",
    "3.2",
    "PE,",
    "a'b",
    "{",
    "}",
]


@given(st.lists(st.sampled_from(PIECES), max_size=20))
def test_nothing_is_lost(said: list[str]) -> None:
    text = " ".join(said)
    items = parse(words(text))
    assert raw(items) == raw(parse(raw(items)))
    assert re.sub(r"\s", "", raw(items)) == re.sub(r"\s", "", text)
    kept = [word for word in said if word[0] not in "{[" or "odd" in word]
    rendered = (plain(text), report(words(text)).text())
    for made in rendered:
        at = 0
        for word in kept:  # in their order, whole
            at = made.index(word, at) + len(word)


@given(st.text(max_size=80))
def test_any_text_is_taken(text: str) -> None:
    assert re.sub(r"\s", "", raw(parse(text))) == re.sub(r"\s", "", text)
    report(text).markdown()
    plain(text)
    dictation.report([Span(text, 0.0, 1.0)]).to_dict()
