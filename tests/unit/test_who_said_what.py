"""Turns put to words, and RTTM."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from literatim.errors import OptionError
from literatim.pipeline.speakers import attributed, sentences, speaker_at
from literatim.text import rttm, writers
from literatim.types import Diarization, Segment, Transcript, Turn, Word

A, B = "SPEAKER_00", "SPEAKER_01"


def words(text: str, start: float = 0.0, each: float = 0.4) -> tuple[Word, ...]:
    """Words of the same length, one after the other."""
    parts = text.split(" ")
    return tuple(Word(f" {one}", start + at * each, start + (at + 1) * each, 0.9) for at, one in enumerate(parts))


def segment(text: str, start: float = 0.0, with_words: bool = True, each: float = 0.4) -> Segment:
    own = words(text, start, each)
    told = own if with_words else None
    return Segment(0, 0, start, own[-1].end, f" {text}", (1, 2, 3), 0.0, -0.1, 1.0, 0.0, told)


def transcript(*segments: Segment) -> Transcript:
    return Transcript("".join(one.text for one in segments), "en", 1.0, segments[-1].end, tuple(segments))


def turns(*parts: tuple[float, float, str]) -> Diarization:
    made = tuple(Turn(*part) for part in parts)
    return Diarization(made, tuple(dict.fromkeys(turn.speaker for turn in made)), made[-1].end if made else 0.0)


def written(told: Transcript, format: str) -> str:
    stream = io.StringIO()
    writers.write(told, format, stream)
    return stream.getvalue()


def test_a_segment_is_parted_where_its_speaker_changes() -> None:
    told = transcript(segment("Are you ready? Yes, I am."))  # 2.4 s
    found = attributed(told, turns((0.0, 1.2, A), (1.25, 2.4, B)))
    assert [(one.id, one.speaker, one.text) for one in found.segments] == [
        (0, A, " Are you ready?"),
        (1, B, " Yes, I am."),
    ]
    assert found.segments[0].end == found.segments[1].start == pytest.approx(1.2)
    assert [word.speaker for one in found.segments for word in one.words or ()] == [A, A, A, B, B, B]
    assert found.speakers == (A, B)
    assert found.text == "".join(one.text for one in found.segments) == told.text
    assert all(one.tokens == () for one in found.segments)


def test_a_segment_of_one_speaker_stays_whole() -> None:
    told = transcript(segment("Good morning to you."))
    found = attributed(told, turns((0.0, 2.0, B)))
    assert found.segments[0].tokens == (1, 2, 3)
    assert found.speakers == (B,)


@pytest.mark.parametrize("edge", [0.9, 1.1, 1.3, 1.5])
def test_an_edge_that_is_a_little_off_gives_no_word_to_the_wrong_speaker(edge: float) -> None:
    told = transcript(segment("Are you ready? Yes, I am."))
    found = attributed(told, turns((0.0, edge, A), (edge, 2.4, B)))
    assert [one.text for one in found.segments] == [" Are you ready?", " Yes, I am."]


def test_a_sentence_over_several_segments_is_one_speakers() -> None:
    told = transcript(segment("I think that we"), segment("should go home now.", 1.6))
    found = attributed(told, turns((0.0, 2.6, A), (2.6, 3.2, B)))
    assert {word.speaker for one in found.segments for word in one.words or ()} == {A}


def test_who_says_enough_without_a_full_stop_between_keeps_it() -> None:
    told = transcript(segment("i think that we should go home now yes that is a good idea of yours", each=0.5))
    found = attributed(told, turns((0.0, 4.0, A), (4.1, 8.0, B)))
    assert [(one.speaker, one.text) for one in found.segments] == [
        (A, " i think that we should go home now"),
        (B, " yes that is a good idea of yours"),
    ]


def test_one_word_at_the_edge_of_a_sentence_is_nobodys_own_however_long() -> None:
    own = (Word(" Well,", 0.0, 1.5, 0.9), *words("we should go home now.", 1.5))
    told = transcript(replace(segment("Well, we should go home now."), end=3.5, words=own))
    assert [one.speaker for one in attributed(told, turns((0.0, 1.5, A), (1.5, 3.5, B))).segments] == [B]


@pytest.mark.parametrize("made", [((5.0, 8.9, A), (14.4, 16.0, B)), ((5.0, 9.1, A), (14.6, 16.0, B))])
def test_words_between_distant_turns_go_to_the_nearest_of_both(made: tuple[tuple[float, float, str], ...]) -> None:
    """Of a long sentence in which no turn is: one of them is more than a second from its edge."""
    told = transcript(segment("none of this was found as speech", 10.0, each=0.5))
    found = attributed(told, turns((0.0, 1.0, B), *made, (20.0, 21.0, A)))
    assert [one.speaker for one in found.segments] == [A, B]
    for word in (word for one in found.segments for word in one.words or ()):
        assert word.speaker == speaker_at(word.start, word.end, turns(*made).turns)


def test_segments_without_words_are_of_who_talks_for_most_of_them() -> None:
    told = transcript(segment("one two three", with_words=False), segment("four five", 1.2, with_words=False))
    found = attributed(told, turns((0.0, 0.9, A), (0.9, 2.0, B)))
    assert [one.speaker for one in found.segments] == [A, B]


def test_words_outside_of_all_turns_go_to_the_nearest() -> None:
    made = turns((1.0, 2.0, A), (5.0, 6.0, B)).turns
    assert speaker_at(0.0, 0.5, made) == A
    assert speaker_at(2.5, 3.0, made) == A
    assert speaker_at(4.0, 4.5, made) == B
    assert speaker_at(8.0, 9.0, made) == B
    told = transcript(segment("Hello there.", 2.2), segment("Hello you.", 8.0))
    assert [one.speaker for one in attributed(told, turns((1.0, 2.0, A), (5.0, 6.0, B))).segments] == [A, B]


def test_without_turns_nothing_is_changed_but_the_warnings() -> None:
    told = transcript(segment("Hello there."))
    found = attributed(told, Diarization((), (), 1.0, ("no speech was found",)))
    assert found.segments == told.segments
    assert found.warnings == ("no speech was found",)


def test_where_two_talk_at_once_no_word_is_lost() -> None:
    told = transcript(segment("Are you ready? Yes, I am."))
    found = attributed(told, turns((0.0, 1.6, A), (0.8, 2.4, B)))
    assert "".join(one.text for one in found.segments) == told.text
    assert [one.speaker for one in found.segments] == [A, B]


@pytest.mark.parametrize(
    ("text", "count"),
    [("One two. Three", 2), ("It is 3 .5 more", 1), ("He said “go!” Then", 2), ("a b {period} c", 2), ("U.S. law", 2)],
)
def test_sentences_end_at_full_stops(text: str, count: int) -> None:
    assert len(list(sentences(words(text)))) == count


def test_a_pause_ends_a_sentence_and_a_part_of_a_word_begins_none() -> None:
    apart = (*words("well then"), *words("yes", 5.0))
    assert len(list(sentences(apart))) == 2
    inside = (Word(" example.", 0, 1, 1.0), Word("com", 1, 2, 1.0))
    assert len(list(sentences(inside))) == 1
    without_spaces = (Word("好。", 0, 1, 1.0), Word("是", 1, 2, 1.0))
    assert len(list(sentences(without_spaces))) == 2


def test_every_format_names_the_speakers() -> None:
    told = attributed(transcript(segment("Are you ready? Yes, I am.")), turns((0.0, 1.2, A), (1.2, 2.4, B)))
    assert written(told, "txt") == "[SPEAKER_00]: Are you ready?\n[SPEAKER_01]: Yes, I am.\n"
    assert "[SPEAKER_01]: Yes, I am." in written(told, "srt")
    assert "<v SPEAKER_01>Yes, I am." in written(told, "vtt")
    assert '"speakers": ["SPEAKER_00", "SPEAKER_01"]' in written(told, "json")


def test_rttm_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = turns((0.5, 1.25, A), (1.25, 61.0, B)).turns
    text = "".join(rttm.lines("my talk", made))
    assert text.splitlines()[0] == "SPEAKER my_talk 1 0.500 0.750 <NA> <NA> SPEAKER_00 <NA> <NA>"
    file = tmp_path / "a.rttm"
    file.write_text(f";; a remark\nSPKR-INFO my_talk 1 <NA> <NA> <NA> unknown A <NA>\n\n{text}")
    assert rttm.read(file) == {"my_talk": list(made)}


NO_TURNS = ("0 1 <NA> <NA>", "x 1 <NA> <NA> A", "0 -1 <NA> <NA> A", "nan 1 <NA> <NA> A", "0 inf <NA> <NA> A")


@pytest.mark.parametrize("line", ["hello", *(f"SPEAKER a 1 {rest}" for rest in NO_TURNS)])
def test_what_is_no_rttm_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.rttm"
    file.write_text(f"SPEAKER a 1 0 1 <NA> <NA> A\n{line}\n")
    with pytest.raises(OptionError, match="line 2: no line of RTTM"):
        rttm.read(file)
    with pytest.raises(OptionError, match="check the path"):
        rttm.read(tmp_path / "none.rttm")
    (tmp_path / "b.rttm").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptionError, match="no text"):
        rttm.read(tmp_path / "b.rttm")
