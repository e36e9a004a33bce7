"""Which id is which, on folders with the quirks of real checkpoints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from literatim.errors import ModelFormatError, OptionError
from literatim.text.tokenizer import WhisperTokenizer
from tokenizer_builders import byte_letters, standard_tokenizer

KINDS = {"multilingual": (True, 99), "v3": (True, 100), "english": (False, 99)}
FIELDS = ("eot", "sot", "translate", "transcribe", "startoflm", "startofprev", "no_speech", "no_timestamps")
FIELDS += ("timestamp_begin", "timestamp_end", "vocab_size")
SAMPLES = [
    "",
    "Hello, world!",
    " It's 12:30.\n\nNext  line ",
    "你好，世界。",
    "مرحبا",
    "🎉👩\u200d👧",
    "<|endoftext|>",
]


@dataclass(frozen=True)
class Standard:
    """A folder without quirks; test_tokenizer.py checks its tokenizer against both references."""

    folder: Path
    facts: dict[str, Any]
    tokenizer: WhisperTokenizer


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Standard]:
    found = {}
    for kind, (multilingual, languages) in KINDS.items():
        folder = tmp_path_factory.mktemp(kind)
        facts = standard_tokenizer(folder, multilingual, languages)
        found[kind] = Standard(folder, facts, WhisperTokenizer.from_folder(folder, facts, {}))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("no_speech", ["<|nospeech|>", "<|nocaptions|>"])
@pytest.mark.parametrize("configured", [True, False])
def test_folders_without_tokenizer_json_or_generation_config(
    tmp_path: Path, standard: dict[str, Standard], kind: str, no_speech: str, configured: bool
) -> None:
    facts = standard_tokenizer(tmp_path, *KINDS[kind], layout="slow", no_speech=no_speech)
    tokenizer = WhisperTokenizer.from_folder(tmp_path, facts if configured else {}, {})
    _check_same(tokenizer, standard[kind].tokenizer)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_without_timestamps_takes_them_by_position(
    tmp_path: Path, standard: dict[str, Standard], kind: str
) -> None:
    for layout in ("json", "slow"):
        folder = tmp_path / layout
        standard_tokenizer(folder, *KINDS[kind], layout=layout, timestamps=False)
        _check_same(WhisperTokenizer.from_folder(folder, {}, {}), standard[kind].tokenizer)


def _check_same(ours: WhisperTokenizer, expected: WhisperTokenizer) -> None:
    assert [getattr(ours, name) for name in FIELDS] == [getattr(expected, name) for name in FIELDS]
    assert ours.languages == expected.languages
    assert ours.is_multilingual == expected.is_multilingual
    for text in SAMPLES:
        assert ours.encode(text) == expected.encode(text)
        assert ours.decode([*ours.encode(text), ours.eot, ours.timestamp_begin + 7]) == text


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("layout", ["json", "slow"])
def test_words_added_after_the_timestamps_are_text(tmp_path: Path, layout: str, timestamps: bool) -> None:
    facts = standard_tokenizer(tmp_path, layout=layout, timestamps=timestamps, extra=(" Literatim", "<|30.02|>"))
    tokenizer = WhisperTokenizer.from_folder(tmp_path, facts, {"vocab_size": 51867})
    assert (tokenizer.timestamp_begin, tokenizer.timestamp_end) == (50364, 51865)
    assert tokenizer.decode([50364, *tokenizer.encode("Use"), 51865, 51864, 51866, 50257]) == "Use Literatim"


def test_ids_missing_in_the_tokenizer_come_from_generation_config(
    tmp_path: Path, standard: dict[str, Standard]
) -> None:
    facts = standard_tokenizer(tmp_path, timestamps=False)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    hidden = {"<|notimestamps|>", "<|startofprev|>", "<|nl|>", "<|translate|>", "<|nospeech|>"}
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in hidden]
    path.write_text(json.dumps(content), encoding="utf-8")
    tokenizer = WhisperTokenizer.from_folder(tmp_path, {**facts, "eos_token_id": [50257]}, {"vocab_size": 51865})
    _check_same(tokenizer, standard["multilingual"].tokenizer)
    bare = WhisperTokenizer.from_folder(tmp_path, {}, {"vocab_size": 51865})
    assert bare.no_timestamps is None
    assert bare.no_speech is None
    assert bare.timestamp_begin == bare.timestamp_end == 51865
    with pytest.raises(OptionError, match="no timestamp tokens"):
        bare.prompt("en", "transcribe", timestamps=True)
    with pytest.raises(OptionError, match="no token for the task translate"):
        bare.prompt("en", "translate", timestamps=False)
    assert bare.prompt("en", "transcribe", timestamps=False) == (50258, 50259, 50359)


def test_a_shorter_window_and_a_smaller_vocabulary_bound_the_timestamps(tmp_path: Path) -> None:
    facts = standard_tokenizer(tmp_path)
    short = WhisperTokenizer.from_folder(tmp_path, facts, {"max_source_positions": 400, "vocab_size": 51865})
    assert short.timestamp_end - short.timestamp_begin == 401
    assert short.decode([50364 + 401, 50364 + 1500]) == ""
    cut = WhisperTokenizer.from_folder(tmp_path, facts, {"vocab_size": 50364 + 10})
    assert cut.timestamp_end - cut.timestamp_begin == 10


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"no_timestamps_token_id": 50364}, "<|notimestamps|> has two ids: 50363 by <|notimestamps|>, 50364"),
        ({"lang_to_id": {"<|nl|>": 50272}}, "<|nl|> has two ids: 50271 by <|nl|>, 50272"),
        ({"task_to_id": {"translate": 50359}}, "<|translate|> has two ids"),
        ({"prev_sot_token_id": 50360}, "<|startofprev|> has two ids"),
        ({"eos_token_id": [50256]}, "<|endoftext|> has two ids"),
    ],
)
def test_contradictions_are_named(standard: dict[str, Standard], change: dict[str, Any], says: str) -> None:
    plain = standard["multilingual"]
    with pytest.raises(ModelFormatError) as caught:
        WhisperTokenizer.from_folder(plain.folder, {**plain.facts, **change}, {})
    assert says in str(caught.value)
    assert "generation_config.json" in str(caught.value)


def test_other_files_that_do_not_fit_are_named(tmp_path: Path, standard: dict[str, Standard]) -> None:
    plain = standard["multilingual"]
    with pytest.raises(ModelFormatError, match=r"config\.json says the model has 1110 tokens"):
        WhisperTokenizer.from_folder(plain.folder, plain.facts, {"vocab_size": 1110})
    standard_tokenizer(tmp_path, timestamps=False)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["added_tokens"].append({**content["added_tokens"][-1], "id": 50370, "content": "Literatim"})
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelFormatError, match=r"Literatim has id 50370, which is the model's <\|0.12\|>"):
        WhisperTokenizer.from_folder(tmp_path, {}, {"vocab_size": 51865})
    content["added_tokens"] = [token for token in content["added_tokens"] if "|" not in token["content"]]
    path.write_text(json.dumps(content), encoding="utf-8")
    ends = {"eos_token_id": 50257, "decoder_start_token_id": 50258}
    with pytest.raises(ModelFormatError, match="names a language"):
        WhisperTokenizer.from_folder(tmp_path, {"is_multilingual": True, **ends}, {})
    with pytest.raises(ModelFormatError, match=r"no <\|endoftext\|>"):
        WhisperTokenizer.from_folder(tmp_path, {}, {})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (None, "", "has no tokenizer.json, nor vocab.json"),
        ("tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("tokenizer.json", "[]", "does not hold a JSON object"),
        ("tokenizer.json", '{"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}', "not a byte-level BPE"),
        (
            "tokenizer.json",
            '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}',
            "cannot be used",
        ),
    ],
)
def test_folders_of_another_kind_are_refused(tmp_path: Path, name: str | None, content: str, says: str) -> None:
    if name is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ModelFormatError) as caught:
        WhisperTokenizer.from_folder(tmp_path, {}, {})
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_first_timestamp_in_the_wrong_place_is_named(tmp_path: Path) -> None:
    standard_tokenizer(tmp_path, layout="slow")
    path = tmp_path / "added_tokens.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["<|notimestamps|>"], content["<|nospeech|>"] = (
        content["<|nospeech|>"],
        content["<|notimestamps|>"],
    )
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelFormatError, match=r"<\|0.00\|> has id 50364 but <\|notimestamps\|> has 50362"):
        WhisperTokenizer.from_folder(tmp_path, {}, {})


def test_a_padding_token_is_not_the_end(tmp_path: Path) -> None:
    facts = standard_tokenizer(tmp_path)
    tokenizer = WhisperTokenizer.from_folder(tmp_path, {**facts, "pad_token_id": 50256}, {"pad_token_id": 50256})
    assert tokenizer.eot == 50257
    assert tokenizer.decode([50256]) == ""


def test_a_small_vocabulary_keeps_its_space_and_its_bytes(tmp_path: Path) -> None:
    """256 bytes and nothing else: a music note must not forbid the space before it, nor half a dash."""
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>"]
    special += ["<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    letters = byte_letters()
    (tmp_path / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / "added_tokens.json").write_text(json.dumps({text: 256 + i for i, text in enumerate(special)}))
    config = {"vocab_size": 265 + 401, "max_source_positions": 400}
    tokenizer = WhisperTokenizer.from_folder(tmp_path, {}, config)
    assert (tokenizer.timestamp_begin, tokenizer.timestamp_end) == (265, 666)
    assert tokenizer.languages == {"en": 258}
    assert tokenizer.prompt(None, "transcribe", timestamps=True) == (257, 258, 260)
    assert tokenizer.non_speech_tokens() == tuple(sorted(b'"#()*+/:;<=>@[\\]^_`{|}~'))
    assert tokenizer.decode(tokenizer.encode("– “ ♪")) == "– “ ♪"
