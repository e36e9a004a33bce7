"""Dictations from windows to segments: nothing depends on where windows are cut, on neighbours, or on batches."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from literatim.api import MedasrRecognizer, load
from literatim.audio.strides import Overlapping
from literatim.decode.ctc import Steps
from literatim.errors import OptionError
from literatim.options import TranscribeOptions, VadOptions
from literatim.pipeline.dictation import Heard, Window, Writer, strides
from literatim.pipeline.dictation_options import _REASONS, checked
from literatim.text.medasr import MedasrTokenizer
from literatim.types import Segment
from medasr_builders import PIECES, lasr_tokenizer, random_lasr_folder

STEP = 640  # samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network."""
    return random_lasr_folder(tmp_path_factory.mktemp("medasr"), 5)


@pytest.fixture(scope="module")
def model(folder: Path) -> MedasrRecognizer:
    """It, loaded."""
    found = load(folder, device="cpu")
    assert isinstance(found, MedasrRecognizer)
    return found


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a Writer asks of one, without a network."""
    path = tmp_path_factory.mktemp("tokenizer")
    lasr_tokenizer().save_pretrained(path)
    tokenizer = MedasrTokenizer.from_folder(path, 0)
    return SimpleNamespace(tokenizer=tokenizer, config=SimpleNamespace(blank=0), step_samples=STEP, reach=2320)


def noise(seconds: float, seed: int) -> np.ndarray:
    """Of many colours: a random network says something else in each."""
    random = np.random.default_rng(seed)
    tones = [random.uniform(100, 7000) for _ in range(int(seconds * 10) + 1)]
    parts = [np.sin(2 * np.pi * tone * np.arange(1600) / 16_000) for tone in tones]
    count = round(seconds * 16_000)
    return (0.1 * np.concatenate(parts)[:count] + 0.02 * random.standard_normal(count)).astype(np.float32)


def written(listener: Any, ids: list[int], cuts: list[int]) -> list[list[Segment]]:
    """Segments as they are told, of windows that end at these steps."""
    writer, told = Writer(listener, True), []
    for start, stop in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        chunk = Overlapping(torch.zeros((stop - start) * STEP), start * STEP, 0, 0, stop == len(ids))
        part = np.array(ids[start:stop], np.int64)
        steps = Steps(part, -0.1 * np.arange(start, stop, dtype=np.float32))
        told.append(writer.take(Heard(Window(0, 0, 0, chunk), steps)))
    return told


PIECE = st.one_of(st.just(0), st.integers(1, len(PIECES) - 1), st.sampled_from([PIECES.index("▁{period}"), 3]))
RUNS = st.lists(st.tuples(PIECE, st.sampled_from([1, 1, 2, 3, 45])), min_size=1, max_size=60)


@given(RUNS, st.lists(st.floats(0, 1), max_size=6))
def test_where_windows_are_cut_shows_nowhere(listener: Any, runs: list[tuple[int, int]], shares: list[float]) -> None:
    """Words, times and segments are those of one window over everything; pauses, markup and doubles among them."""
    ids = [id for id, count in runs for _ in range(count)]
    cuts = sorted({round(share * len(ids)) for share in shares} - {0, len(ids)})
    whole = written(listener, ids, [])[0]
    assert [segment for part in written(listener, ids, cuts) for segment in part] == whole
    assert "".join(segment.text for segment in whole).split() == listener.tokenizer.decode(_collapsed(ids)).split()
    times = [time for segment in whole for word in segment.words or () for time in (word.start, word.end)]
    assert all(0 <= time <= len(ids) * STEP / 16_000 for time in times)


def _collapsed(ids: list[int]) -> list[int]:
    return [id for at, id in enumerate(ids) if id != 0 and (at == 0 or ids[at - 1] != id)]


def test_segments_end_where_sentences_do(listener: Any) -> None:
    """After a period, with the paragraph that follows it; before a heading; in a pause."""
    said = ["▁no", "▁lung", "▁{period}", "▁{new", "▁paragraph}", "▁[FINDINGS]", "{colon}", "▁normal", "▁{comma}", "▁no"]
    ids = [PIECES.index(piece) for piece in said] + [0] * 40 + [PIECES.index("▁lung")]
    texts = [segment.text for segment in written(listener, ids, [])[0]]
    assert texts == [" no lung {period} {new paragraph}", " [FINDINGS]{colon} normal {comma} no", " lung"]


def test_long_speech_is_told_before_its_end(listener: Any) -> None:
    """A segment does not wait for the recording's end, nor does one last for ever without a sentence's end."""
    words = [PIECES.index(piece) for piece in ("▁no", "▁normal", "▁lung")]
    ids = [id for _ in range(800) for word in words for id in (word, 0)]
    told = written(listener, ids, list(range(400, len(ids), 400)))
    assert all(first or second for first, second in pairwise(told))
    assert max(segment.end - segment.start for part in told for segment in part) < 31


def test_figures_of_words(listener: Any) -> None:
    """A word's probability is the mean of its steps', geometric; a segment's that of its tokens."""
    ids = [PIECES.index("▁lung"), PIECES.index("s"), PIECES.index("s"), 0]
    segment = written(listener, ids, [])[0][0]
    assert segment.words is not None
    assert segment.words[0].probability == pytest.approx(np.exp(-(0.0 + 0.1 + 0.2) / 3))
    assert segment.avg_logprob == pytest.approx(-(0.0 + (0.1 + 0.2) / 2) / 2)
    assert segment.tokens == (PIECES.index("▁lung"), PIECES.index("s"))


