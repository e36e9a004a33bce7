"""Strategy batched: pieces of recordings say what each says alone, in any batch, with and without a draft."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literatim.api import Recognizer, load
from literatim.audio.chunks import Chunk, Cutter, Timeline
from literatim.audio.decode import decode
from literatim.audio.silero import load_silero
from literatim.audio.vad import Limits
from literatim.demo import recording_path, recordings
from literatim.errors import AudioContentError, OptionError
from literatim.options import TranscribeOptions, VadOptions
from literatim.pipeline import strategy
from literatim.types import Segment, Transcript
from reference.languages import tell_apart
from reference.transcripts import same
from whisper_builders import random_whisper_folder

RATE = 16_000
POOL = 5  # recordings
FAMILIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "two ears": {"encoder_layers": 3, "decoder_layers": 1, "num_mel_bins": 128, "max_source_positions": 60},
    "three languages": {"languages": ("en", "nl", "de"), "decoder_layers": 3},
}
BATCHED: dict[str, Any] = {
    "strategy": "batched",
    "vad_filter": False,
    "no_speech_threshold": None,
    "temperature": (0.0, 0.4),
}
WAYS: list[dict[str, Any]] = [
    {},
    {"language": "nl", "without_timestamps": True},
    {"initial_prompt": "what was said before", "max_new_tokens": 9},
    {"temperature": 0.7, "max_new_tokens": 9},
]


def recording(number: int) -> np.ndarray:
    """Noise and a tone of its own, between one second and nine, with a softer place in each second."""
    random = np.random.default_rng(number)
    samples = int(RATE * (1 + 8 * number / (POOL - 1)))
    loudness = np.repeat(random.uniform(0.01, 0.4, samples // 4000 + 1), 4000)[:samples]
    tone = np.sin(2 * np.pi * 137 * (number + 1) * np.arange(samples) / RATE)
    return (loudness * (tone + 0.5 * random.standard_normal(samples))).astype(np.float32)


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recognizer]:
    root, made = tmp_path_factory.mktemp("batched"), {}
    for seed, (name, shape) in enumerate(FAMILIES.items()):
        folder = random_whisper_folder(root / name, 40 + seed, **shape)
        made[name] = load(tell_apart(folder, recording(1), recording(2)), device="cpu")
    return made


@pytest.fixture(scope="module")
def demo() -> Recognizer:
    return load("demo", device="cpu", assistant="none")


def many(recognizer: Recognizer, audios: list[Any], **options: Any) -> list[Transcript | None]:
    outcomes = sorted(recognizer.transcribe_many(audios, **options), key=lambda outcome: outcome.index)
    assert [outcome.error for outcome in outcomes] == [None] * len(audios)
    return [outcome.transcript for outcome in outcomes]


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(POOL)).flatmap(lambda all: st.integers(1, POOL).map(lambda some: all[:some])),
    way=st.integers(0, len(WAYS) - 1),
    batch_size=st.sampled_from([2, 3, 16]),
)
def test_pieces_of_many_recordings_are_each_alone(
    name: str, order: list[int], way: int, batch_size: int, families: dict[str, Recognizer]
) -> None:
    recognizer, options = families[name], {**BATCHED, **WAYS[way]}
    found = many(recognizer, [recording(number) for number in order], batch_size=batch_size, **options)
    for transcript, number in zip(found, order, strict=True):
        same(transcript, recognizer.transcribe(recording(number), batch_size=1, **options))


def test_the_comparison_is_alive(families: dict[str, Recognizer]) -> None:
    """Several pieces of a recording, other texts, and several languages."""
    languages = []
    for name, recognizer in families.items():
        found = many(recognizer, [recording(number) for number in range(POOL)], **BATCHED)
        assert len({transcript.text for transcript in found if transcript}) >= POOL - 1, name
        assert len({segment.seek for segment in found[-1].segments}) >= 4, name  # type: ignore[union-attr]
        languages.append({transcript.language for transcript in found if transcript})
    assert sum(len(some) > 1 for some in languages) >= 2, languages


@pytest.fixture(scope="module")
def plain(demo: Recognizer) -> list[Transcript]:
    """The bundled recordings, a window at a time and without a draft."""
    return [demo.transcribe(file, strategy="batched", batch_size=1) for file in recordings()]


def test_speech_is_the_same_in_a_batch_with_a_draft(plain: list[Transcript]) -> None:
    """Of all bundled recordings at once, in two languages."""
    drafted = load("demo", device="cpu", assistant="demo-draft", num_assistant_tokens=3)
    found = many(drafted, recordings(), batch_size=16)
    for transcript, expected in zip(found, plain, strict=True):
        same(transcript, expected)
        assert len(expected.segments) > 3
        assert transcript is not None
        assert transcript.speculation is not None
        assert transcript.speculation.accepted > 0
    assert {transcript.language for transcript in plain} == {"en", "nl"}


def test_speech_is_the_same_in_a_batch_without_a_draft(demo: Recognizer, plain: list[Transcript]) -> None:
    for transcript, expected in zip(many(demo, recordings()[::-1], batch_size=16), plain[::-1], strict=True):
        same(transcript, expected)


def chunks_of(samples: np.ndarray, seconds: int | None) -> list[Chunk]:
    longest = None if seconds is None else seconds * RATE
    cutter = Cutter(load_silero(), Limits.of(VadOptions(), longest), longest)
    return [*cutter.push(torch.from_numpy(samples)), *cutter.finish()]


def moved(segments: Iterator[Segment], timeline: Timeline) -> list[tuple[Any, ...]]:
    """Times of a chunk as those of the recording: the plain way, by every sample's number."""
    samples = [sample for start, end in timeline.spans for sample in range(start, end)]
    found = []
    for segment in segments:
        start, end = round(segment.start * RATE), round(segment.end * RATE)
        times = samples[min(start, len(samples) - 1)] / RATE, (samples[min(end, len(samples)) - 1] + 1) / RATE
        found.append((pytest.approx(times[0], abs=2e-3), pytest.approx(times[1], abs=2e-3), segment.tokens))
    return found


