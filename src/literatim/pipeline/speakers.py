"""Who said what: turns put to the words of a transcript.

A word is of the speaker who talks for most of it, or of the one nearest in time. A sentence is of the speaker of most
of it, so that a turn whose edge is a little off gives no word to the wrong one; only where somebody says enough at its
beginning or its end is it parted there. A segment in which the speaker changes becomes several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from literatim.types import Diarization, Segment, Transcript, Turn, Word

ENDS = (".", "?", "!", "…", "؟", "।", "{period}", "{question mark}", "{exclamation mark}", "{exclamation point}")
ENDS_WITHOUT_SPACE = ("。", "？", "！")  # of languages that have none between words
CLOSING = "\"'”’»)]」』"
PAUSE = 1.0  # seconds between words after which a sentence has ended, whatever its marks say
OWN = 1.2  # seconds at the edge of a sentence that are a speaker's own, though most of it is another's


def attributed(transcript: Transcript, found: Diarization) -> Transcript:
    """The transcript with the speaker of each segment and each word, and of all that are in it.

    Segments without words are of who talks for most of them. A segment that is parted keeps its figures in each part
    and has no tokens: a token may reach from one part to the next. Without any turn the transcript stays as it is.
    """
    warnings = (*transcript.warnings, *(text for text in found.warnings if text not in transcript.warnings))
    if not found.turns:
        return replace(transcript, warnings=warnings)
    parts = [part for segment in _with_words(transcript.segments, found.turns) for part in _parted(segment)]
    parts = [replace(part, id=number) for number, part in enumerate(parts)]
    heard = {part.speaker for part in parts}
    return replace(
        transcript,
        segments=tuple(parts),
        speakers=tuple(name for name in found.speakers if name in heard),
        warnings=warnings,
    )


def speaker_at(start: float, end: float, turns: Sequence[Turn]) -> str:
    """Who talks for most of a time, or nearest to it; turns are in order and there is one at least."""
    shares: dict[str, float] = {}
    for turn in turns:
        together = min(end, turn.end) - max(start, turn.start)
        if together > 0:
            shares[turn.speaker] = shares.get(turn.speaker, 0.0) + together
    if shares:
        return max(shares, key=lambda name: shares[name])
    middle = (start + end) / 2
    return min(turns, key=lambda turn: max(turn.start - middle, middle - turn.end)).speaker


def _with_words(segments: Sequence[Segment], turns: Sequence[Turn]) -> Iterator[Segment]:
    """Each segment with its speaker, or with those of its words."""
    words = [word for segment in segments for word in segment.words or ()]
    told = iter(_told(words, turns))
    for segment in segments:
        if segment.words:
            own = tuple(next(told) for _ in segment.words)
            yield replace(segment, words=own, speaker=own[0].speaker)
        else:
            yield replace(segment, speaker=speaker_at(segment.start, segment.end, _near(segment, turns)))


def _near(part: Segment | Word, turns: Sequence[Turn]) -> Sequence[Turn]:
    """The turns that touch a part of the text; all of them where none does."""
    return [turn for turn in turns if turn.start < part.end and turn.end > part.start] or turns


def _told(words: Sequence[Word], turns: Sequence[Turn]) -> list[Word]:
    """The same words with their speakers, sentence by sentence."""
    found: list[Word] = []
    first = 0  # of the turns, none before it matters any more
    for sentence in sentences(words):
        while first < len(turns) - 1 and turns[first].end < sentence[0].start - 1:
            first += 1
        last = first
        while last < len(turns) and turns[last].start < sentence[-1].end + 1:
            last += 1
        near = turns[max(0, first - 1) : last + 1]
        found += _one_speaker([replace(word, speaker=speaker_at(word.start, word.end, near)) for word in sentence])
    return found


def sentences(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Words up to one that ends in a full stop or the like, or before a pause; a part of a word is never first."""
    sentence: list[Word] = []
    for word in words:
        if sentence and _ended(sentence[-1], word):
            yield sentence
            sentence = []
        sentence.append(word)
    if sentence:
        yield sentence


def _ended(before: Word, word: Word) -> bool:
    if word.start - before.end >= PAUSE:
        return True
    text = before.word.strip().rstrip(CLOSING)
    return text.endswith(ENDS_WITHOUT_SPACE) or (text.endswith(ENDS) and word.word.startswith(" "))


def _one_speaker(sentence: list[Word]) -> list[Word]:
    """The words with the speaker of most of their time, but for a beginning or an end that is long enough."""
    shares: dict[str, float] = {}
    for word in sentence:
        assert word.speaker is not None
        shares[word.speaker] = shares.get(word.speaker, 0.0) + word.end - word.start
    most = max(shares, key=lambda name: shares[name])
    first, last = 0, len(sentence)
    runs = [list(run) for _, run in groupby(sentence, key=lambda word: word.speaker)]
    for run in runs:
        if run[0].speaker == most or not _is_own(run):
            break
        first += len(run)
    for run in reversed(runs):
        if run[0].speaker == most or not _is_own(run):
            break
        last -= len(run)
    return [word if at < first or at >= last else replace(word, speaker=most) for at, word in enumerate(sentence)]


def _is_own(run: Sequence[Word]) -> bool:
    return len(run) > 1 and run[-1].end - run[0].start >= OWN


def _parted(segment: Segment) -> Iterator[Segment]:
    """The segment, or a part of it for each run of words of one speaker."""
    runs = [tuple(run) for _, run in groupby(segment.words or (), key=lambda word: word.speaker)]
    if len(runs) < 2:
        yield segment
        return
    for at, run in enumerate(runs):
        yield replace(
            segment,
            start=segment.start if at == 0 else run[0].start,
            end=segment.end if at == len(runs) - 1 else run[-1].end,
            text="".join(word.word for word in run),
            tokens=(),
            words=run,
            speaker=run[0].speaker,
        )