def test_neighbours_and_batches(model: MedasrRecognizer) -> None:
    """Every recording gives what it gives alone, in any batch; segments come as they are ready."""
    sounds = [noise(seconds, seed) for seed, seconds in enumerate((4.2, 31.0, 0.9, 12.0))]
    alone = [model.transcribe(sound, word_timestamps=True) for sound in sounds]
    for size in (1, 3, 8):
        found = sorted(
            model.transcribe_many(sounds, batch_size=size, word_timestamps=True), key=lambda outcome: outcome.index
        )
        assert [outcome.transcript for outcome in found] == alone
    assert len({transcript.text for transcript in alone}) == 4
    streamed = tuple(model.stream(sounds[1], word_timestamps=True))
    assert streamed == alone[1].segments


def test_a_transcript(model: MedasrRecognizer) -> None:
    """Its fields are those of any other: language, times in order, no words unless asked for, progress to the end."""
    parts: list[float] = []
    found = model.transcribe(noise(25.0, 9), progress_callback=parts.append)
    assert (found.language, found.language_probability, found.duration) == ("en", 1.0, 25.0)
    assert found.text == "".join(segment.text for segment in found.segments)
    assert [segment.id for segment in found.segments] == list(range(len(found.segments)))
    assert all(segment.start < segment.end and segment.words is None for segment in found.segments)
    assert parts[-1] == 1.0
    assert parts == sorted(parts)
    assert (model.languages, model.assistant, model.dtype) == (("en",), None, torch.float32)


def test_too_short_for_a_step(model: MedasrRecognizer) -> None:
    """Below what the two convolutions need nothing is said, and that is said."""
    for count in (1600, 2000, 2319):
        found = model.transcribe(noise(1.0, 1)[:count])
        assert found.text == ""
        assert found.warnings == ("no speech was found",)
    assert model._listener.steps(2320) == 1


def test_channels_apart(model: MedasrRecognizer) -> None:
    """Each channel is a speaker."""
    left, right = noise(8.0, 3), noise(8.0, 4)
    found = model.transcribe(np.stack([left, right]), channels="split")
    assert found.speakers == ("CHANNEL_00", "CHANNEL_01")
    said = "".join(segment.text for segment in found.segments if segment.speaker == "CHANNEL_01")
    assert said == model.transcribe(right).text


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_other_numbers(folder: Path, model: MedasrRecognizer, dtype: str) -> None:
    """Logits near those of float32: within the rounding of the format, and not equal to them."""
    other = load(folder, device="cpu", dtype=dtype)
    assert isinstance(other, MedasrRecognizer)
    sound = [torch.from_numpy(noise(5.0, 6))]
    with torch.inference_mode():
        wanted, found = model._listener.logits(sound), other._listener.logits(sound)
    error = float((found - wanted).abs().max() / wanted.abs().max())
    assert 1e-6 < error < {"float16": 0.01, "bfloat16": 0.08}[dtype]


def test_windows_that_leave_something_out(model: MedasrRecognizer) -> None:
    """What the last steps of a window lack, its neighbour must say."""
    for options in ({"stride_length_s": 0.0}, {"chunk_length_s": 4.0}, {"chunk_length_s": 121.0}):
        with pytest.raises(OptionError):
            strides(model._listener, replace(TranscribeOptions(), **options))
    least = strides(model._listener, TranscribeOptions(stride_length_s=(0.0, 0.12)))
    assert (least.left, least.right) == (0, 3 * STEP)


def test_every_option_is_decided() -> None:
    """Those that mean something to MedASR are these; all others are refused where they are not left alone."""
    taken = {"language", "strategy", "chunk_length_s", "stride_length_s", "word_timestamps", "batch_size"}
    taken |= {"beam_size", "hotwords", "hotword_weight", "language_model", "alpha", "beta"}
    assert {*vars(TranscribeOptions())} == taken | _REASONS.keys()
    assert checked(TranscribeOptions(language="English", batch_size=3), VadOptions()).language == "en"
    assert (
        checked(TranscribeOptions(condition_on_previous_text=False, vad_filter=False), VadOptions()).batch_size is None
    )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"language": "nl"}, "English only"),
    ({"multilingual": True}, "nothing to detect"),
    ({"task": "translate"}, "translates nothing"),
    ({"best_of": 5}, "all tokens of a window at once"),
    ({"alpha": 1.0}, "give language_model as well"),
    ({"hotword_weight": 1.0}, "give them as well"),
    ({"temperature": 0.5}, "leave temperature out"),
    ({"initial_prompt": "CT"}, "no text can be given"),
    ({"vad_filter": True}, "cut by the clock"),
    ({"strategy": "batched"}, "leave strategy batched out"),
    ({"vad_threshold": 0.7}, "leave vad_threshold out"),
    ({"without_timestamps": True}, "always have times"),
]


@pytest.mark.parametrize(("options", "why"), REFUSED)
def test_refused_with_a_reason(model: MedasrRecognizer, options: dict[str, Any], why: str) -> None:
    """Before anything is read."""
    with pytest.raises(OptionError, match=why):
        model.transcribe("no such file.wav", **options)


def test_what_needs_a_decoder(folder: Path, model: MedasrRecognizer) -> None:
    """Drafts and streams."""
    with pytest.raises(OptionError, match="nothing to propose"):
        load(folder, device="cpu", assistant="demo-draft")
    with pytest.raises(OptionError, match="num_assistant_tokens"):
        load(folder, device="cpu", num_assistant_tokens=4)
    with pytest.raises(OptionError, match="whole recording"):
        model.live()
