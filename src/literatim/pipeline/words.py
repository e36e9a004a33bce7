"""The words of a window's segments, with times and probabilities, as openai/whisper makes them (whisper/timing.py).

The text is fed to the decoder once more, without timestamps and without what was said before, over the sound that the
cache still holds. That pass and what follows from it are a row's own: neither batch nor neighbours can change a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from literatim.audio import mel
from literatim.decode import align
from literatim.options import TranscribeOptions
from literatim.pipeline.engine import Engine
from literatim.pipeline.pieces import FRAME_SECONDS, FRAMES_PER_STEP, Piece, Window
from literatim.text.words import split_words
from literatim.types import Word

SENTENCE_ENDS = ".。!！?？"
LONGEST_MEDIAN = 0.7  # seconds that a word of middling length is taken for at most
QUIET = 0.02  # of a word's loudest frame (-34 dB): what is quieter than that at its edges is a pause
EDGE = 2  # frames of a pause that stay with the word
FAR = 0.5  # seconds between a word's time and its segment's that make the segment's the likelier one


@dataclass
class Timing:
    """A word under way: times in seconds from the window's start, then of the recording; no text once merged away."""

    text: str
    tokens: int
    start: float
    end: float
    probability: float

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start


def add_words(
    engine: Engine,
    slot: int,
    window: Window,
    pieces: Sequence[Piece],
    spoken: float,
    language: str | None,
    options: TranscribeOptions,
) -> list[Piece]:
    """The segments of the window in `slot` with their words; their times are those of the words then.

    `spoken` is when the last word before the window ended, in seconds; `language` is that of the text.
    """
    texts = [[token for token in piece.tokens if engine.tokenizer.is_text(token)] for piece in pieces]
    prompt = engine.tokenizer.prompt(language, options.task, timestamps=False)
    tokens = list(chain.from_iterable(texts))
    timings = _timings(engine, slot, window, tokens, prompt, "en" if options.task == "translate" else language)
    lengths = [timing.duration for timing in timings if timing.duration]
    usual = min(LONGEST_MEDIAN, float(np.median(lengths))) if lengths else 0.0
    if lengths:
        _cut_sentences(timings, 2 * usual)
    merge_punctuation(timings, options.prepend_punctuations, options.append_punctuations)
    offset, left, found = window.begin, iter(timings), []
    for piece, text in zip(pieces, texts, strict=True):
        words, taken = [], 0
        while taken < len(text) and (timing := next(left, None)) is not None:
            taken += timing.tokens
            if timing.text:
                start, end = (round(offset + time, 2) for time in (timing.start, timing.end))
                words.append(replace(timing, start=start, end=end))
        fitted = _fitted(piece, words, spoken, usual) if words else piece
        spoken = fitted.end if words else spoken
        found.append(replace(fitted, words=tuple(_word(timing) for timing in words)))
    return found


def trimmed(pieces: Sequence[Piece], window: Window, sound: Tensor) -> list[Piece]:
    """The pieces, whose words neither begin nor end in a pause; `sound` (S,) is the window's.

    openai/whisper's do: the word after a pause is given all of it. What it takes for the end of the last word, from
    which it goes on, is left as it is.
    """
    hop = round(FRAME_SECONDS * mel.SAMPLE_RATE)
    loud = sound[: len(sound) // hop * hop].view(-1, hop).square().mean(-1).sqrt().numpy()  # of each frame
    return [_trimmed(piece, loud, window.seek) for piece in pieces]


def _trimmed(piece: Piece, loud: NDArray[np.float32], seek: int) -> Piece:
    if not piece.words:
        return piece
    words = []
    for word in piece.words:
        first, last = (round(time / FRAME_SECONDS) - seek for time in (word.start, word.end))
        own = loud[max(0, first) : max(0, last)]
        heard = np.flatnonzero(own > QUIET * own.max()) if len(own) else own
        start, end = word.start, word.end
        if len(heard):
            start += FRAME_SECONDS * max(0, heard[0] - EDGE)
            end -= FRAME_SECONDS * max(0, len(own) - 1 - heard[-1] - EDGE)
        words.append(replace(word, start=round(float(start), 3), end=round(float(end), 3)))
    start = max(piece.start, words[0].start)
    return replace(piece, start=start, end=max(start, min(piece.end, words[-1].end)), words=tuple(words))


def _word(timing: Timing) -> Word:
    return Word(timing.text, timing.start, timing.end, timing.probability)


def _timings(
    engine: Engine, slot: int, window: Window, tokens: list[int], start: Sequence[int], language: str | None
) -> list[Timing]:
    """Each word with its times from the window's start."""
    words = split_words(tokens, engine.tokenizer.decode, language)
    if not words:
        return []
    scores, probabilities = engine.follow(slot, start, tokens)
    attended = align.attended(scores, window.frames // FRAMES_PER_STEP)[len(start) - 1 : -1]
    times = align.starts(attended.numpy()) * align.STEP_SECONDS
    ends = np.cumsum([len(ids) for _, ids in words])
    return [
        Timing(
            text,
            len(ids),
            float(times[end - len(ids)]),
            float(times[end]),
            float(np.mean(probabilities[end - len(ids) : end])),
        )
        for (text, ids), end in zip(words, ends, strict=True)
    ]


def _cut_sentences(timings: list[Timing], longest: float) -> None:
    """A pause between sentences is not the last word's, nor the next one's."""
    for before, timing in pairwise(timings):
        if timing.duration <= longest:
            continue
        if timing.text in SENTENCE_ENDS:
            timing.end = timing.start + longest
        elif before.text in SENTENCE_ENDS:
            timing.start = timing.end - longest


def merge_punctuation(timings: list[Timing], prepended: str, appended: str) -> None:
    """Join marks to the word after or before them; what was merged away has neither text nor tokens."""
    word = timings[-1] if timings else None
    for mark in reversed(timings[:-1]):
        assert word is not None
        if mark.text.startswith(" ") and mark.text.strip() in prepended:
            word.text, word.tokens = mark.text + word.text, mark.tokens + word.tokens
            mark.text, mark.tokens = "", 0
        else:
            word = mark
    word = timings[0] if timings else None
    for mark in timings[1:]:
        assert word is not None
        if not word.text.endswith(" ") and mark.text in appended:
            word.text, word.tokens = word.text + mark.text, word.tokens + mark.tokens
            mark.text, mark.tokens = "", 0
        else:
            word = mark


def _fitted(piece: Piece, words: list[Timing], spoken: float, usual: float) -> Piece:
    """Words and segment fitted to each other: what is too long after a pause or at an edge is cut."""
    first, last, longest = words[0], words[-1], 2 * usual
    second = words[1] if len(words) > 1 else None
    late = first.end - spoken > 4 * usual
    if late and (first.duration > longest or (second is not None and second.end - first.start > 2 * longest)):
        if second is not None and second.duration > longest:
            first.end = second.start = max(second.end / 2, second.end - longest)
        first.start = max(0.0, first.end - longest)
    start, end = piece.start, piece.end
    if start < first.end and start - FAR > first.start:
        first.start = max(0.0, min(first.end - usual, start))
    else:
        start = first.start
    if end > last.start and end + FAR < last.end:
        last.end = max(last.start + usual, end)
    else:
        end = last.end
    return replace(piece, start=start, end=end)
