"""The Python face: options, kinds of audio, languages, channels, and what a transcript holds."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from audio_builders import wav
from literatim.api import Recognizer, load
from literatim.decode.rows import Decoded
from literatim.errors import (
    AudioContentError,
    AudioNotFound,
    DeviceError,
    LiteratimError,
    ModelNotFound,
    OptionError,
)
from literatim.options import TranscribeOptions
from literatim.pipeline.engine import Engine
from literatim.pipeline.safeguards import compression_ratio, is_silent
from literatim.types import Segment, Transcript
from reference.languages import tell_apart
from reference.transcripts import same
from whisper_builders import WEIGHTS, edit, random_whisper_folder, rewrite

RATE = 16_000
WINDOW = 2.0  # seconds, of the small folders
# no window is skipped, and no sound left out as being no speech
ALL: dict[str, Any] = {"no_speech_threshold": None, "temperature": 0.0, "strategy": "sequential"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("model"), 3)


@pytest.fixture(scope="module")
def recognizer(folder: Path) -> Recognizer:
    return load(folder, device="cpu")


@pytest.fixture(scope="module")
def english_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("english"), 5, multilingual=False)


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """16-bit samples as floats: files and arrays hold exactly the same."""
    random = np.random.default_rng(seed)
    loudness = np.repeat(random.uniform(0.05, 0.5, math.ceil(4 * seconds)), 4000)[: round(RATE * seconds)]
    return (np.round(32767 * loudness * random.uniform(-1, 1, len(loudness))) / 32768).astype(np.float32)


def wav_of(*channels: np.ndarray) -> bytes:
    packed = (np.stack(channels, 1) * 32768).astype("<i2")
    return wav(packed.tobytes(), channels=len(channels))


class Watch:
    """What an engine was asked to do: encoder passes, decodes, prompts, language detections."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.encoded: list[int] = []
        self.prompts: list[list[int]] = []
        self.decodes: list[int] = []
        encode, width = engine.model.encoder.forward, engine.width

        def forward(mel: Tensor) -> Tensor:
            self.encoded.append(len(mel))
            return encode(mel)

        def watched(prompts: Sequence[Sequence[int]]) -> int:
            self.decodes.append(len(prompts))
            self.prompts += [list(prompt) for prompt in prompts]
            return width(prompts)

        monkeypatch.setattr(engine.model.encoder, "forward", forward)
        monkeypatch.setattr(engine, "width", watched)


