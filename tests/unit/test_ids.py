"""Ids of a draft in those of the main model: the same, fewer, or another vocabulary's by their meaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from literatim.decode.rules import Rules
from literatim.errors import OptionError
from literatim.pipeline.ids import Ids
from literatim.text.tokenizer import WhisperTokenizer
from tokenizer_builders import standard_tokenizer
from whisper_builders import dump, random_whisper_folder

CPU = torch.device("cpu")
SIZES = {99: 51865, 100: 51866}  # of the published output matrices, by their languages


def read(folder: Path) -> WhisperTokenizer:
    generation, config = (json.loads((folder / f"{name}.json").read_text()) for name in ("generation_config", "config"))
    return WhisperTokenizer.from_folder(folder, generation, config)


def small(folder: Path, **options: Any) -> WhisperTokenizer:
    return read(random_whisper_folder(folder, 1, d_model=4, **options))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[int, WhisperTokenizer]:
    """The vocabularies of large-v2 and of large-v3, which has Cantonese after the other languages."""
    made = {}
    for languages, size in SIZES.items():
        folder = tmp_path_factory.mktemp(str(languages))
        facts = standard_tokenizer(folder, num_languages=languages)
        made[languages] = WhisperTokenizer.from_folder(folder, facts, {"vocab_size": size})
    return made


@pytest.mark.parametrize(("main", "own"), [(99, 100), (100, 99)])
def test_between_the_published_vocabularies(main: int, own: int, published: dict[int, WhisperTokenizer]) -> None:
    """openai/whisper's layout: text and the first 99 languages in common, then everything one id later with 100."""
    ids = Ids.by_meaning(published[main], published[own], (SIZES[main], SIZES[own]), "draft")
    assert ids.rows is None
    assert ids.to_main is not None
    assert ids.to_own is not None
    common, step = 50259 + 99, main - own  # the end, the start and 99 languages after 50257 text tokens
    assert ids.to_main[:common].tolist() == list(range(common))
    assert ids.to_own[:common].tolist() == list(range(common))
    start = common + max(0, -step)  # the first id after the draft's languages: translate
    assert ids.to_main[start:].tolist() == [id + step for id in range(start, SIZES[own])]
    if own == 100:
        assert ids.to_main[common] == -1  # a language that the main model does not have
    else:
        assert ids.to_own[common] == 50257  # and one that the draft does not: something must be fed
    assert ids.to_main.dtype == ids.to_own.dtype == torch.int32
    known = (ids.to_main >= 0).nonzero()[:, 0]
    assert torch.equal(ids.to_own[ids.to_main[known].long()], known.int())


def test_the_same_vocabulary_needs_no_tables(published: dict[int, WhisperTokenizer]) -> None:
    ids = Ids.by_meaning(published[100], published[100], (SIZES[100], SIZES[100]), "draft")
    assert (ids.rows, ids.to_main, ids.to_own) == (None, None, None)


def test_the_same_vocabulary_in_a_padded_matrix_is_cut(tmp_path: Path) -> None:
    """An output matrix with rows that no token has: they mean nothing to the main model."""
    tokenizer = small(tmp_path)
    ids = Ids.by_meaning(tokenizer, tokenizer, (tokenizer.vocab_size, tokenizer.vocab_size + 5), "draft")
    assert ids.to_main is not None
    assert ids.to_main[-5:].tolist() == [-1] * 5
    assert ids.to_main[:-5].tolist() == list(range(tokenizer.vocab_size))


def test_a_language_in_the_middle(tmp_path: Path) -> None:
    main = small(tmp_path / "main", languages=("en", "nl"))
    own = small(tmp_path / "own", languages=("en", "fr", "nl"))
    ids = Ids.by_meaning(main, own, (main.vocab_size, own.vocab_size), "draft")
    assert ids.to_main is not None
    assert ids.to_main[own.languages["fr"]] == -1
    for name in ("eot", "sot", "translate", "transcribe", "startofprev", "no_speech", "no_timestamps"):
        assert ids.to_main[getattr(own, name)] == getattr(main, name)
    assert ids.to_main[own.languages["nl"]] == main.languages["nl"]
    stamps = ids.to_main[own.timestamp_begin : own.timestamp_end]
    assert stamps.tolist() == list(range(main.timestamp_begin, main.timestamp_end))


