"""A text followed through the decoder: the weights of the kernels, the heads, and what a transcript says of them."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from literatim.api import load
from literatim.bench.windows import babble
from literatim.demo import recording_path
from literatim.models.alignment_heads import alignment_heads
from literatim.models.config import WhisperConfig
from literatim.models.native import unpacked
from literatim.native import library
from literatim.pipeline.pieces import Piece, Window
from literatim.pipeline.words import trimmed
from literatim.types import Word
from whisper_builders import edit, random_whisper_folder

CONFIG = WhisperConfig(80, 32, 1, 2, 64, 3, 2, 64, 100, 50, 40)
UPPER = ((1, 0), (1, 1), (2, 0), (2, 1))


@pytest.mark.skipif(library.find() is None, reason="no kernels were built here, or none for this processor")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("outputs", "inputs"), [(16, 2), (48, 10), (37, 30), (5, 64)])
def test_weights_come_back_as_they_were_packed(outputs: int, inputs: int, dtype: torch.dtype) -> None:
    kernels = library.find()
    assert kernels is not None
    weight = torch.randn(outputs, inputs).to(dtype)
    packed = library.zeros((-(-outputs // library.LANES) * library.LANES, inputs), dtype)
    kernels.pack(dtype == torch.bfloat16, weight.data_ptr(), outputs, inputs, packed.data_ptr())
    assert torch.equal(unpacked(packed.flatten(), inputs)[:outputs], weight)


@pytest.mark.skipif(library.find() is None, reason="no kernels were built here, or none for this processor")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02)])
@pytest.mark.parametrize("shape", [{}, {"d_model": 30, "encoder_attention_heads": 5, "decoder_attention_heads": 3}])
def test_what_is_followed_is_the_same_with_and_without_kernels(
    shape: dict[str, Any], dtype: str, tolerance: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = random_whisper_folder(tmp_path, 5, **shape), []
    for kernels in (None, "none"):
        if kernels is not None:
            monkeypatch.setenv("LITERATIM_KERNELS", kernels)
        engine = load(folder, device="cpu", dtype=dtype)._engine
        assert (type(engine.steps).__name__ == "NativeDecoder") is (kernels is None)
        random = torch.Generator().manual_seed(0)
        engine.listen([torch.randn(80, engine.config.window_frames, generator=random) for _ in range(3)])
        found.append(engine.follow(1, engine.tokenizer.prompt("en", "transcribe", False), list(range(40, 60))))
    (scores, probabilities), (others, other) = found
    assert scores.shape == (len(engine.heads), 25, engine.config.source_positions)
    assert float((scores - others).abs().max()) < tolerance * float(scores.abs().max())
    np.testing.assert_allclose(np.log(probabilities), np.log(other), atol=20 * tolerance)


@torch.inference_mode()
def test_words_are_followed_in_their_own_sound_and_weighed_among_words(tmp_path: Path) -> None:
    """Those behind the timestamps, which somebody added, are words too."""
    engine = load(random_whisper_folder(tmp_path, 5), device="cpu")._engine
    known = engine.tokenizer = replace(engine.tokenizer, timestamp_end=engine.config.vocab_size - 3)
    random = torch.Generator().manual_seed(0)
    engine.listen([torch.randn(80, engine.config.window_frames, generator=random) for _ in range(3)])
    start, text = known.prompt("en", "transcribe", False), [40, engine.config.vocab_size - 1, 41]
    found = [engine.follow(slot, start, text) for slot in range(3)]
    assert not torch.equal(found[0][0], found[1][0])
    assert not torch.equal(found[1][0], found[2][0])
    assert engine._cache is not None
    fed = torch.tensor([*start, *text, known.eot], dtype=torch.int32)
    words = [*range(known.eot), *range(known.timestamp_end, engine.config.vocab_size)]
    for slot, (scores, probabilities) in enumerate(found):
        hidden, wanted = engine.steps.follow(fed, engine._cache.part(slot, 1), engine.heads)
        chances = engine.steps.logits(hidden[len(start) - 1 :])[:, words].softmax(-1)
        assert torch.equal(scores, wanted)
        places = [words.index(token) for token in text]
        assert probabilities == pytest.approx([float(chances[at, place]) for at, place in enumerate(places)], rel=1e-5)


@pytest.mark.parametrize("named", [[[0, 1], [2, 0]], [[2, 1]]])
def test_heads_are_those_the_checkpoint_names(named: list[list[int]]) -> None:
    assert alignment_heads({"alignment_heads": named}, CONFIG) == (tuple(map(tuple, named)), "")


@pytest.mark.parametrize("named", [None, [], [[3, 0]], [[0, 2]], [[0, -1]], "A", [5], [[0, 0], ["a", 0]], {"a": 1}])
def test_without_right_heads_it_is_the_upper_half_and_is_said(named: Any) -> None:
    heads, remark = alignment_heads({} if named is None else {"alignment_heads": named}, CONFIG)
    assert heads == UPPER
    assert "generation_config.json names" in remark


def test_a_transcript_says_that_heads_are_missing(tmp_path: Path) -> None:
    folder = random_whisper_folder(tmp_path, 3)
    edit(folder / "generation_config.json", alignment_heads=[[9, 9]])
    recognizer, samples = load(folder, device="cpu"), babble(1, 3.0, 1)[0]
    found = recognizer.transcribe(
        samples, language="en", word_timestamps=True, no_speech_threshold=None, temperature=0.0
    )
    assert any("alignment_heads" in warning for warning in found.warnings)
    plain = recognizer.transcribe(samples, language="en", no_speech_threshold=None, temperature=0.0)
    assert not any("alignment_heads" in warning for warning in plain.warnings)
    assert all(segment.words is None for segment in plain.segments)


def test_a_transcript_says_that_words_of_a_translation_are_rough(tmp_path: Path) -> None:
    recognizer, samples = load(random_whisper_folder(tmp_path, 3), device="cpu"), babble(1, 3.0, 1)[0]
    found = recognizer.transcribe(samples, language="nl", task="translate", word_timestamps=True)
    assert any("translation" in warning for warning in found.warnings)


PAUSED = np.concatenate([np.zeros(30), np.ones(40), np.zeros(50), np.full(40, 0.5), np.zeros(40)])  # by frames


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([(0.0, 0.7), (0.7, 1.6)], [(0.28, 0.7), (1.18, 1.6)]),  # a word after a pause begins where it is heard
        ([(0.3, 0.7), (1.2, 2.0)], [(0.3, 0.7), (1.2, 1.62)]),  # and one before a pause ends there
        ([(0.4, 0.5), (0.5, 0.5)], [(0.4, 0.5), (0.5, 0.5)]),
        ([(0.0, 0.3), (0.75, 1.1)], [(0.0, 0.3), (0.75, 1.1)]),  # nothing is heard: as it was
    ],
)
def test_a_pause_is_no_words(given: list[tuple[float, float]], wanted: list[tuple[float, float]]) -> None:
    sound = torch.from_numpy(PAUSED.repeat(160)).float() * torch.tensor([1.0, -1.0]).repeat(80 * len(PAUSED))
    words = tuple(Word("x", 10 + start, 10 + end, 0.5) for start, end in given)
    (found,) = trimmed([Piece(words[0].start, words[-1].end, (), "x", words)], Window(1000, 200), sound)
    assert found.words is not None
    assert [(word.start - 10, word.end - 10) for word in found.words] == [pytest.approx(times) for times in wanted]
    assert (found.start, found.end) == (found.words[0].start, found.words[-1].end)


@pytest.mark.parametrize("name", ["meeting", "vergadering"])
def test_words_of_a_bundled_recording_are_where_they_were_said(name: str) -> None:
    """espeak-ng said when each began and ended; 80 ms and 250 ms are what subtitles need."""
    told = json.loads(recording_path(name).with_suffix(".json").read_text("utf-8"))
    true = [word for segment in told["segments"] for word in segment["words"]]
    heard = load("demo", device="cpu").transcribe(recording_path(name), word_timestamps=True)
    words = [word for segment in heard.segments for word in segment.words or ()]
    plain = [
        [re.sub(r"\W", "", text).lower() for text in texts]
        for texts in ((word["word"] for word in true), (word.word for word in words))
    ]
    blocks = difflib.SequenceMatcher(None, *plain, autojunk=False).get_matching_blocks()
    pairs = [(true[at.a + n], words[at.b + n]) for at in blocks for n in range(at.size)]
    assert len(pairs) > 0.85 * len(true)
    for edge in ("start", "end"):
        errors = np.abs([getattr(ours, edge) - theirs[edge] for theirs, ours in pairs])
        assert np.median(errors) <= 0.08
        assert np.mean(errors <= 0.25) >= 0.95


def test_words_lie_in_their_order_within_their_segments_and_make_up_the_text(tmp_path: Path) -> None:
    recognizer = load(random_whisper_folder(tmp_path, 8, end_gain=1.0), device="cpu")
    found = recognizer.transcribe(
        babble(1, 6.3, 2)[0], language="en", word_timestamps=True, no_speech_threshold=None, temperature=0.0
    )
    words = [word for segment in found.segments for word in segment.words or ()]
    assert len(words) > 5
    for segment in found.segments:
        assert segment.words
        assert "".join(word.word for word in segment.words) == segment.text
        assert segment.start == segment.words[0].start
        assert segment.end == segment.words[-1].end <= found.duration
    for word in words:
        assert word.start <= word.end
        assert 0 <= word.probability <= 1
