"""Languages by code, name and alias."""

from __future__ import annotations

import pytest

from literatim.errors import OptionError
from literatim.text.languages import ALIASES, LANGUAGES, normalise
from tokenizer_builders import openai_languages


def test_table_and_order_are_those_of_openai() -> None:
    languages, names = openai_languages()
    assert list(LANGUAGES.items()) == list(languages.items())
    assert {name: code for code, name in LANGUAGES.items()} | ALIASES == names
    assert len(LANGUAGES) == 100


def test_every_spelling_openai_accepts_gives_its_code() -> None:
    languages, names = openai_languages()
    for spelling, code in {**names, **{code: code for code in languages}}.items():
        for variant in (spelling, spelling.upper(), spelling.title(), f" {spelling} "):
            assert normalise(variant) == code
    assert normalise("haitian_creole") == "ht"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("Englisch", "en (english)"),
        ("dutsch", "nl (dutch)"),
        ("pt-BR", "pt (portuguese)"),
        ("zh_CN", "zh (chinese)"),
        ("klingon!", "give a code such as en"),
        ("", "give a code such as en"),
    ],
)
def test_an_unknown_language_is_refused_with_the_nearest(wrong: str, hint: str) -> None:
    with pytest.raises(OptionError) as caught:
        normalise(wrong)
    assert hint in str(caught.value)
    assert repr(wrong) in str(caught.value)
