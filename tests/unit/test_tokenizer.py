"""WhisperTokenizer against openai/whisper's and transformers' tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperTokenizerFast
from transformers.models.whisper.configuration_whisper import NON_SPEECH_TOKENS, NON_SPEECH_TOKENS_MULTI

from literatim.errors import OptionError
from literatim.text.tokenizer import WhisperTokenizer
from tokenizer_builders import openai_tokenizer, standard_tokenizer

KINDS = {"multilingual": (True, 99), "v3": (True, 100), "english": (False, 99)}
# From the vocabularies' layout: 50257 text tokens (50256 for .en), then the special ones in fixed order.
IDS = {
    "multilingual": (50257, 50258, 50358, 50359, 50360, 50361, 50362, 50363, 50364, 51865, 51865),
    "v3": (50257, 50258, 50359, 50360, 50361, 50362, 50363, 50364, 50365, 51866, 51866),
    "english": (50256, 50257, 50357, 50358, 50359, 50360, 50361, 50362, 50363, 51864, 51864),
}
FIELDS = ("eot", "sot", "translate", "transcribe", "startoflm", "startofprev", "no_speech", "no_timestamps")
FIELDS += ("timestamp_begin", "timestamp_end", "vocab_size")
SAMPLES = [
    "",
    " ",
    "Hello, world!",
    " It's 12:30 -- they'll wait.\n\nNext  line ",
    "你好，世界。日本語テキスト",
    "한국어 สวัสดี",
    "مرحبا بالعالم",
    "שלום עולם",
    "🎉👩\u200d👩\u200d👧 🇳🇱 ❤️",
    "e\u0301 \u0000 \ufeff \u2028 \u00a0",
    "<|endoftext|><|en|><|0.00|>",
]
PIECES = [*SAMPLES, "a", " the", "'re", "\u3000", "١٢", "½", "Ǆ", "\u200f", "ﷺ", "𝔘"]
# Unassigned code points are left out: the references' regular expressions know different editions of Unicode.
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=60)
TEXT |= st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


class Trio:
    """One vocabulary in our hands, openai/whisper's and transformers'."""

    def __init__(self, root: Path, kind: str) -> None:
        multilingual, languages = KINDS[kind]
        self.folder = root / kind
        self.facts = standard_tokenizer(self.folder, multilingual, languages, layout="both")
        self.ours = WhisperTokenizer.from_folder(self.folder, self.facts, {"vocab_size": IDS[kind][-1]})
        self.openai = openai_tokenizer(multilingual, languages)
        self.hugging = WhisperTokenizerFast.from_pretrained(str(self.folder))


@pytest.fixture(scope="module")
def trios(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trio]:
    root = tmp_path_factory.mktemp("tokenizers")
    return {kind: Trio(root, kind) for kind in KINDS}


@pytest.fixture(params=list(KINDS))
def trio(trios: dict[str, Trio], request: pytest.FixtureRequest) -> Trio:
    return trios[request.param]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_published_vocabularies(trios: dict[str, Trio], kind: str) -> None:
    trio = trios[kind]
    assert tuple(getattr(trio.ours, name) for name in FIELDS) == IDS[kind]
    others = {"startoflm": "sot_lm", "startofprev": "sot_prev"}
    for name in FIELDS[:9]:
        assert getattr(trio.ours, name) == getattr(trio.openai, others.get(name, name))
    assert trio.ours.timestamp_end - trio.ours.timestamp_begin == 1501
    codes = dict(zip(trio.openai.all_language_codes, trio.openai.all_language_tokens, strict=True))
    assert trio.ours.languages == (codes if KINDS[kind][0] else {})
    assert trio.ours.is_multilingual == KINDS[kind][0]


def test_encode_and_decode_samples_as_both_references(trio: Trio) -> None:
    for text in SAMPLES:
        _check_text(trio, text)


@pytest.mark.parametrize("kind", KINDS)
def test_encode_and_decode_any_text_as_both_references(trios: dict[str, Trio], kind: str) -> None:
    @settings(max_examples=150, deadline=None)
    @given(TEXT)
    def check(text: str) -> None:
        _check_text(trios[kind], text)

    check()


def _check_text(trio: Trio, text: str) -> None:
    tokens = trio.ours.encode(text)
    assert tokens == trio.openai.encode(text, disallowed_special=())
    assert trio.ours.decode(tokens) == text
    if "<|" not in text:  # transformers takes the spelling of a special token for the token
        assert tokens == trio.hugging.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("kind", KINDS)
def test_decode_any_tokens_as_openai(trios: dict[str, Trio], kind: str) -> None:
    """Broken UTF-8 becomes U+FFFD in the same places; special and timestamp tokens vanish."""
    trio = trios[kind]

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.integers(0, 255) | st.integers(0, IDS[kind][-1] - 1), max_size=20))
    def check(tokens: list[int]) -> None:
        text = [token for token in tokens if token < trio.ours.eot]
        assert trio.ours.decode(tokens) == trio.openai.decode(text)

    check()


def test_half_a_surrogate_pair_is_replaced(trio: Trio) -> None:
    assert trio.ours.decode(trio.ours.encode("a\ud83cb")) == "a\ufffdb"


def test_prompts_are_openais(trios: dict[str, Trio]) -> None:
    for kind, language in (("multilingual", "nl"), ("v3", "yue"), ("v3", "de")):
        for task in ("transcribe", "translate"):
            theirs = openai_tokenizer(True, KINDS[kind][1], language=language, task=task)
            ours = trios[kind].ours
            assert ours.prompt(language, task, timestamps=True) == theirs.sot_sequence
            assert ours.prompt(language, task, timestamps=False) == theirs.sot_sequence_including_notimestamps
    english = trios["english"].ours
    assert english.prompt(None, "transcribe", timestamps=True) == (50257,)
    assert english.prompt("English", "transcribe", timestamps=False) == (50257, 50362)
    assert trios["v3"].ours.prompt("Flemish", "transcribe", True) == (50258, 50271, 50360)


@pytest.mark.parametrize(
    ("kind", "language", "task", "says"),
    [
        ("multilingual", "yue", "transcribe", "does not know yue; it knows en (english), zh (chinese)"),
        ("multilingual", None, "transcribe", "name one"),
        ("multilingual", "nl", "summarise", "unknown task 'summarise'"),
        ("multilingual", "dutsch", "transcribe", "did you mean nl (dutch)"),
        ("english", None, "translate", "cannot translate"),
        ("english", "nl", "transcribe", "English only, not nl"),
    ],
)
def test_impossible_prompts_are_refused(
    trios: dict[str, Trio], kind: str, language: str | None, task: str, says: str
) -> None:
    with pytest.raises(OptionError) as caught:
        trios[kind].ours.prompt(language, task, timestamps=True)
    assert says in str(caught.value)


def test_non_speech_tokens_are_those_of_both_references(trios: dict[str, Trio]) -> None:
    for kind, constant in (("multilingual", NON_SPEECH_TOKENS_MULTI), ("english", NON_SPEECH_TOKENS)):
        ours = trios[kind].ours
        assert ours.non_speech_tokens() == tuple(id for id in constant if id < ours.eot)
        assert ours.non_speech_tokens() == trios[kind].openai.non_speech_tokens
    assert trios["v3"].ours.non_speech_tokens() == trios["v3"].openai.non_speech_tokens


def test_suppressed_tokens(trios: dict[str, Trio]) -> None:
    ours = trios["multilingual"].ours
    steering = (50258, 50358, 50359, 50360, 50361, 50362)
    rule = ours.non_speech_tokens() + steering
    assert ours.suppress_tokens("-1", {}) == rule
    assert ours.suppress_tokens("-1", {"suppress_tokens": ["", ""]}) == rule
    assert ours.suppress_tokens("-1", {"suppress_tokens": [11, 7]}) == (7, 11, *steering)
    assert ours.suppress_tokens("-1", {"suppress_tokens": []}) == steering
    assert ours.suppress_tokens("-1", {"suppress_tokens": None}) == rule
    assert ours.suppress_tokens("-1,11", {"suppress_tokens": [7]}) == (7, 11, *steering)
    assert ours.suppress_tokens("3, 1,2", {"suppress_tokens": [7]}) == (1, 2, 3, *steering)
    assert ours.suppress_tokens("", {"suppress_tokens": [7]}) == steering
    for wrong in ("a", "1;2", "-2", "51865"):
        with pytest.raises(OptionError):
            ours.suppress_tokens(wrong, {})


def test_suppressed_at_the_beginning(trios: dict[str, Trio]) -> None:
    assert trios["multilingual"].ours.begin_suppress({}) == (220, 50257)
    assert trios["english"].ours.begin_suppress({"begin_suppress_tokens": [""]}) == (220, 50256)
    assert trios["english"].ours.begin_suppress({"begin_suppress_tokens": [5]}) == (5,)


def test_a_list_in_config_json_serves_where_generation_config_has_none(trios: dict[str, Trio]) -> None:
    folder = trios["multilingual"].folder
    config = {"suppress_tokens": [9], "begin_suppress_tokens": [8]}
    tokenizer = WhisperTokenizer.from_folder(folder, {}, config)
    assert 9 in tokenizer.suppress_tokens("-1", {})
    assert len(tokenizer.suppress_tokens("-1", {})) == 7
    assert tokenizer.begin_suppress({}) == (8,)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, {}),
        ({"forced_decoder_ids": None}, {}),
        ({"forced_decoder_ids": [[1, None], [2, 50359]]}, {"task": "transcribe"}),
        (
            {"forced_decoder_ids": [[1, 50271], [2, 50358], [3, 50363]]},
            {"language": "nl", "task": "translate"},
        ),
        ({"language": "<|nl|>", "task": "transcribe"}, {"language": "nl", "task": "transcribe"}),
        ({"language": "Dutch"}, {"language": "nl"}),
    ],
)
def test_defaults_of_a_checkpoint(trios: dict[str, Trio], config: dict[str, Any], expected: dict[str, str]) -> None:
    assert trios["multilingual"].ours.forced_language(config) == expected


def test_an_english_model_forces_no_language(trios: dict[str, Trio]) -> None:
    assert trios["english"].ours.forced_language({"forced_decoder_ids": [[1, 50362]]}) == {}