def test_each_piece_is_what_its_samples_alone_are(demo: Recognizer, plain: list[Transcript]) -> None:
    """A recording of the chunk's samples, window by window, with its times moved to where they came from."""
    for name, expected in zip(recordings(), plain, strict=True):
        samples, told = decode(name).samples[0].copy(), []
        for chunk in chunks_of(samples, 8):
            alone = demo.transcribe(
                chunk.samples.numpy(),
                strategy="sequential",
                language=expected.language,
                condition_on_previous_text=False,
            )
            told += moved(iter(alone.segments), chunk.timeline)
        assert [(segment.start, segment.end, segment.tokens) for segment in expected.segments] == told
        assert [segment.id for segment in expected.segments] == list(range(len(told)))


def test_sequential_leaves_silence_out_where_asked(demo: Recognizer) -> None:
    """The same as the speech alone, one piece after another, at the times of the recording."""
    samples = decode(recording_path("noisy")).samples[0].copy()
    (chunk,) = chunks_of(samples, None)
    assert len(chunk.timeline.spans) > 2
    alone = demo.transcribe(chunk.samples.numpy(), language="en")
    found = demo.transcribe(samples, language="en", vad_filter=True)
    told = moved(iter(alone.segments), chunk.timeline)
    assert [(segment.start, segment.end, segment.tokens) for segment in found.segments] == told
    assert found.duration == len(samples) / RATE


@pytest.mark.parametrize("way", ["batched", "batched, all of it", "sequential, speech alone"])
def test_parts_of_a_recording_are_as_these_parts_alone(way: str, demo: Recognizer) -> None:
    """Speech is looked for in each part as in a recording of its own; its times are the whole recording's."""
    samples = decode(recording_path("meeting")).samples[0].copy()
    points = (0.5, 11.25, 11.25, 24.0, 30.0, 41.5)
    options: dict[str, Any] = {
        "strategy": way.split(",", maxsplit=1)[0],
        "vad_filter": "all" not in way,
        "language": "en",
    }
    options |= {"condition_on_previous_text": False}
    found = demo.transcribe(samples, clip_timestamps=points, batch_size=4, **options)
    told = []
    for start, stop in zip(points[::2], points[1::2], strict=True):
        part = demo.transcribe(samples[round(start * RATE) : round(stop * RATE)], batch_size=1, **options)
        told += [(pytest.approx(s.start + start, abs=2e-3), s.text) for s in part.segments]
    if "sequential" in way:  # one track of all the speech: its windows go on where a part ends
        assert min(segment.start for segment in found.segments) >= 0.5
        inside = [any(a <= s.start < b for a, b in zip(points[::2], points[1::2], strict=True)) for s in found.segments]
        assert all(inside)
        assert found.segments[0].text == told[0][1]
    else:
        assert [(segment.start, segment.text) for segment in found.segments] == told
    assert len(found.segments) > 5
    assert found.duration == len(samples) / RATE


def test_a_part_behind_the_recording_holds_no_speech(demo: Recognizer) -> None:
    samples = decode(recording_path("noisy")).samples[0][: 9 * RATE].copy()
    found = demo.transcribe(samples, strategy="batched", clip_timestamps=(20.0, 30.0))
    assert (found.text, found.warnings, found.duration) == ("", ("no speech was found",), 9.0)


