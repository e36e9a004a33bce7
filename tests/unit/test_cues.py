"""Subtitles of words, beside openai/whisper's own writers."""

from __future__ import annotations

import io
from typing import Any

import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from literatim.declare import build
from literatim.errors import OptionError
from literatim.options import SubtitleOptions
from literatim.text.writers import write
from literatim.types import Segment, Transcript, Word
from reference.openai_whisper import openai

FACTS: dict[str, Any] = {"seek": 0, "tokens": (1,), "temperature": 0.0, "avg_logprob": -0.5, "compression_ratio": 1.0}
FACTS |= {"no_speech_prob": 0.1}
TEXTS = st.sampled_from([" a", " word", " longer,", "字", " end.", " -", "x", " twentytwocharacterslong"])
LAYOUTS = st.fixed_dictionaries(
    {},
    optional={
        "highlight_words": st.booleans(),
        "max_line_width": st.integers(1, 30),
        "max_line_count": st.integers(1, 3),
        "max_words_per_line": st.integers(1, 4),
    },
)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Segments of words with pauses between some of them; times are whole hundredths."""
    at, segments = draw(st.integers(0, 400)), []
    for number in range(draw(st.integers(1, 4))):
        words = []
        for text in draw(st.lists(TEXTS, min_size=1, max_size=7)):
            start = at + draw(st.sampled_from([0, 0, 5, 120, 301, 450]))
            at = start + draw(st.integers(0, 60))
            words.append(Word(text, start / 100, at / 100, 0.5))
        text = "".join(word.word for word in words)
        edges = {"start": words[0].start, "end": words[-1].end}
        segments.append(Segment(id=number, text=text, words=tuple(words), **edges, **FACTS))
    return Transcript("".join(item.text for item in segments), "en", 1.0, at / 100, tuple(segments))


@settings(max_examples=300, deadline=None)
@given(transcripts(), LAYOUTS, st.sampled_from(["srt", "vtt"]))
def test_cues_are_openai_whispers(transcript: Transcript, layout: dict[str, Any], format: str) -> None:
    theirs, ours = io.StringIO(), io.StringIO()
    openai("utils").get_writer(format, ".").write_result(transcript.to_dict(), theirs, layout)
    write(transcript, format, ours, build(SubtitleOptions, layout))
    assert ours.getvalue() == theirs.getvalue()


def spoken(*segments: tuple[str | None, list[str]]) -> Transcript:
    """A word a second, by these speakers."""
    at, made = 0, []
    for number, (speaker, texts) in enumerate(segments):
        words = tuple(Word(text, at + n, at + n + 1.0, 0.5) for n, text in enumerate(texts))
        at += len(texts)
        edges = {"start": words[0].start, "end": words[-1].end}
        made.append(Segment(id=number, text="".join(texts), words=words, speaker=speaker, **edges, **FACTS))
    return Transcript("", "en", 1.0, float(at), tuple(made))


def written(transcript: Transcript, format: str, **layout: Any) -> str:
    stream = io.StringIO()
    write(transcript, format, stream, build(SubtitleOptions, layout))
    return stream.getvalue()


def test_a_cue_has_one_speaker() -> None:
    found = written(spoken(("A", [" yes", " so"]), ("B", [" no"])), "srt", max_line_width=40, max_line_count=2)
    assert [event.text for event in pysubs2.SSAFile.from_string(found)] == ["[A]: yes so", "[B]: no"]


@pytest.mark.parametrize("highlight", [False, True])
@pytest.mark.parametrize("texts", [[" a", " --", ">", " b"], [" <b>", " &amp;", " x\n\ny"], [" ->", " -->", "\u2028"]])
def test_words_cannot_break_a_file(texts: list[str], highlight: bool) -> None:
    """Arrows over the edges of words, tags and line breaks: each cue is read back with the words it was given."""
    for format in ("srt", "vtt"):
        found = written(spoken((None, texts), (None, [" end"])), format, highlight_words=highlight)
        assert len([text for text in found.splitlines() if "-->" in text]) == (len(texts) + 1 if highlight else 2)
        blocks = found.removeprefix("WEBVTT\n\n").strip().split("\n\n")
        assert len(blocks) == (len(texts) + 1 if highlight else 2)


@pytest.mark.parametrize(
    ("layout", "words", "said"),
    [
        ({"highlight_words": True}, False, "word_timestamps"),
        ({"max_line_width": 20}, False, "word_timestamps"),
        ({"max_line_count": 2}, True, "max_line_width"),
        ({"max_words_per_line": 2, "max_line_width": 20}, True, "give one"),
    ],
)
def test_what_has_no_effect_is_refused(layout: dict[str, Any], words: bool, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        build(SubtitleOptions, layout).check(words)


def test_what_has_an_effect_passes() -> None:
    SubtitleOptions().check(word_timestamps=False)
    build(SubtitleOptions, {"max_line_width": 20, "max_line_count": 2, "highlight_words": True}).check(True)
