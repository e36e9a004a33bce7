"""Writers, read back by other libraries: pysubs2 for srt and vtt, csv for tsv, json for json."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysubs2.formats.webvtt import WebVTTFormat

from literatim.errors import LiteratimError, OptionError
from literatim.options import OUTPUT_FORMATS, REPORT_FORMATS
from literatim.text.writers import WRITERS, format_time, save, write
from literatim.types import Segment, Transcript, Word

# openai/whisper, whisper/transcribe.py and whisper/timing.py: keys of its JSON, in its order.
SEGMENT_KEYS = [
    "id",
    "seek",
    "start",
    "end",
    "text",
    "tokens",
    "temperature",
    "avg_logprob",
    "compression_ratio",
]
SEGMENT_KEYS += ["no_speech_prob", "words"]
HOURS_100 = 360_000.0
LINE = re.compile(r"\s+")


def segment(text: str, start: float = 0.0, end: float = 1.0, **more: Any) -> Segment:
    facts: dict[str, Any] = {"id": 0, "seek": 0, "tokens": (1, 2), "temperature": 0.0, "avg_logprob": -0.5}
    facts |= {"compression_ratio": 1.0, "no_speech_prob": 0.1, **more}
    return Segment(start=start, end=end, text=text, **facts)


def transcript(*segments: Segment, **more: Any) -> Transcript:
    text = "".join(item.text for item in segments)
    facts: dict[str, Any] = {"language": "en", "language_probability": 1.0, "duration": 9.5, **more}
    return Transcript(text=text, segments=segments, **facts)


def written(result: Transcript, format: str) -> str:
    stream = io.StringIO()
    write(result, format, stream)
    return stream.getvalue()


LETTERS = st.characters(exclude_categories=("Cs", "Cc", "Cn"))
WORDS = st.text(LETTERS, min_size=1, max_size=12) | st.sampled_from(
    [
        "שלום",
        "مرحبا",
        "字幕です",
        "👩\u200d👧",
        "\u202eabc",
        "--",
        "-->",
        "--->",
        "<b>",
        "&amp;",
        "R&D",
        "\n",
        "\r\n\n",
        "\t",
        "\u2028",
    ]
)
TEXTS = st.lists(WORDS, max_size=6).map(" ".join)
SPEAKERS = st.none() | st.sampled_from(["SPEAKER_00", "SPEAKER_01", "Ann <MD> & co"])


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    times = sorted(draw(st.lists(st.floats(0, HOURS_100 - 1), min_size=2, max_size=12)))
    pairs = pairwise(times)
    segments = [
        segment(draw(TEXTS), start, end, id=id, speaker=draw(SPEAKERS)) for id, (start, end) in enumerate(pairs)
    ]
    return transcript(*segments)


def flat(text: str) -> str:
    """Text without the differences in white space that a one-line cue may bring."""
    return LINE.sub(" ", text).strip()


def spoken(result: Transcript) -> list[Segment]:
    return [item for item in result.segments if item.text.strip()]


@settings(max_examples=60, deadline=None)
@given(transcripts())
def test_srt_reads_back(result: Transcript) -> None:
    content = written(result, "srt")
    cues = list(pysubs2.SSAFile.from_string(content, format_="srt", keep_html_tags=True))
    assert len(cues) == len(spoken(result))
    assert re.findall(r"(?m)^(\d+)\n\d\d+:\d\d:\d\d,\d{3} --> ", content) == [
        str(number) for number in range(1, len(cues) + 1)
    ]
    for cue, item in zip(cues, spoken(result), strict=True):
        label = f"[{item.speaker}]: " if item.speaker else ""
        assert flat(cue.text) == flat(label + re.sub("-{2,}>", "->", item.text))
        _check_times(cue, item)


@settings(max_examples=60, deadline=None)
@given(transcripts())
def test_vtt_reads_back(result: Transcript) -> None:
    content = written(result, "vtt")
    assert content.startswith("WEBVTT\n\n")
    cues = list(pysubs2.SSAFile.from_string(content, format_="vtt", keep_html_tags=True))
    assert len(cues) == len(spoken(result))
    for cue, item in zip(cues, spoken(result), strict=True):
        voice = f"<v {html.escape(item.speaker, quote=False)}>" if item.speaker else ""
        assert cue.text.startswith(voice)
        payload = cue.text[len(voice) :]
        assert flat(html.unescape(payload)) == flat(html.unescape(html.escape(item.text)))
        assert "<" not in payload
        _check_times(cue, item)


def _check_times(cue: pysubs2.SSAEvent, item: Segment) -> None:
    assert abs(cue.start - 1000 * item.start) <= 1
    assert abs(cue.end - 1000 * item.end) <= 1


@settings(max_examples=60, deadline=None)
@given(transcripts())
def test_tsv_reads_back(result: Transcript) -> None:
    rows = list(csv.reader(io.StringIO(written(result, "tsv"), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows[0] == ["start", "end", "text"]
    assert len(rows) == 1 + len(result.segments)
    for (start, end, text), item in zip(rows[1:], result.segments, strict=True):
        assert abs(int(start) - 1000 * item.start) <= 1
        assert abs(int(end) - 1000 * item.end) <= 1
        assert flat(text) == flat(item.text)


@settings(max_examples=60, deadline=None)
@given(transcripts())
def test_txt_has_one_line_a_segment(result: Transcript) -> None:
    lines = written(result, "txt").splitlines()
    expected = [(f"[{item.speaker}]: " if item.speaker else "") + item.text for item in spoken(result)]
    assert [flat(line) for line in lines] == [flat(text) for text in expected]


@settings(max_examples=60, deadline=None)
@given(transcripts())
def test_json_reads_back(result: Transcript) -> None:
    assert json.loads(written(result, "json")) == result.to_dict()


def test_json_has_the_schema_of_openai_and_keeps_letters() -> None:
    word = Word(word=" 你好", start=0.0, end=0.5, probability=0.9)
    result = transcript(segment(" 你好", words=(word,)))
    content = written(result, "json")
    read = json.loads(content)
    assert list(read)[:3] == ["text", "segments", "language"]
    assert list(read["segments"][0]) == SEGMENT_KEYS
    assert list(read["segments"][0]["words"][0]) == ["word", "start", "end", "probability"]
    assert '" 你好"' in content


def test_json_has_no_numbers_that_json_does_not_know() -> None:
    result = transcript(segment(" a", avg_logprob=float("-inf"), no_speech_prob=float("nan")))
    read = json.loads(written(result, "json"), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read["segments"][0]["avg_logprob"] is None
    assert read["segments"][0]["no_speech_prob"] is None


@pytest.mark.parametrize(
    ("seconds", "srt", "vtt"),
    [
        (0.0, "00:00:00,000", "00:00.000"),
        (0.0004, "00:00:00,000", "00:00.000"),
        (-0.2, "00:00:00,000", "00:00.000"),
        (1.28, "00:00:01,280", "00:01.280"),
        (59.9996, "00:01:00,000", "01:00.000"),
        (3599.9996, "01:00:00,000", "01:00:00.000"),
        (3661.001, "01:01:01,001", "01:01:01.001"),
        (HOURS_100 - 0.001, "99:59:59,999", "99:59:59.999"),
        (HOURS_100, "100:00:00,000", "100:00:00.000"),
    ],
)
def test_times(seconds: float, srt: str, vtt: str) -> None:
    assert format_time(seconds, hours=True, marker=",") == srt
    assert format_time(seconds, hours=False, marker=".") == vtt


def test_the_formats_letter_for_letter() -> None:
    result = transcript(
        segment(" Hello --> there.\n\n2", 0.0, 1.5, speaker="SPEAKER_00"),
        segment(" ", 1.5, 1.5),
        segment(" 1 < 2\t&c. ", 3600.0, 3601.25),
    )
    assert written(result, "txt") == "[SPEAKER_00]: Hello --> there. 2\n1 < 2\t&c.\n"
    assert written(result, "srt") == (
        "1\n00:00:00,000 --> 00:00:01,500\n[SPEAKER_00]: Hello -> there. 2\n\n"
        "2\n01:00:00,000 --> 01:00:01,250\n1 < 2\t&c.\n\n"
    )
    assert written(result, "vtt") == (
        "WEBVTT\n\n00:00.000 --> 00:01.500\n<v SPEAKER_00>Hello --&gt; there. 2\n\n"
        "01:00:00.000 --> 01:00:01.250\n1 &lt; 2\t&amp;c.\n\n"
    )
    assert written(result, "tsv") == (
        "start\tend\ttext\n0\t1500\tHello --> there. 2\n1500\t1500\t\n3600000\t3601250\t1 < 2 &c.\n"
    )


def test_an_empty_transcript_is_still_a_file_of_its_kind() -> None:
    empty = transcript()
    assert written(empty, "txt") == written(empty, "srt") == ""
    assert written(empty, "vtt") == "WEBVTT\n\n"
    assert WebVTTFormat.guess_format(written(empty, "vtt")) == "vtt"
    assert written(empty, "tsv") == "start\tend\ttext\n"
    assert json.loads(written(empty, "json"))["segments"] == []


def test_every_format_of_the_options_has_a_writer() -> None:
    assert set(WRITERS) == {*OUTPUT_FORMATS, *REPORT_FORMATS}


def test_save_writes_utf8_beside_nothing_else(tmp_path: Path) -> None:
    result = transcript(segment(" größer 你好\n"))
    folder = tmp_path / "new" / "folder"
    paths = save(result, "talk.v2", folder, ["srt", "txt", "srt"])
    assert paths == [folder / "talk.v2.srt", folder / "talk.v2.txt"]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert paths[1].read_bytes() == "größer 你好\n".encode()
    reference = tmp_path / "made by open()"
    reference.touch()
    assert paths[1].stat().st_mode == reference.stat().st_mode


def test_save_replaces_whole_files_or_none(tmp_path: Path) -> None:
    save(transcript(segment(" old")), "talk", tmp_path, ["txt"])
    half = transcript(segment(" new"), segment(" half a pair \ud83c"))
    with pytest.raises(UnicodeEncodeError):
        save(half, "talk", tmp_path, ["txt"])
    assert [path.name for path in tmp_path.iterdir()] == ["talk.txt"]
    assert (tmp_path / "talk.txt").read_text(encoding="utf-8") == "old\n"
    save(replace(half, segments=half.segments[:1]), "talk", tmp_path, ["txt"])
    assert (tmp_path / "talk.txt").read_text(encoding="utf-8") == "new\n"


def test_save_says_what_is_wrong(tmp_path: Path) -> None:
    result = transcript(segment(" a"))
    with pytest.raises(OptionError, match=r"'docx'; choose one of txt, vtt"):
        save(result, "talk", tmp_path, ["txt", "docx"])
    for stem in ("", "a/b", "../a", "."):
        with pytest.raises(OptionError, match="file name"):
            save(result, stem, tmp_path, ["txt"])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(LiteratimError, match=r"cannot write .*choose another output_dir"):
        save(result, "talk", tmp_path / "file", ["txt"])
