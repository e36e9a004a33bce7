"""Words with their times, beside openai/whisper's own: the path, the splitting, and whole recordings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from literatim.api import Recognizer, load
from literatim.decode import align
from literatim.pipeline.words import Timing, merge_punctuation
from literatim.text.tokenizer import WhisperTokenizer
from literatim.text.words import UNSPACED, split_words
from literatim.types import Segment
from native_levels import LEVELS
from reference.openai_whisper import openai, openai_model, openai_transcribe
from tokenizer_builders import openai_tokenizer, standard_tokenizer
from whisper_builders import dump, edit, random_whisper_folder

RATE = 16_000
# openai/whisper counts language tokens as text where it measures how a text repeats itself: none may be said here
SPOKEN = ",".join(map(str, [-1, *range(50259, 50358)]))
HEADS = [(0, 2), (1, 0), (1, 1)]


# the path through the attention


@pytest.fixture(params=["none", *(found.level for found in LEVELS)], scope="module")
def kernels(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each level of them, and none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITERATIM_KERNELS", request.param)
        yield


@pytest.mark.usefixtures("kernels")
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_the_path_is_openai_whispers(rows: int, columns: int, values: int, seed: int) -> None:
    """With few different values, so that many ways are equally long."""
    scores = np.random.default_rng(seed).integers(0, values, (rows, columns)).astype(np.float32)
    theirs = openai("timing").dtw_cpu(-scores.astype(np.float64))
    np.testing.assert_array_equal(align.warp(scores), theirs)


@pytest.mark.usefixtures("kernels")
def test_the_path_through_a_window_is_openai_whispers() -> None:
    scores = torch.randn(60, 700, generator=torch.Generator().manual_seed(1)).numpy()
    theirs = openai("timing").dtw_cpu(-scores.astype(np.float64))
    np.testing.assert_array_equal(align.warp(scores), theirs)
    wide = np.stack([scores, scores], 2)[:, :, 0]  # does not lie in one piece
    np.testing.assert_array_equal(align.warp(wide), theirs)


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 8, 200])
def test_the_median_is_openai_whispers(columns: int) -> None:
    values = torch.randn(9, columns, generator=torch.Generator().manual_seed(columns))
    theirs = openai("timing").median_filter(values, align.MEDIAN_WIDTH)
    assert torch.equal(align.median(values), theirs)


def test_attention_is_told_apart_as_by_openai_whisper() -> None:
    """The lines of `find_alignment` between the scores and the path."""
    scores = 4 * torch.randn(5, 40, 300, generator=torch.Generator().manual_seed(2))
    weights = scores[:, :, :250].softmax(dim=-1)
    deviation, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    theirs = openai("timing").median_filter((weights - mean) / deviation, 7).mean(dim=0)
    torch.testing.assert_close(align.attended(scores, 250), theirs, atol=2e-5, rtol=0)


def test_a_step_that_all_tokens_attend_to_alike_counts_nothing() -> None:
    """Attention of exactly zero, where a weight is too small for float32: openai/whisper's path is lost in NaN then."""
    scores = torch.zeros(1, 3, 12)
    scores[:, :, :6] = -1000.0
    scores[0, torch.arange(3), 6 + 2 * torch.arange(3)] = 5.0
    found = align.attended(scores, 12)
    assert bool(found.isfinite().all())
    assert bool((found[:, :3] == 0).all())


# tokens to words


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> WhisperTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    return WhisperTokenizer.from_folder(folder, standard_tokenizer(folder), {})


TEXTS = (
    ' We paid $3.50 (or so) -- for "two" of them, didn\'t we?! Yes...',
    "很高兴见到你，今天天气真好。😀 OK",
    " สวัสดีครับ ยินดีที่ได้รู้จัก",
    " これはテストです。「はい」 yes",
    " Zoë's naïve café 👩\u200d👧 x",
    "",
)