def test_text_of_the_same_spelling_is_the_same_token(tmp_path: Path) -> None:
    """Other merges at the end of the text, and so other ids for everything after it."""
    main, own = small(tmp_path / "main", text_tokens=300), small(tmp_path / "own", text_tokens=310)
    ids = Ids.by_meaning(main, own, (main.vocab_size, own.vocab_size), "draft")
    assert ids.to_main is not None
    assert ids.to_main[:300].tolist() == list(range(300))
    assert ids.to_main[300:310].tolist() == [-1] * 10
    assert ids.to_main[own.eot] == main.eot


def test_the_rules_in_the_drafts_ids(tmp_path: Path) -> None:
    main = small(tmp_path / "main", languages=("en", "nl"))
    own = small(tmp_path / "own", languages=("en", "fr", "nl"))
    ids = Ids.by_meaning(main, own, (main.vocab_size, own.vocab_size), "draft")
    stamps = (main.timestamp_begin, main.timestamp_end, main.timestamp_begin + 7)
    rules = Rules.make(main.vocab_size, main.eot, (3, main.sot), (4, main.eot), stamps, CPU)
    found = ids.rules(rules)
    assert found.eot == own.eot
    limits = (found.timestamp_begin, found.timestamp_end, found.initial_limit)
    assert limits == (own.timestamp_begin, own.timestamp_end, own.timestamp_begin + 7)
    for theirs, ours in ((found.suppressed, rules.suppressed), (found.suppressed_first, rules.suppressed_first)):
        assert len(theirs) == own.vocab_size
        assert theirs[own.languages["fr"]] == -torch.inf  # it means nothing to the main model
        assert theirs[[3, 4, 9, own.eot, own.sot]].tolist() == ours[[3, 4, 9, main.eot, main.sot]].tolist()
    assert ids.rules(Rules.make(main.vocab_size, main.eot, (), (), None, CPU)).timestamp_begin is None


def test_a_subset_keeps_everything_from_the_end_on() -> None:
    ids = Ids.subset(torch.tensor([2, 5, 6, 9], dtype=torch.int32), 8, 14)
    assert ids.rows is not None
    assert ids.to_main is not None
    assert ids.to_own is None
    assert ids.rows.tolist() == ids.to_main.tolist() == [2, 5, 6, 8, 9, 10, 11, 12, 13]
    assert ids.to_main.dtype == torch.int32
    rules = ids.rules(Rules.make(14, 8, (5,), (6, 8), (11, 14, 12), CPU))
    assert (rules.eot, rules.timestamp_begin, rules.timestamp_end, rules.initial_limit) == (3, 6, 9, 7)
    never = [at for at, score in enumerate(rules.suppressed_first.tolist()) if score < 0]
    assert never == [1, 2, 3, 5]  # ids 5, 6, 8 and 10, <|notimestamps|>


def test_an_english_draft_for_a_multilingual_model_is_refused(tmp_path: Path) -> None:
    main, own = small(tmp_path / "main"), small(tmp_path / "own", multilingual=False)
    with pytest.raises(OptionError, match=r"own\.en knows English only and the model does not; use a multilingual one"):
        Ids.by_meaning(main, own, (main.vocab_size, own.vocab_size), "own.en")


def test_a_multilingual_draft_for_an_english_model_is_allowed(tmp_path: Path) -> None:
    main, own = small(tmp_path / "main", multilingual=False), small(tmp_path / "own")
    Ids.by_meaning(main, own, (main.vocab_size, own.vocab_size), "own")


def test_other_timestamps_are_refused(tmp_path: Path) -> None:
    main, own = small(tmp_path / "main"), small(tmp_path / "own", max_source_positions=60)
    with pytest.raises(OptionError, match=r"has 61 timestamps, the model 101; use another one"):
        Ids.by_meaning(main, own, (main.vocab_size, own.vocab_size), "own")


def test_other_words_are_refused(tmp_path: Path) -> None:
    main, own = small(tmp_path / "main", text_tokens=400), small(tmp_path / "own", text_tokens=300)
    with pytest.raises(OptionError, match=r"knows 300 of the model's 400 text tokens.*use one of the same family"):
        Ids.by_meaning(main, own, (main.vocab_size, own.vocab_size), "own")


def test_a_tokenizer_without_timestamps_is_filled_up(tmp_path: Path) -> None:
    """Early folders list no timestamps; their places are known."""
    folder = random_whisper_folder(tmp_path / "own", 1, d_model=4)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["special"]]
    dump(folder / "tokenizer.json", content)
    main, own = small(tmp_path / "main"), read(folder)
    ids = Ids.by_meaning(main, own, (main.vocab_size, own.vocab_size), "own")
    assert (ids.to_main, ids.to_own) == (None, None)
