"""Words that may be hallucinated, and the silence beside them: the rules of openai/whisper's `transcribe.py`."""

from __future__ import annotations

from collections.abc import Sequence

from literatim.pipeline.pieces import FRAMES_PER_SECOND, Piece, Window
from literatim.types import Word

PUNCTUATION = "\"'“¿([{-\"'.。,，!！?？:：”)]}、"
WORDS = 8  # of a segment, by which it is judged
UNLIKELY = 0.15  # probability
SHORT, LONG = 0.133, 2.0  # seconds of a word
EDGE = 2.0  # seconds: what begins or ends so near a window's edge counts as if silence were there


def leading_silence(pieces: Sequence[Piece], window: Window, threshold: float) -> int:
    """Frames before the first words, where these may be hallucinated and there is more silence than the threshold."""
    first = _spoken(pieces)
    if first is None or not is_doubtful(first):
        return 0
    gap = first.start - window.begin
    return round(gap * FRAMES_PER_SECOND) if gap > threshold else 0


def without(
    pieces: list[Piece], window: Window, spoken: float, threshold: float, full: float, total: int
) -> tuple[list[Piece], int | None]:
    """The pieces before the first that may be hallucinated and has silence, or others like it, on both sides.

    Then the frame from which to go on, None where all stay. `spoken` is when the words before the window ended, `full`
    when a window of full length ends, in seconds; `total` are the frames of the recording.
    """
    for at, piece in enumerate(pieces):
        if not piece.words:
            continue
        if is_doubtful(piece):
            following = _spoken(pieces[at + 1 :])
            after = window.begin + window.frames / FRAMES_PER_SECOND
            if following is not None and following.words:
                after = following.words[0].start
            begins = piece.start - spoken > threshold or piece.start < threshold or piece.start - window.begin < EDGE
            ends = after - piece.end > threshold or is_doubtful(following) or full - piece.end < EDGE
            if begins and ends:
                near = total / FRAMES_PER_SECOND - piece.end < threshold
                return pieces[:at], total if near else round(max(window.begin + 1, piece.start) * FRAMES_PER_SECOND)
        spoken = piece.end
    return pieces, None


def is_doubtful(piece: Piece | None) -> bool:
    """Whether its first words are unlikely, far too short or far too long."""
    if piece is None or not piece.words:
        return False
    words = [word for word in piece.words if word.word not in PUNCTUATION][:WORDS]
    score = sum(_oddity(word) for word in words)
    return score >= 3 or score + 0.01 >= len(words)


def _oddity(word: Word) -> float:
    duration, score = word.end - word.start, 0.0
    if word.probability < UNLIKELY:
        score += 1
    if duration < SHORT:
        score += (SHORT - duration) * 15
    if duration > LONG:
        score += duration - LONG
    return score


def _spoken(pieces: Sequence[Piece]) -> Piece | None:
    """The first with words."""
    return next((piece for piece in pieces if piece.words), None)
