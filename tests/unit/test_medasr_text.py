"""MedASR's tokenizer against transformers' LasrTokenizer, and words with their markup."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from literatim.errors import ModelFormatError
from literatim.text.medasr import MedasrTokenizer, Spoken
from medasr_builders import PIECES, lasr_tokenizer


@pytest.fixture
def tokenizer(tmp_path: Path) -> MedasrTokenizer:
    """Of a folder that transformers wrote."""
    lasr_tokenizer().save_pretrained(tmp_path)
    return MedasrTokenizer.from_folder(tmp_path, 0)


def ids(*pieces: str) -> list[int]:
    return [PIECES.index(piece) for piece in pieces]


def test_decode_as_transformers(tokenizer: MedasrTokenizer) -> None:
    """Any ids, with blanks and special ones among them; its decoder leaves a space where it begins with a lone one."""
    theirs, choose = lasr_tokenizer(), random.Random(0)
    for _ in range(300):
        said = choose.choices(range(3, len(PIECES)), k=choose.randrange(1, 12))
        said.insert(choose.randrange(1, len(said) + 1), choose.choice([0, 1, 2]))
        if "▁" in PIECES[said[0]][1:]:  # of a first piece it takes all spaces away, those between words too
            continue
        wanted = theirs.decode(said, skip_special_tokens=True, group_tokens=False)
        assert tokenizer.decode(said) == wanted.strip(" ")


def test_letters_that_follow_themselves(tokenizer: MedasrTokenizer) -> None:
    """Decoding collapses nothing: that is done where the steps are known."""
    assert tokenizer.decode(ids("▁in", "flam", "m", "m", "ation")) == "inflammmation"


def test_encode_as_transformers(tokenizer: MedasrTokenizer) -> None:
    """And no end of sentence behind it."""
    for text in ("inflammation of the lungs {period} [FINDINGS] {new paragraph}", "54-year-old", "", " two  spaces "):
        assert tokenizer.encode(text) == lasr_tokenizer().encode(text, add_special_tokens=False)


def test_words_own_their_tokens(tokenizer: MedasrTokenizer) -> None:
    """A lone space belongs to no word, a piece of several words to each of them."""
    said = ids("▁", "5", "4", "-", "▁year", "▁of▁the", "▁lung", "s")
    assert tokenizer.words(said) == [
        Spoken(" 54-", 1, 4),
        Spoken(" year", 4, 5),
        Spoken(" of", 5, 6),
        Spoken(" the", 5, 6),
        Spoken(" lungs", 6, 8),
    ]
    assert tokenizer.words([]) == tokenizer.words(ids("▁", "</s>")) == []


def test_markup_is_one_word(tokenizer: MedasrTokenizer) -> None:
    """Where it is closed; what never is stays as many words as it is."""
    said = ids("▁lung", "s", "▁{period}", "▁{new", "▁paragraph}", "▁[EXAM", "▁TYPE]", "{colon}", "▁no")
    assert [word.text for word in tokenizer.words(said)] == [
        " lungs",
        " {period}",
        " {new paragraph}",
        " [EXAM TYPE]{colon}",
        " no",
    ]
    for open_ended in (ids("▁{new", "▁{period}"), ids("▁[EXAM", *["▁no"] * 6, "▁TYPE]"), ids("▁{new", "▁TYPE]")):
        found = [word.text for word in tokenizer.words(open_ended)]
        assert len(found) == sum(PIECES[id].startswith("▁") for id in open_ended)


def test_words_are_the_text(tokenizer: MedasrTokenizer) -> None:
    """Nothing is lost or told twice, whatever is said."""
    choose = random.Random(1)
    for _ in range(200):
        said = choose.choices(range(len(PIECES)), k=choose.randrange(15))
        words = tokenizer.words(said)
        assert "".join(word.text for word in words).split() == tokenizer.decode(said).split()
        assert all(0 <= word.first < word.last <= len(said) for word in words)
        assert [word.first for word in words] == sorted(word.first for word in words)


def test_ids_without_a_piece(tokenizer: MedasrTokenizer) -> None:
    """A head may have more rows than the tokenizer has pieces; a blank may be any of them."""
    assert tokenizer.decode([len(PIECES) + 3, *ids("▁no"), -1]) == "no"


def test_the_blank_is_no_text(tmp_path: Path) -> None:
    """Even where the tokenizer holds it for a word."""
    lasr_tokenizer().save_pretrained(tmp_path)
    assert MedasrTokenizer.from_folder(tmp_path, PIECES.index("▁no")).decode(ids("▁no", "▁lung", "▁no")) == "lung"


def test_folders_without_a_tokenizer(tmp_path: Path) -> None:
    """Each is refused in words."""
    with pytest.raises(ModelFormatError, match=r"no tokenizer.json"):
        MedasrTokenizer.from_folder(tmp_path, 0)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelFormatError, match="fetch it again"):
        MedasrTokenizer.from_folder(tmp_path, 0)
    lasr_tokenizer().save_pretrained(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"] = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ModelFormatError, match="is not a unigram"):
        MedasrTokenizer.from_folder(tmp_path, 0)