def test_a_prefix_is_of_the_first_piece(demo: Recognizer, plain: list[Transcript]) -> None:
    """It begins with that; the others say what they say without it."""
    at = [path.stem for path in recordings()].index("meeting")
    file, told = recordings()[at], {"language": "en", "strategy": "batched"}
    found = demo.transcribe(file, prefix="Good evening", batch_size=3, **told)  # type: ignore[arg-type]
    first = chunks_of(decode(file).samples[0].copy(), 8)[0]
    alone = demo.transcribe(first.samples.numpy(), prefix="Good evening", language="en")
    count = len(alone.segments)
    assert [segment.text for segment in found.segments[:count]] == [segment.text for segment in alone.segments]
    assert found.segments[0].text != plain[at].segments[0].text
    rest = {segment.start: segment.text for segment in plain[at].segments if segment.start > 8}
    assert {segment.start: segment.text for segment in found.segments if segment.start > 8} == rest


def test_segments_come_in_order_as_they_are_ready(demo: Recognizer, plain: list[Transcript]) -> None:
    """Whatever is decoded first: the longest pieces are."""
    streamed: list[Segment] = []
    done: list[float] = []
    file = recording_path("meeting")
    transcript = demo.transcribe(file, batch_size=3, on_segment=streamed.append, progress_callback=done.append)
    assert tuple(streamed) == transcript.segments
    assert tuple(demo.stream(file, batch_size=3)) == transcript.segments
    starts = [segment.start for segment in streamed]
    assert starts == sorted(starts)
    assert done == sorted(done)
    assert (done[0], done[-1]) == (pytest.approx(0.1, abs=0.1), 1.0)
    same(transcript, plain[[path.stem for path in recordings()].index("meeting")])


def test_channels_are_cut_apart(demo: Recognizer) -> None:
    left, right = (decode(recording_path(name)).samples[0][: 16 * RATE] for name in ("meeting", "noisy"))
    found = demo.transcribe(np.stack([left, right]), channels="split", batch_size=4, language="en")
    assert found.speakers == ("CHANNEL_00", "CHANNEL_01")
    for samples, speaker in ((left, "CHANNEL_00"), (right, "CHANNEL_01")):
        alone = demo.transcribe(samples.copy(), batch_size=1, language="en")
        told = [(s.start, s.end, s.text) for s in found.segments if s.speaker == speaker]
        assert told == [(s.start, s.end, s.text) for s in alone.segments]


def test_a_recording_without_speech_has_no_words(demo: Recognizer) -> None:
    silence = np.zeros(20 * RATE, np.float32)
    found = many(demo, [silence, decode(recording_path("noisy")).samples[0][: 9 * RATE].copy(), silence[:RATE]])
    for transcript, seconds in ((found[0], 20.0), (found[2], 1.0)):
        assert transcript is not None
        assert (transcript.text, transcript.segments, transcript.duration) == ("", (), seconds)
        assert (transcript.language, transcript.warnings) == ("", ("no speech was found",))
    assert found[1] is not None
    assert found[1].text


def test_a_recording_that_breaks_on_the_way_stops_no_other(demo: Recognizer, tmp_path: Path) -> None:
    speech = decode(recording_path("meeting")).samples[0][: 30 * RATE].copy()
    broken = speech.copy()
    broken[-100] = np.nan
    outcomes = {outcome.index: outcome for outcome in demo.transcribe_many([broken, speech, broken], batch_size=2)}
    assert isinstance(outcomes[0].error, AudioContentError)
    assert isinstance(outcomes[2].error, AudioContentError)
    same(outcomes[1].transcript, demo.transcribe(speech, batch_size=1))
    with pytest.raises(AudioContentError, match="NaN"):
        demo.transcribe(broken, strategy="batched")


def test_what_auto_comes_to() -> None:
    def came_to(several: bool, **options: Any) -> tuple[Any, ...]:
        found = strategy.resolved(TranscribeOptions(**options), several)
        return found.strategy, found.vad_filter, found.condition_on_previous_text, found.rows

    assert came_to(False) == ("sequential", False, True, 8)
    assert came_to(True) == ("batched", True, False, 8)
    assert came_to(False, batch_size=3) == ("batched", True, False, 3)
    assert came_to(True, condition_on_previous_text=True) == ("sequential", False, True, 8)
    assert came_to(True, strategy="sequential", vad_filter=True) == ("sequential", True, True, 8)
    assert came_to(False, strategy="batched", vad_filter=False) == ("batched", False, False, 8)
    with pytest.raises(OptionError, match="side by side"):
        strategy.resolved(TranscribeOptions(strategy="batched", condition_on_previous_text=True), False)
    assert not strategy.are_several(["a"])
    assert all(strategy.are_several(audios) for audios in ([], ["a", "b"], iter(["a"])))
    assert strategy.settled({"language": "en"}, True) == {"language": "en", "strategy": "batched"}
    assert strategy.settled({"strategy": "sequential", "batch_size": 4}, True)["strategy"] == "sequential"
