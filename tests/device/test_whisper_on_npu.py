"""Whisper on the fake npu: the CPU's text, and nothing on the device that is slow or wrong on a real one."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from literatim.api import Recognizer, load
from literatim.demo import recording_path, recordings
from literatim.errors import DeviceError
from literatim.options import TranscribeOptions
from literatim.pipeline.engine import Engine
from literatim.pipeline.lacking import lacked
from literatim.types import Transcript
from literatim.verify import fake_npu, faults
from literatim.verify.fake_npu import OPS, SCALAR_TO_HOST, TO_DEVICE, TO_HOST, Call, calls
from reference.transcripts import same
from whisper_builders import random_whisper_folder

RATE = 16_000
COMPARISONS = {f"aten.{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge", "minimum", "maximum", "clamp")}
COMPARISONS |= {f"aten.{name}" for name in ("max", "min", "amax", "amin", "argmax", "sort", "topk")}
WAITING = {"aten.nonzero", "aten.masked_select", "aten._unique2", "aten.unique_consecutive", "aten.repeat_interleave"}
FAMILIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "odd": {"d_model": 30, "encoder_attention_heads": 5, "decoder_attention_heads": 3, "max_target_positions": 50},
    "long text": {"max_target_positions": 140, "max_source_positions": 75, "end_gain": 1.7},
}
WAYS: list[dict[str, Any]] = [
    {},
    {"language": "nl", "without_timestamps": True},
    {"condition_on_previous_text": False, "initial_prompt": "what was said before", "max_new_tokens": 9},
    {"language": "en", "word_timestamps": True},
]


@dataclass(frozen=True)
class Pair:
    """The same weights on both devices, in float32."""

    cpu: Recognizer
    npu: Recognizer

    @classmethod
    def of(cls, name: str | Path) -> Pair:
        return cls(*(load(name, device=device, dtype="float32") for device in ("cpu", "npu")))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    root = tmp_path_factory.mktemp("folders")

    @functools.cache
    def pair(name: str) -> Pair:
        seed = 30 + list(FAMILIES).index(name)
        return Pair.of(random_whisper_folder(root / name, seed, **FAMILIES[name]))

    return pair


@pytest.fixture(scope="module")
def demo() -> Pair:
    return Pair.of("demo")


def sound(number: int, seconds: float) -> np.ndarray:
    """Noise and a tone of its own."""
    random = np.random.default_rng(number)
    samples = int(RATE * seconds)
    loudness = np.repeat(random.uniform(0, 0.4, samples // 4000 + 1), 4000)[:samples]
    tone = np.sin(2 * np.pi * 137 * (number + 1) * np.arange(samples) / RATE)
    return (loudness * (tone + 0.5 * random.standard_normal(samples))).astype(np.float32)


def many(recognizer: Recognizer, audios: list[Any], **options: Any) -> list[Transcript]:
    found = recognizer.transcribe_many(audios, strategy="sequential", **options)
    outcomes = sorted(found, key=lambda outcome: outcome.index)
    assert [outcome.error for outcome in outcomes] == [None] * len(audios)
    return [outcome.transcript for outcome in outcomes if outcome.transcript is not None]


def test_the_demo_says_the_same(demo: Pair) -> None:
    file = recording_path("noisy")
    assert demo.npu.device == torch.device("npu", 0)
    expected = demo.cpu.transcribe(file)
    assert len(expected.segments) > 3
    same(demo.npu.transcribe(file), expected)


def test_the_demo_says_the_same_in_a_batch(demo: Pair) -> None:
    """The beginning of each window, of all recordings together; in two languages."""
    files = recordings()
    together = many(demo.npu, files, batch_size=3, max_new_tokens=6)
    assert {transcript.language for transcript in together} == {"en", "nl"}
    for found, file in zip(together, files, strict=True):
        same(found, demo.cpu.transcribe(file, max_new_tokens=6))


@pytest.mark.parametrize("proposals", [None, 3])
def test_the_demo_says_the_same_with_a_draft(proposals: int | None, demo: Pair) -> None:
    """Of three recordings at once, with rows that come, go and move."""
    drafted = load("demo", device="npu", dtype="float32", assistant="demo-draft", num_assistant_tokens=proposals)
    together = many(drafted, recordings(), batch_size=2, max_new_tokens=6)
    for found, file in zip(together, recordings(), strict=True):
        same(found, demo.cpu.transcribe(file, max_new_tokens=6))
        assert found.speculation is not None
        assert set(found.speculation.lengths) <= {0, 1, 2, 3, 4, 8}
    assert sum(found.speculation.accepted for found in together if found.speculation) > 0


@pytest.mark.parametrize(("name", "way"), [("plain", 0), ("plain", 1), ("plain", 2), ("odd", 1), ("long text", 0)])
def test_batches_of_mixed_recordings(name: str, way: int, pairs: Callable[[str], Pair]) -> None:
    pair = pairs(name)
    audios = [sound(number, seconds) for number, seconds in enumerate((0.6, 3.3, 2.0, 1.2))]
    options = {"no_speech_threshold": None, "temperature": 0.0, **WAYS[way]}
    together = many(pair.npu, audios, batch_size=3, **options)
    assert len({transcript.text for transcript in together}) >= 2
    for found, audio in zip(together, audios, strict=True):
        same(found, pair.cpu.transcribe(audio, **options))


def test_auto_is_float16_on_an_npu(pairs: Callable[[str], Pair], tmp_path: Path) -> None:
    recognizer = load(random_whisper_folder(tmp_path, 30), device="npu:1")
    assert (recognizer.device, recognizer.dtype) == (torch.device("npu", 1), torch.float16)
    transcript = recognizer.transcribe(sound(1, 3.0), no_speech_threshold=None, temperature=0.0)
    assert transcript.segments
    assert torch.float16 in {dtype for call in OPS for dtype in call.dtypes if call.op == "aten.addmm"}
    assert all(np.isfinite(segment.avg_logprob) for segment in transcript.segments)


def watch(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often windows begin to be decoded, together or alone, and for how many of these languages are found."""
    counts = {"width": 0, "languages": 0}

    def counted(name: str) -> None:
        inner = getattr(engine, name)

        def outer(*arguments: Any) -> Any:
            counts[name] += 1
            return inner(*arguments)

        monkeypatch.setattr(engine, name, outer)

    counted("width")
    counted("languages")
    return counts