@pytest.mark.parametrize("language", ["en", "nl", *sorted(UNSPACED)])
@pytest.mark.parametrize("text", TEXTS)
def test_words_are_openai_whispers(text: str, language: str, tokenizer: WhisperTokenizer) -> None:
    theirs = openai_tokenizer(num_languages=100, language=language, task="transcribe")
    tokens = tokenizer.encode(text)
    assert tokens == theirs.encode(text)
    words, parts = theirs.split_to_word_tokens([*tokens, theirs.eot])
    assert split_words(tokens, tokenizer.decode, language) == list(zip(words, map(tuple, parts), strict=True))[:-1]


@settings(max_examples=100, deadline=None)
@given(tokens=st.lists(st.integers(0, 50256), max_size=30), language=st.sampled_from(["en", "zh"]))
def test_any_tokens_are_split_as_by_openai_whisper(
    tokens: list[int], language: str, tokenizer: WhisperTokenizer
) -> None:
    """Broken characters too, but for the last word where it ends in one; together the words are the text."""
    theirs = openai_tokenizer(language=language, task="transcribe")
    words, parts = theirs.split_to_word_tokens([*tokens, theirs.eot])
    found, wanted = split_words(tokens, tokenizer.decode, language), list(zip(words, map(tuple, parts), strict=True))
    broken = sum(map(len, parts)) <= len(tokens)  # the end of the text went with what is broken there
    assert found[:-1] == wanted[:-1] if broken else found == wanted[:-1]
    assert [token for _, ids in found for token in ids] == tokens
    assert "".join(word for word, _ in found) == tokenizer.decode(tokens)


def test_tokens_that_break_off_within_a_character_stay_with_the_last_word(tokenizer: WhisperTokenizer) -> None:
    first, second = 156, 94  # the bytes e0 and a1 of a character of three
    cut = tokenizer.encode(" so")
    assert tokenizer.decode([first, second]) == "\ufffd"
    assert split_words([first, second], tokenizer.decode, "en") == [("\ufffd", (first, second))]
    assert split_words([*cut, first, second], tokenizer.decode, "en") == [(" so\ufffd", (*cut, first, second))]
    assert split_words([first, second, *cut], tokenizer.decode, "en") == [("\ufffd so", (first, second, *cut))]
    assert split_words([second, *cut], tokenizer.decode, "en") == [("\ufffd", (second,)), (" so", tuple(cut))]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([" a", "b", " ", ".", " .", ' "', '"', " (", ")", " -", "?!", ""]), max_size=9))
def test_punctuation_is_merged_as_by_openai_whisper(texts: list[str]) -> None:
    timing = openai("timing")
    prepended, appended = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"
    theirs = [timing.WordTiming(text, [at], 0.0, 1.0, 0.5) for at, text in enumerate(texts)]
    timing.merge_punctuations(theirs, prepended, appended)
    ours = [Timing(text, 1, 0.0, 1.0, 0.5) for text in texts]
    merge_punctuation(ours, prepended, appended)
    assert [(item.text, item.tokens) for item in ours] == [(item.word, len(item.tokens)) for item in theirs]


# whole recordings


SHAPES: dict[str, dict[str, Any]] = {
    "named heads": {"d_model": 48, "encoder_attention_heads": 3, "decoder_attention_heads": 3},
    "upper half": {"d_model": 40, "encoder_attention_heads": 2, "decoder_attention_heads": 4, "decoder_layers": 3},
}
Pairs = dict[str, tuple[Recognizer, Any]]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    root, found = tmp_path_factory.mktemp("words"), {}
    for seed, (name, shape) in enumerate(SHAPES.items()):
        sizes = {"encoder_layers": 2, "decoder_layers": 2, "max_target_positions": 96, **shape}
        hidden = {"encoder_ffn_dim": 4 * shape["d_model"], "decoder_ffn_dim": 4 * shape["d_model"]}
        folder = random_whisper_folder(root / name, 70 + seed, tiny_shape=True, end_gain=1.2, **sizes, **hidden)
        dump(folder / "generation_config.json", standard_tokenizer(folder))
        theirs = openai_model(folder)
        if name == "named heads":
            edit(folder / "generation_config.json", alignment_heads=[list(head) for head in HEADS])
            mask = torch.zeros(sizes["decoder_layers"], shape["decoder_attention_heads"], dtype=torch.bool)
            mask[tuple(zip(*HEADS, strict=True))] = True
            theirs.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
        found[name] = (load(folder, device="cpu"), theirs)
    return found