@pytest.fixture
def watch(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(recognizer._engine, monkeypatch)


# what a transcript holds


def test_a_transcript_is_consistent(recognizer: Recognizer) -> None:
    samples = sound(7.3)
    found = recognizer.transcribe(samples, language="en", **ALL)
    assert found.duration == pytest.approx(7.3)
    assert found.language == "en"
    assert found.language_probability == 1.0
    assert found.text == "".join(segment.text for segment in found.segments)
    assert [segment.id for segment in found.segments] == list(range(len(found.segments)))
    assert len({segment.seek for segment in found.segments}) >= 3
    assert found.speakers == ()
    assert found.warnings == ()
    for segment in found.segments:
        assert segment.text.strip()
        assert segment.temperature == 0
        assert segment.avg_logprob < 0
        assert 0 <= segment.no_speech_prob <= 1
        assert segment.seek * 0.01 <= segment.start + 1e-6


@pytest.mark.parametrize("seconds", [0.31, 2.05, 4.1, 7.0, 7.33])
@pytest.mark.parametrize("seed", range(4))
def test_times_lie_within_the_recording_and_go_forward(seconds: float, seed: int, recognizer: Recognizer) -> None:
    """Also in the last window, where the model may name times after the recording's end."""
    found = recognizer.transcribe(sound(seconds, seed), language="en", **ALL, condition_on_previous_text=False)
    for segment in found.segments:
        assert 0 <= segment.start <= segment.end <= seconds + 1e-3
    starts = [segment.start for segment in found.segments]
    assert starts == sorted(starts)


def test_the_same_twice(recognizer: Recognizer) -> None:
    assert recognizer.transcribe(sound(5), **ALL) == recognizer.transcribe(sound(5), **ALL)


def test_other_recordings_give_other_texts(recognizer: Recognizer) -> None:
    assert len({recognizer.transcribe(sound(3, seed), language="en", **ALL).text for seed in range(5)}) >= 4


def test_paths_bytes_files_and_arrays_are_the_same(recognizer: Recognizer, tmp_path: Path) -> None:
    samples = sound(3.1)
    path = tmp_path / "sound.wav"
    path.write_bytes(wav_of(samples))
    expected = recognizer.transcribe(samples, **ALL)
    same = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), torch.from_numpy(samples)]
    assert [recognizer.transcribe(audio, **ALL) for audio in same] == [expected] * len(same)
    assert recognizer.transcribe(samples, sampling_rate=RATE, **ALL) == expected
    assert recognizer.transcribe(samples[::2], sampling_rate=RATE // 2, **ALL).duration == pytest.approx(3.1, abs=0.01)


def test_stream_gives_the_segments_of_transcribe(recognizer: Recognizer) -> None:
    whole = recognizer.transcribe(sound(7), **ALL)
    assert tuple(recognizer.stream(sound(7), **ALL)) == whole.segments
    assert len(whole.segments) > 1


def test_stream_gives_a_segment_before_the_next_window_is_heard(recognizer: Recognizer, watch: Watch) -> None:
    segments = recognizer.stream(sound(7), language="en", **ALL)
    first = next(segments)
    passes = len(watch.encoded)
    rest = list(segments)
    assert first.seek < rest[-1].seek
    assert passes < len(watch.encoded)


def test_on_segment_is_called_with_every_segment(recognizer: Recognizer) -> None:
    heard: list[Segment] = []
    found = recognizer.transcribe(sound(7), on_segment=heard.append, **ALL)
    assert tuple(heard) == found.segments


def test_the_shortest_recording(recognizer: Recognizer) -> None:
    assert recognizer.transcribe(sound(0.1), language="en").duration == pytest.approx(0.1)
    with pytest.raises(AudioContentError, match=r"at least 0\.1 s"):
        recognizer.transcribe(sound(0.1)[:-1], language="en")


def test_a_recording_of_exactly_one_window(recognizer: Recognizer, watch: Watch) -> None:
    recognizer.transcribe(sound(WINDOW), language="en", without_timestamps=True, **ALL)
    assert watch.encoded == [1]
    recognizer.transcribe(sound(WINDOW + 0.01), language="en", without_timestamps=True, **ALL)
    assert watch.encoded == [1, 1, 1]


# one pass of the encoder a window


@pytest.mark.parametrize("language", [None, "en"])
def test_every_window_is_encoded_once(language: str | None, recognizer: Recognizer, watch: Watch) -> None:
    found = recognizer.transcribe(sound(7), language=language, **ALL)
    assert watch.encoded == watch.decodes == [1] * len(watch.encoded)
    assert len(watch.encoded) >= len({segment.seek for segment in found.segments}) >= 3


@pytest.mark.parametrize("language", [None, "en"])
def test_every_window_of_a_batch_is_encoded_once(language: str | None, recognizer: Recognizer, watch: Watch) -> None:
    audios = [sound(seconds, 9) for seconds in (1, 3, 5, 2)]
    options = {"language": language, "without_timestamps": True, **ALL}
    outcomes = list(recognizer.transcribe_many(audios, batch_size=3, **options))
    assert sorted(outcome.index for outcome in outcomes) == [0, 1, 2, 3]
    assert sum(watch.encoded) == sum(watch.decodes) == 1 + 2 + 3 + 1  # windows of two seconds
    assert max(watch.decodes) == 3


# languages and tasks


@pytest.mark.parametrize("name", ["nl", "NL", "dutch", "Dutch", "flemish"])
def test_a_language_by_code_or_name(name: str, recognizer: Recognizer, watch: Watch) -> None:
    found = recognizer.transcribe(sound(1), language=name, **ALL)
    assert found.language == "nl"
    assert watch.prompts[0][1] == recognizer._engine.tokenizer.languages["nl"]


def test_translate_is_asked_of_the_model(recognizer: Recognizer, watch: Watch) -> None:
    known = recognizer._engine.tokenizer
    for task in ("transcribe", "translate"):
        recognizer.transcribe(sound(1), language="nl", task=task, without_timestamps=True, **ALL)
    assert [prompt[2] for prompt in watch.prompts] == [known.transcribe, known.translate]


def test_the_language_is_the_one_transformers_detects(tmp_path: Path) -> None:
    folder = tell_apart(random_whisper_folder(tmp_path, 12), sound(WINDOW, 0), sound(WINDOW, 1))
    recognizer = load(folder, device="cpu")
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    languages = recognizer._engine.tokenizer.languages
    ids = list(languages.values())
    heard = set()
    for seed in range(8):
        samples = sound(WINDOW, seed)
        samples[-400:] = 0  # transformers mirrors the end, openai/whisper puts silence there
        features = extractor(samples, sampling_rate=RATE, return_tensors="pt").input_features
        sot = torch.tensor([[model.generation_config.decoder_start_token_id]])
        with torch.no_grad():
            logits = model(features, decoder_input_ids=sot).logits[0, 0, ids]
        found = recognizer.transcribe(samples, **ALL)
        assert found.language == list(languages)[int(logits.argmax())]
        assert found.language_probability == pytest.approx(float(logits.softmax(-1).max()), abs=1e-4)
        heard.add(found.language)
    assert heard == {"en", "nl"}


def test_the_language_is_detected_once(recognizer: Recognizer, watch: Watch) -> None:
    found = recognizer.transcribe(sound(7), **ALL)
    known = recognizer._engine.tokenizer
    codes = {prompt[prompt.index(known.sot) + 1] for prompt in watch.prompts}
    assert codes == {known.languages[found.language]}


def test_an_english_only_model(english_folder: Path) -> None:
    english = load(english_folder, device="cpu")
    found = english.transcribe(sound(3), **ALL)
    assert (found.language, found.language_probability) == ("en", 1.0)
    assert found.segments
    assert english.transcribe(sound(3), language="English", **ALL) == found
    assert english.transcribe(sound(3), without_timestamps=True, **ALL).segments
    assert english.languages == ("en",)
    with pytest.raises(OptionError, match="English only"):
        english.transcribe(sound(1), language="nl")
    with pytest.raises(OptionError, match="translate"):
        english.transcribe(sound(1), task="translate")


# prompts and limits


def test_each_window_is_told_what_was_said_before(recognizer: Recognizer, watch: Watch) -> None:
    known, context = recognizer._engine.tokenizer, recognizer._engine.config.target_positions
    found = recognizer.transcribe(sound(7), language="en", initial_prompt=" hello ", **ALL)
    said = known.encode(" hello")
    start = list(known.prompt("en", "transcribe", True))
    seeks = [segment.seek for segment in found.segments]
    for prompt, seek in zip(watch.prompts, dict.fromkeys([0, *seeks]), strict=False):
        before = said + [token for s in found.segments if s.seek < seek for token in s.tokens]
        assert prompt == [known.startofprev, *before[-(context // 2 - 1) :], *start]


def test_without_conditioning_no_window_is_told(recognizer: Recognizer, watch: Watch) -> None:
    known = recognizer._engine.tokenizer
    recognizer.transcribe(sound(7), language="en", condition_on_previous_text=False, **ALL)
    assert watch.prompts == [list(known.prompt("en", "transcribe", True))] * len(watch.prompts)
    assert len(watch.prompts) >= 3


def test_a_prompt_never_leaves_too_little_room(recognizer: Recognizer, watch: Watch) -> None:
    context = recognizer._engine.config.target_positions
    recognizer.transcribe(sound(7), language="en", initial_prompt="too much to say " * 50, **ALL)
    assert max(map(len, watch.prompts)) == context // 2 - 1 + 4  # with startofprev, sot, language and task


@pytest.mark.parametrize("most", [1, 2, 7, 10_000])
def test_no_more_new_tokens_than_asked_for(most: int, recognizer: Recognizer) -> None:
    found = recognizer.transcribe(
        sound(6), language="en", max_new_tokens=most, without_timestamps=True, condition_on_previous_text=False, **ALL
    )
    context = recognizer._engine.config.target_positions
    longest = max((len(segment.tokens) for segment in found.segments), default=0)
    assert longest <= min(most, context)
    assert (most > 2) <= bool(found.segments)


def test_without_timestamps_a_window_is_a_segment(recognizer: Recognizer) -> None:
    found = recognizer.transcribe(sound(6.5), language="en", without_timestamps=True, suppress_tokens="-1", **ALL)
    known = recognizer._engine.tokenizer
    plain = [segment for segment in found.segments if max(segment.tokens) < known.timestamp_begin]
    assert plain
    for segment in plain:
        assert segment.start == pytest.approx(segment.seek / 100)
        assert segment.end == pytest.approx(min(segment.seek / 100 + WINDOW, 6.5))


def test_the_first_segment_begins_by_the_limit(recognizer: Recognizer) -> None:
    known = recognizer._engine.tokenizer
    for limit in (0.0, 0.5):
        found = recognizer.transcribe(sound(6), language="en", max_initial_timestamp=limit, **ALL)
        firsts = {segment.seek: segment for segment in reversed(found.segments)}.values()
        assert all(segment.tokens[0] <= known.timestamp_begin + limit / 0.02 for segment in firsts)
        assert found.segments


def test_suppressed_tokens_are_never_said(recognizer: Recognizer) -> None:
    plain = recognizer.transcribe(sound(6), language="en", **ALL)
    words = [token for segment in plain.segments for token in segment.tokens if token < 256]
    common = max(set(words), key=words.count)
    found = recognizer.transcribe(sound(6), language="en", suppress_tokens=f"-1,{common}", **ALL)
    assert common not in [token for segment in found.segments for token in segment.tokens]
    assert found.text != plain.text


def test_words_added_after_the_timestamps_are_text_where_no_timestamps_are_wanted(tmp_path: Path) -> None:
    """A fine-tuned folder with three words more, which are likelier than anything else."""
    folder = random_whisper_folder(tmp_path, 8)
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    size = model.config.vocab_size
    model.resize_token_embeddings(size + 3, mean_resizing=False)
    model.save_pretrained(folder)

    def louder(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        for name, tensor in tensors.items():
            if name.endswith(("embed_tokens.weight", "proj_out.weight")):
                tensor[size:] = 6 * torch.randn(3, tensor.shape[1], generator=torch.Generator().manual_seed(1))
        return tensors

    rewrite(folder, louder)
    tokenizer = folder / "tokenizer.json"
    added = json.loads(tokenizer.read_text())["added_tokens"]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    words = [{"id": size + at, "content": f" word{at}", **flags} for at in range(3)]
    edit(tokenizer, added_tokens=[*added, *words])
    no_stamps = ",".join(map(str, [-1, *range(309, size)]))
    options = {"language": "en", "without_timestamps": True, "suppress_tokens": no_stamps, **ALL}
    found = load(folder, device="cpu").transcribe(sound(4), **options)
    assert " word" in found.text
    times = [(segment.start, segment.end) for segment in found.segments]
    assert times == [(0.0, 2.0), (2.0, 4.0)]  # a window each: no word is a timestamp


# silence


@pytest.mark.parametrize(
    ("quiet", "sure", "threshold", "logprob", "expected"),
    [
        (0.7, -2.0, 0.6, -1.0, True),
        (0.7, -0.5, 0.6, -1.0, False),  # sure of its text
        (0.7, -1.0, 0.6, -1.0, True),  # not more than the threshold
        (0.6, -2.0, 0.6, -1.0, False),  # not more than the threshold
        (0.5, -2.0, 0.6, -1.0, False),
        (0.7, -0.1, 0.6, None, True),
        (0.99, -9.0, None, -1.0, False),
    ],
)
def test_the_silent_rule(quiet: float, sure: float, threshold: float, logprob: float | None, expected: bool) -> None:
    options = TranscribeOptions(no_speech_threshold=threshold, logprob_threshold=logprob)
    assert is_silent(Decoded((), sure, quiet), options) is expected


def test_silent_windows_leave_nothing_but_a_warning(folder: Path, recognizer: Recognizer, watch: Watch) -> None:
    found = recognizer.transcribe(sound(5), language="en", no_speech_threshold=0.0, logprob_threshold=None)
    assert found.segments == ()
    assert found.text == ""
    assert "no speech was found" in found.warnings
    assert watch.encoded == [1, 1, 1]  # a silent window is passed as a whole


def test_compression_ratio_by_hand() -> None:
    import zlib

    text = "again and again and " * 20
    assert compression_ratio(text) == len(text) / len(zlib.compress(text.encode()))
    assert compression_ratio(text) > 2.4
    assert compression_ratio("ü") == 2 / len(zlib.compress("ü".encode()))
    assert compression_ratio("") == 0


# channels


def test_channels_transcribed_apart_are_speakers(recognizer: Recognizer) -> None:
    left, right = sound(4, 1), sound(4, 2)
    found = recognizer.transcribe(np.stack([left, right]), channels="split", **ALL)
    alone = [recognizer.transcribe(channel, **ALL) for channel in (left, right)]
    assert set(found.speakers) == {"CHANNEL_00", "CHANNEL_01"}
    for number, transcript in enumerate(alone):
        own = [(s.start, s.end, s.text) for s in found.segments if s.speaker == f"CHANNEL_{number:02d}"]
        assert own == [(s.start, s.end, s.text) for s in transcript.segments]
    assert [segment.id for segment in found.segments] == list(range(len(found.segments)))
    starts = [segment.start for segment in found.segments]
    assert starts == sorted(starts)
    assert alone[0].text != alone[1].text


def test_channels_of_a_batch_are_put_together_again(recognizer: Recognizer, tmp_path: Path) -> None:
    stereo = tmp_path / "stereo.wav"
    stereo.write_bytes(wav_of(sound(3, 1), sound(3, 2)))
    mono = wav_of(sound(2, 5))
    outcomes = recognizer.transcribe_many([stereo, mono, stereo], channels="split", batch_size=4, **ALL)
    found = {outcome.index: outcome.transcript for outcome in outcomes}
    for number in (0, 2):
        same(found[number], recognizer.transcribe(stereo, channels="split", **ALL))
    same(found[1], recognizer.transcribe(mono, **ALL))


def test_one_channel_by_number(recognizer: Recognizer) -> None:
    both = np.stack([sound(3, 1), sound(3, 2)])
    found = recognizer.transcribe(both, channels="1", **ALL)
    assert found.text == recognizer.transcribe(both[1], **ALL).text
    assert found.speakers == ()


# many recordings, some of them bad


def test_a_bad_recording_stops_no_other(recognizer: Recognizer, tmp_path: Path) -> None:
    audios = [sound(2, 1), tmp_path / "absent.wav", b"not audio", sound(5, 2), sound(0.01)]
    outcomes = {outcome.index: outcome for outcome in recognizer.transcribe_many(audios, batch_size=2, **ALL)}
    assert sorted(outcomes) == [0, 1, 2, 3, 4]
    for index in (0, 3):
        assert outcomes[index].error is None
        same(outcomes[index].transcript, recognizer.transcribe(audios[index], **ALL))
    for index, kind in ((1, AudioNotFound), (2, LiteratimError), (4, AudioContentError)):
        assert outcomes[index].transcript is None
        assert isinstance(outcomes[index].error, kind)


def test_nothing_but_bad_recordings(recognizer: Recognizer) -> None:
    outcomes = list(recognizer.transcribe_many([b"", b"x"]))
    assert [outcome.index for outcome in outcomes] == [0, 1]
    assert all(isinstance(outcome.error, LiteratimError) for outcome in outcomes)


def test_no_recordings(recognizer: Recognizer) -> None:
    assert list(recognizer.transcribe_many([])) == []


def test_many_recordings_are_read_as_they_are_needed(recognizer: Recognizer) -> None:
    taken: list[int] = []

    def audios() -> Iterator[np.ndarray]:
        for number in range(6):
            taken.append(number)
            yield sound(0.5, number)

    outcomes = recognizer.transcribe_many(audios(), batch_size=2, language="en", without_timestamps=True, **ALL)
    next(outcomes)
    assert len(taken) <= 3
    assert len(list(outcomes)) == 5


# errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"langauge": "en"}, "unknown option langauge"),
        ({"language": "klingon"}, "klingon"),
        ({"language": "fr"}, "does not know fr"),
        ({"task": "sing"}, "choose one of transcribe, translate"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": "many"}, "must be a number"),
        ({"batch_size": 0}, "batch_size"),
        ({"no_speech_threshold": -0.1}, "no_speech_threshold"),
        ({"max_initial_timestamp": math.nan}, "max_initial_timestamp"),
        ({"suppress_tokens": "a"}, "suppress_tokens"),
        ({"suppress_tokens": "999999"}, "999999"),
        ({"channels": "3"}, "channel"),
        ({"channels": "left"}, "channels"),
        ({"sampling_rate": "fast"}, "sampling_rate"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str, recognizer: Recognizer) -> None:
    with pytest.raises(OptionError, match=message):
        recognizer.transcribe(sound(1), **options)


def test_a_file_has_its_own_sampling_rate(recognizer: Recognizer) -> None:
    with pytest.raises(OptionError, match="sampling_rate is for arrays"):
        recognizer.transcribe(wav_of(sound(1)), sampling_rate=8000)


def test_faster_whispers_spelling_of_the_threshold(recognizer: Recognizer) -> None:
    options = {"no_speech_threshold": 0.0, "language": "en"}
    assert recognizer.transcribe(sound(3), log_prob_threshold=-100.0, **options).segments
    assert not recognizer.transcribe(sound(3), logprob_threshold=0.0, **options).segments


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"device": "quantum"}, OptionError),
        ({"device": "npu"}, DeviceError),
        ({"dtype": "int8"}, OptionError),
        ({"colour": "red"}, OptionError),
    ],
)
def test_a_model_that_cannot_be_loaded_so(options: dict[str, Any], kind: type[Exception], folder: Path) -> None:
    with pytest.raises(kind):
        load(folder, **options)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        load(tmp_path / "absent", local_files_only=True)


# numbers of the weights


def test_float16_on_a_cpu_is_float16_weights_in_float32_arithmetic(folder: Path, tmp_path: Path) -> None:
    halved = load(folder, device="cpu", dtype="float16")
    assert halved.dtype == torch.float32
    assert halved.device == torch.device("cpu")
    for name in folder.iterdir():
        (tmp_path / name.name).write_bytes(name.read_bytes())
    rewrite(tmp_path, lambda tensors: {name: tensor.half().float() for name, tensor in tensors.items()})
    assert (tmp_path / WEIGHTS).read_bytes() != (folder / WEIGHTS).read_bytes()
    rounded = load(tmp_path, device="cpu", dtype="float32")
    assert halved.transcribe(sound(6), **ALL) == rounded.transcribe(sound(6), **ALL)


def test_bfloat16_is_computed_in_bfloat16(folder: Path, recognizer: Recognizer) -> None:
    coarse = load(folder, device="cpu", dtype="bfloat16")
    assert coarse.dtype == torch.bfloat16
    assert recognizer.dtype == torch.float32
    options = {"language": "en", "max_new_tokens": 4, "without_timestamps": True, **ALL}
    found, exact = (model.transcribe(sound(2), **options) for model in (coarse, recognizer))
    assert isinstance(found, Transcript)
    assert math.isfinite(found.segments[0].avg_logprob)
    assert found.segments[0].avg_logprob == pytest.approx(exact.segments[0].avg_logprob, abs=1.0)


def test_what_a_recognizer_says_of_itself(folder: Path, recognizer: Recognizer) -> None:
    assert recognizer.name == str(folder)
    assert recognizer.languages == ("en", "nl")
    assert recognizer.device.type == "cpu"


# runs within runs


def test_a_run_within_another_changes_neither(recognizer: Recognizer) -> None:
    """A caller may transcribe something else between the results of many recordings, or leave a stream unfinished."""
    audios = [sound(seconds) for seconds in (0.9, 4.1, 2.3, 5.6)]
    alone = [recognizer.transcribe(audio, language="en", **ALL) for audio in audios]
    left = recognizer.stream(audios[3], language="en", **ALL)
    next(left)
    found = {}
    for outcome in recognizer.transcribe_many(audios, language="en", batch_size=3, **ALL):
        found[outcome.index] = outcome.transcript
        assert recognizer.transcribe(audios[1], language="en", **ALL) == alone[1]
    assert [found[index] for index in range(4)] == alone
    assert [segment.text for segment in left] == [segment.text for segment in alone[3].segments[1:]]