@pytest.mark.parametrize("timestamps", [False, True])
def test_nothing_waits_for_the_device_but_the_end_of_a_step(
    timestamps: bool, pairs: Callable[[str], Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = pairs("plain").npu
    counts = watch(recognizer._engine, monkeypatch)
    audios = [sound(number, seconds) for number, seconds in enumerate((3.3, 2.0, 1.3))]
    OPS.clear()
    many(recognizer, audios, without_timestamps=not timestamps, no_speech_threshold=None, temperature=0.0)
    steps = calls("aten.argmax") - counts["width"]
    assert steps > 10
    windows = calls(SCALAR_TO_HOST)  # their log-probabilities
    assert counts["width"] <= windows <= 3 * counts["width"]
    # what a round chose; the first token and no speech; language and its score
    assert calls(TO_HOST) == steps + 2 * counts["width"] + 2 * counts["languages"]
    assert not WAITING & {call.op for call in OPS}
    assert not [call for call in OPS if call.op.startswith("aten.index") and torch.bool in call.dtypes]
    # a round's last tokens and lengths; the sound, prompts with two places, and the states and tokens of a window's end
    assert calls(TO_DEVICE) <= steps + 4 * counts["width"] + 3 * windows + 8  # and once: the rules' masks


def test_what_a_device_is_slow_at_is_not_asked_of_it(pairs: Callable[[str], Pair]) -> None:
    many(pairs("plain").npu, [sound(number, 2.5) for number in range(3)], no_speech_threshold=None, temperature=0.0)
    compared = [call for call in OPS if call.op in COMPARISONS]
    assert len(compared) > 5
    assert [call for call in compared if torch.int64 in call.dtypes] == []
    masks = [call.dtypes[3] for call in OPS if call.op == faults.ATTENTION and len(call.dtypes) > 3]
    assert masks
    assert set(masks) == {torch.bool}
    assert [call.op for call in OPS if "fft" in call.op or "stft" in call.op] == []
    assert [call for call in OPS if torch.float64 in call.dtypes or torch.complex64 in call.dtypes] == []


def test_features_are_made_on_the_cpu(pairs: Callable[[str], Pair]) -> None:
    engine = pairs("plain").npu._engine
    OPS.clear()
    (window,) = engine.features(torch.from_numpy(sound(0, 1.0)), 0, 100, 0.0)
    assert (window.device.type, window.dtype) == ("cpu", torch.float32)
    assert OPS == {}


def shapes_of(recognizer: Recognizer, audios: list[Any], **options: Any) -> set[Call]:
    """The kinds of calls, those left out that bring recordings to the device or take results from it."""
    OPS.clear()
    many(recognizer, audios, no_speech_threshold=None, temperature=0.0, **options)
    return {call for call in OPS if call.op not in (TO_DEVICE, TO_HOST)}


@pytest.mark.parametrize("timestamps", [False, True])
def test_more_recordings_bring_no_new_shapes(timestamps: bool, pairs: Callable[[str], Pair]) -> None:
    """Once batches of 1, 2, 4 and 8 rows have had windows with and without a text before them."""
    recognizer = pairs("plain").npu
    options = {"without_timestamps": not timestamps, "max_new_tokens": 3}
    first: set[Call] = set()
    for rows, before in itertools.product((1, 2, 4, 8), (None, "what was said")):
        audios = [sound(number, 1.9) for number in range(rows)]
        first |= shapes_of(recognizer, audios, batch_size=rows, initial_prompt=before, **options)
    counts = {call.shapes[0][0] for call in first if call.op == faults.ATTENTION}
    assert counts == {1, 2, 4, 8}
    first |= shapes_of(recognizer, [sound(18, 0.7), sound(19, 3.9)], batch_size=2, **options)  # a row that moves
    others = [sound(20 + number, 0.7 + 0.5 * number) for number in range(9)]  # 8, 7, 6, ... rows
    assert shapes_of(recognizer, others, batch_size=8, **options) - first == set()
    assert shapes_of(recognizer, [sound(50, 20.0)], **options) - first == set()


def test_prompts_of_all_lengths_have_few_widths(pairs: Callable[[str], Pair]) -> None:
    """With a context of 140: 4 places without a text before, else 64 or 128."""
    engine = pairs("long text").npu._engine
    tokenizer = engine.tokenizer
    start = list(tokenizer.prompt("en", "transcribe", True))
    assert tokenizer.startofprev is not None
    engine.listen([torch.zeros(engine.config.n_mels, engine.config.window_frames)])
    rules = engine.rules(TranscribeOptions())
    widths = set()
    for before in range(0, 70, 3):
        OPS.clear()
        prompt = [tokenizer.startofprev, *[65] * before, *start] if before else start
        engine.decode([prompt], rules, 1)
        widths |= {call.shapes[0][2] for call in OPS if call.op == faults.ATTENTION}
    assert widths == {4, 64, 128}


def test_cuda_is_left_alone(demo: Pair) -> None:
    assert not [name for name in sys.modules if "transfer_to_npu" in name]
    assert torch.cuda.__name__ == "torch.cuda"
    assert not torch.cuda.is_available() or torch.version.cuda is not None


@pytest.mark.parametrize(
    ("op", "named", "place"),
    [
        ("aten.convolution", "aten::convolution", r"encoder\.conv1"),
        (faults.ATTENTION, "aten::scaled_dot_product_attention", r"encoder\.layers\.0"),
        ("aten.gelu", "aten::gelu", "encoder"),
        ("aten._index_put_impl_", "aten::_index_put_impl_", r"decoder\.layers\.0"),
        ("aten.index_select", "aten::index_select", r"decoder\.tokens"),
        ("aten.argmax", "aten::argmax", r"literatim\.decode\.rules\.argmax"),
        ("aten.lt", "aten::lt", r"literatim\.decode\.rules\.masked"),
    ],
)
def test_an_unsupported_op_is_named_with_its_place(
    op: str, named: str, place: str, pairs: Callable[[str], Pair]
) -> None:
    recognizer = pairs("plain").npu
    wanted = rf"^npu:0 has no {named}, needed by {place}; update torch .* or use --device cpu$"
    with fake_npu.unsupported(op), pytest.raises(DeviceError, match=wanted):
        recognizer.transcribe(sound(0, 1.0))
    assert recognizer.transcribe(
        sound(0, 1.0), no_speech_threshold=None, temperature=0.0
    ).segments  # and goes on after it


@pytest.mark.parametrize(
    ("message", "operation"),
    [
        (
            "Could not run 'aten::foo.bar' with arguments from the 'PrivateUse1' backend. This could ...",
            "aten::foo.bar",
        ),
        ("The operator 'aten::foo' is not currently implemented for the MPS device.", "aten::foo"),
        ("CAUTION: The operator 'aten::foo' is not currently supported on the NPU backend.", "aten::foo"),
        ("\"addmm_impl_cpu_\" not implemented for 'Half'", "addmm_impl_cpu_"),
        ("call aclnnFoo failed, detail:EZ1001:\nnot support DT_COMPLEX64", "aclnnFoo"),
        ("call aclnnFoo failed, detail: out of memory", None),
        ("npu out of memory. Tried to allocate 2 GiB", None),
        ("The size of tensor a (3) must match the size of tensor b (4)", None),
    ],
)
def test_messages_that_name_a_lacking_op(message: str, operation: str | None) -> None:
    assert lacked(message) == operation


def test_other_errors_pass(pairs: Callable[[str], Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = pairs("plain").npu

    def fail(*_: Any) -> None:
        raise RuntimeError("The size of tensor a (3) must match")

    monkeypatch.setattr(recognizer._engine.model.encoder, "forward", fail)
    with pytest.raises(RuntimeError, match="The size of tensor a"):
        recognizer.transcribe(sound(0, 1.0))


@pytest.mark.parametrize(
    "fault",
    [
        faults.scaled("aten.addmm", 1.2),
        faults.swapped_rows("aten.addmm"),
        faults.unmasked(),
        faults.not_a_number("aten.convolution"),
        faults.swapped_rows("aten.index_select"),
    ],
    ids=["scaled", "swapped", "unmasked", "nan", "embedding"],
)
def test_a_planted_fault_is_heard(fault: faults.Fault, pairs: Callable[[str], Pair]) -> None:
    """In tokens or scores; and after it the device is right again."""
    recognizer = pairs("plain").npu

    def heard() -> list[tuple[tuple[int, ...], float]]:
        found = many(
            recognizer, [sound(3, 1.5), sound(4, 2.0)], no_speech_threshold=None, temperature=0.0, max_new_tokens=8
        )
        return [(segment.tokens, segment.avg_logprob) for transcript in found for segment in transcript.segments]

    expected = heard()
    with fake_npu.plant(fault):
        wrong = heard()
    assert fault.hits > 0
    assert [tokens for tokens, _ in wrong] != [tokens for tokens, _ in expected] or any(
        ours != pytest.approx(theirs, abs=1e-3) for (_, ours), (_, theirs) in zip(wrong, expected, strict=True)
    )
    assert heard() == expected


def test_hf32_convolutions_move_the_scores_a_little(pairs: Callable[[str], Pair]) -> None:
    pair, options = pairs("plain"), {"no_speech_threshold": None, "temperature": 0.0, "max_new_tokens": 3}
    expected = pair.npu.transcribe(sound(3, 1.0), **options).segments[0].avg_logprob
    with fake_npu.plant(faults.hf32()):
        found = pair.npu.transcribe(sound(3, 1.0), **options).segments[0].avg_logprob
    assert found == pytest.approx(expected, abs=0.05)
    assert found != pytest.approx(expected, abs=1e-6)


def test_a_stream_says_what_it_says_on_the_cpu_in_no_other_shapes(pairs: Callable[[str], Pair]) -> None:
    """Windows that grow are padded to whole ones: a device compiles nothing for them."""
    pair, lives = pairs("plain"), []
    samples = sound(60, 5.0)
    chunks = [samples[at : at + RATE // 2] for at in range(0, len(samples), RATE // 2)]
    options: dict[str, Any] = {"language": "en", "no_speech_threshold": None, "live_step": 0.5}
    for recognizer in (pair.cpu, pair.npu):
        lives.append(recognizer.live(**options))
        shapes = []
        for chunk in chunks:
            OPS.clear()
            list(lives[-1].feed(chunk))
            shapes.append({call for call in OPS if call.op == "aten.convolution"})
        list(lives[-1].finish())
    same(lives[1].transcript, lives[0].transcript)
    assert lives[0].segments
    assert lives[0].windows == lives[1].windows
    assert all(found == shapes[0] for found in shapes)
    assert shapes[0]
