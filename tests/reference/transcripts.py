"""When two transcripts are the same."""

from __future__ import annotations

import pytest

from literatim.types import Transcript

MEASURED = ("avg_logprob", "no_speech_prob", "compression_ratio")


def same(found: Transcript | None, expected: Transcript | None) -> None:
    """Everything that was decided is the same; what was measured is as near as sums in another order are."""
    assert found is not None
    assert expected is not None
    assert found.text == expected.text
    assert (found.language, found.speakers, found.warnings) == (
        expected.language,
        expected.speakers,
        expected.warnings,
    )
    assert found.duration == expected.duration
    assert found.language_probability == pytest.approx(expected.language_probability, abs=1e-4)
    sides = [
        [(s.id, s.seek, s.start, s.end, s.tokens, s.text, s.speaker, s.repeats) for s in side.segments]
        for side in (found, expected)
    ]
    assert sides[0] == sides[1]
    for name in MEASURED:
        values = [getattr(segment, name) for segment in expected.segments]
        assert [getattr(segment, name) for segment in found.segments] == pytest.approx(values, abs=1e-4)
    words, others = ([w for s in side.segments for w in s.words or ()] for side in (found, expected))
    assert [(w.word, w.start, w.end) for w in words] == [(w.word, w.start, w.end) for w in others]
    assert [w.probability for w in words] == pytest.approx([w.probability for w in others], abs=1e-4)
