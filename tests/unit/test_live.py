"""A stream while it comes in: what is final, when, and that it is the offline text of the same windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from literatim import Recognizer, demo, load
from literatim.audio.decode import decode
from literatim.decode.rows import Decoded
from literatim.errors import AudioFormatError, OptionError
from literatim.options import LiveOptions, TranscribeOptions
from literatim.pipeline.live import Live
from literatim.pipeline.transcribe import Progress, Said, Track
from literatim.types import LiveUpdate, Segment
from whisper_builders import random_whisper_folder

RATE = 16_000
SPEECH = 14  # seconds of the bundled meeting


@pytest.fixture(scope="module")
def recognizers() -> tuple[Recognizer, Recognizer]:
    """demo, alone and with its draft."""
    return load("demo", device="cpu", assistant="none"), load("demo", device="cpu", assistant="demo-draft")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    """Random weights; a window has two seconds."""
    return load(random_whisper_folder(tmp_path_factory.mktemp("live") / "model", 3), device="cpu")


@pytest.fixture(scope="module")
def meeting() -> Any:
    return decode(demo.recording_path("meeting")).samples[0][: SPEECH * RATE]


def pieces(samples: Any, seconds: float) -> Iterator[Any]:
    step = round(seconds * RATE)
    return (samples[at : at + step] for at in range(0, len(samples), step))


def assert_offline(recognizer: Recognizer, live: Live, samples: Any, **options: Any) -> None:
    """Each window, given as a recording of its own, begins with the segments that became final."""
    told = iter(live.segments)
    for window in live.windows:
        part = samples[window.start : window.stop]
        offline = recognizer.transcribe(part, condition_on_previous_text=False, **options)
        begin = window.start / RATE
        for segment in offline.segments[: window.segments]:
            final = next(told)
            assert (final.text, final.tokens) == (segment.text, segment.tokens)
            assert final.start == pytest.approx(segment.start + begin, abs=0.002)
            assert final.end == pytest.approx(segment.end + begin, abs=0.002)
            words = [(word.word, word.start + begin, word.end + begin) for word in segment.words or ()]
            assert [word.word for word in final.words or ()] == [word for word, _, _ in words]
            assert [time for word in final.words or () for time in (word.start, word.end)] == pytest.approx(
                [time for _, *times in words for time in times], abs=0.002
            )
            assert (final.avg_logprob, final.no_speech_prob) == (segment.avg_logprob, segment.no_speech_prob)
    assert next(told, None) is None


@pytest.mark.parametrize("drafted", [False, True])
def test_final_text_is_the_offline_text_of_the_same_windows(
    recognizers: tuple[Recognizer, Recognizer], meeting: Any, drafted: bool
) -> None:
    options: dict[str, Any] = {"language": "en", "word_timestamps": drafted}
    live = recognizers[drafted].live(**options)
    updates = list(live.listen(pieces(meeting, 0.5)))
    assert_offline(recognizers[0], live, meeting, **options)
    assert [segment for update in updates for segment in update.segments] == live.segments
    assert [segment.id for segment in live.segments] == list(range(len(live.segments)))
    assert len(live.windows) >= 3  # it did not wait for the end
    ends = [window.stop for window in live.windows]
    assert ends == sorted(ends)
    assert live.transcript.text.split()[:2] == ["Good", "morning,"]
    assert live.transcript.duration == SPEECH


def test_words_agreed_on_mostly_stay(recognizers: tuple[Recognizer, Recognizer], meeting: Any) -> None:
    """What is called agreed is worth showing: more than nine words in ten are in the final text where they stood."""
    live = recognizers[0].live(language="en")
    stayed = total = 0
    agreed: list[str] = []
    for update in live.listen(pieces(meeting, 1.0)):
        final = "".join(segment.text for segment in update.segments).split()
        if final:
            kept = sum(one == other for one, other in zip(agreed, final, strict=False))
            stayed, total = stayed + kept, total + min(len(agreed), len(final))
        agreed = update.agreed.split()
    assert total >= 10
    assert stayed > 0.9 * total


def test_the_language_that_was_heard_first_is_kept(recognizers: tuple[Recognizer, Recognizer]) -> None:
    samples = decode(demo.recording_path("vergadering")).samples[0][: 6 * RATE]
    live = recognizers[0].live()
    list(live.listen(pieces(samples, 1.0)))
    assert live.transcript.language == "nl"
    assert_offline(recognizers[0], live, samples, language="nl")


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(0.01, 3.0), min_size=1, max_size=8), st.integers(0, 99), st.sampled_from([0.3, 1.0]))
def test_any_pieces_of_any_sound(small: Recognizer, lengths: list[float], seed: int, step: float) -> None:
    random = np.random.default_rng(seed)
    parts = [random.uniform(-0.3, 0.3, round(RATE * length)).astype(np.float32) for length in lengths]
    samples = np.concatenate(parts)
    live = small.live(language="en", no_speech_threshold=None, temperature=0.0, live_step=step)
    updates = list(live.listen(parts))
    assert live.seconds == len(samples) / RATE
    assert_offline(small, live, samples, language="en", no_speech_threshold=None, temperature=0.0)
    assert all(update.seconds <= live.seconds for update in updates)


def test_samples_as_bytes_and_integers(small: Recognizer) -> None:
    random = np.random.default_rng(5)
    samples = (random.uniform(-0.3, 0.3, 3 * RATE) * 32767).astype(np.int16)
    told = []
    for given_as in (samples, samples.tobytes(), samples.astype(np.float64) / 32768):
        live = small.live(language="en", no_speech_threshold=None, temperature=0.0)
        size = len(given_as) // 3
        list(live.listen(given_as[at : at + size] for at in range(0, len(given_as), size)))
        told.append([segment.to_dict() for segment in live.segments])
    assert told[0] == told[1] == told[2]
    assert told[0]


@pytest.mark.parametrize("chunk", [b"odd", np.zeros((2, 100)), np.zeros(10, np.int32), np.array([np.nan]), "text"])
def test_what_is_no_sound(small: Recognizer, chunk: Any) -> None:
    with pytest.raises(AudioFormatError):
        list(small.live().feed(chunk))


def test_what_cannot_be_asked(small: Recognizer) -> None:
    for options in ({"live_step": 0}, {"live_step": "often"}, {"pace": 1}, {"channels": "split"}, {"language": "xx"}):
        with pytest.raises(OptionError):
            list(small.live(**options).feed(np.zeros(8)))
    live = small.live()
    assert list(live.finish()) == []
    assert list(live.finish()) == []
    with pytest.raises(OptionError, match="is finished"):
        live.feed(np.zeros(8))
    assert live.transcript.warnings == ("no speech was found",)


class Script:
    """A model that says of each hearing what it is told to: segments (text, start, end), and text after them."""

    def __init__(self, small: Recognizer, *hearings: tuple[list[tuple[str, float, float]], str]) -> None:
        self._engine, self._hearings = small._engine, iter(hearings)
        self.heard: list[float] = []
        self.live = Live(small._engine, self, TranscribeOptions(language="en"), LiveOptions(live_step=0.4))

    def __call__(self, tracks: list[Track], options: TranscribeOptions) -> Iterator[Progress]:
        (track,) = tracks
        assert not options.condition_on_previous_text
        self.heard.append(len(track.samples) / RATE)
        said, tail = next(self._hearings)
        segments = tuple(
            Segment(number, 0, start, end, text, (), 0.0, -0.1, 1.0, 0.0)
            for number, (text, start, end) in enumerate(said)
        )
        text = "".join(segment.text for segment in segments) + tail
        tokens = tuple(self._engine.tokenizer.encode(text))
        yield Progress(track, segments, False, Said(Decoded(tokens, 0.0, 0.0), 1.0), tokens)

    def hear(self, seconds: float) -> LiveUpdate | None:
        updates = list(self.live.feed(np.zeros(round(seconds * RATE), np.float32)))
        return updates[0] if updates else None


def test_two_hearings_in_a_row_make_a_segment_final(small: Recognizer) -> None:
    one, two = (" one two.", 0.1, 0.3), (" three", 0.3, 0.7)
    script = Script(small, ([one], " tree"), ([one, two], ""), ([(" three", 0.0, 0.5)], " four"))
    assert script.hear(0.3) is None  # less than a step
    assert script.hear(0.1) == LiveUpdate(0.4, (), "", "one two. tree")
    second = script.hear(0.4)
    assert second is not None
    assert [segment.text for segment in second.segments] == [" one two."]
    assert (second.agreed, second.partial) == ("", "three")
    third = script.hear(0.4)
    assert script.heard == [0.4, 0.8, pytest.approx(0.9)]  # the window now begins where the segment ended
    assert third is not None
    assert [(segment.text, segment.start, segment.end) for segment in third.segments] == [(" three", 0.3, 0.8)]
    assert (third.agreed, third.partial) == ("", "four")
    assert [segment.id for segment in script.live.segments] == [0, 1]


@pytest.mark.parametrize("second", [(" one too.", 0.1, 0.3), (" one two.", 0.1, 0.6)])
def test_another_text_or_another_end_is_no_agreement(small: Recognizer, second: tuple[str, float, float]) -> None:
    script = Script(small, ([(" one two.", 0.1, 0.3)], ""), ([second], " x"))
    script.hear(0.4)
    update = script.hear(0.4)
    assert update is not None
    assert update.segments == ()
    assert update.agreed.split() == second[0].split()[: 1 if "too" in second[0] else 2]


def test_agreement_in_a_language_without_spaces(small: Recognizer) -> None:
    script = Script(small, ([], "今天天气"), ([], "今天很好"))
    script.hear(0.4)
    update = script.hear(0.4)
    assert update is not None
    assert (update.agreed, update.partial) == ("今天", "很好")


def test_silence_is_let_go_but_for_its_end(small: Recognizer) -> None:
    """The second before the last hearing may hold the beginning of a word."""
    script = Script(small, ([], ""), ([], ""), ([], " word"))
    for _ in range(3):
        script.hear(0.6)
    assert script.heard == pytest.approx([0.6, 1.2, 1.8 - (0.6 - 0.5)])
    assert script.live.windows == []