def sound(seconds: float, seed: int) -> Tensor:
    """Noise and tones that change twice a second; never quiet, where ours and theirs part: see `trimmed`."""
    random = torch.Generator().manual_seed(seed)
    steps = round(2 * seconds) + 1
    loudness = (0.1 + 0.3 * torch.rand(steps, generator=random)).repeat_interleave(RATE // 2)
    pitch = (100 + 3000 * torch.rand(steps, generator=random)).repeat_interleave(RATE // 2)
    noise = torch.randn(len(loudness), generator=random)
    return (loudness * (0.3 * noise + (2 * torch.pi * pitch.cumsum(0) / RATE).sin()))[: round(seconds * RATE)]


def check(ours: tuple[Segment, ...], theirs: list[dict[str, Any]], duration: float) -> None:
    assert [segment.tokens for segment in ours] == [tuple(segment["tokens"]) for segment in theirs]
    assert [segment.seek for segment in ours] == [segment["seek"] for segment in theirs]
    for name in ("start", "end"):
        found = [getattr(segment, name) for segment in ours]
        assert found == pytest.approx([min(segment[name], duration) for segment in theirs], abs=1e-3)
    for segment, other in zip(ours, theirs, strict=True):
        assert segment.words is not None
        assert [word.word for word in segment.words] == [word["word"] for word in other["words"]]
        for name in ("start", "end"):
            found = [getattr(word, name) for word in segment.words]
            assert found == pytest.approx([min(word[name], duration) for word in other["words"]], abs=1e-3)
        expected = [word["probability"] for word in other["words"]]
        assert [word.probability for word in segment.words] == pytest.approx(expected, abs=1e-5, rel=1e-3)


@pytest.mark.slow
def test_hallucinated_words_are_openai_whispers(pairs: Pairs) -> None:
    """All words of a random network are unlikely: silence is skipped up to each, and most are left out."""
    recognizer, model = pairs["named heads"]
    samples = sound(45.03, 8)
    kept: dict[str, Any] = {"no_speech_threshold": None, "temperature": 0.0, "logprob_threshold": None}
    kept |= {"suppress_tokens": SPOKEN, "word_timestamps": True, "language": "en"}
    kept |= {"condition_on_previous_text": False, "hallucination_silence_threshold": 0.5}
    theirs = openai_transcribe(model, samples, **kept)
    ours = recognizer.transcribe(samples.numpy(), cut_loops=False, **kept).segments
    assert sum(len(segment.words or ()) for segment in ours) > 10
    check(ours, theirs, len(samples) / RATE)


@pytest.mark.parametrize("conditioned", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_words_and_windows_are_openai_whispers(name: str, conditioned: bool, pairs: Pairs) -> None:
    """Where a word ends, the next window begins: so the text differs from that without words, there and here."""
    recognizer, model = pairs[name]
    samples = sound(71.03, 8)
    kept: dict[str, Any] = {
        "no_speech_threshold": None,
        "temperature": 0.0,
        "logprob_threshold": None,
        "suppress_tokens": SPOKEN,
    }
    kept |= {"condition_on_previous_text": conditioned, "word_timestamps": True, "language": "en"}
    theirs = openai_transcribe(model, samples, **kept)
    ours = recognizer.transcribe(samples.numpy(), cut_loops=False, **kept).segments
    assert sum(len(segment.words or ()) for segment in ours) > 20
    assert len({segment.seek for segment in ours}) > 2
    check(ours, theirs, len(samples) / RATE)
