"""Word error rates, and what goes with a figure."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jiwer
import pytest
import torch

from literatim.bench import environment, wer, wer_report
from literatim.errors import AudioFormatError, AudioNotFound, DependencyError, OptionError


def test_counts_by_hand() -> None:
    # "well" is inserted, "sat" -> "sits" is one substitution, the second "the" is deleted
    counts = wer.count("the cat sat on the mat", "well the cat sits on mat")
    assert (counts.words, counts.substitutions, counts.deletions, counts.insertions) == (6, 1, 1, 1)
    assert counts.wer == pytest.approx(3 / 6)


def test_character_counts_by_hand() -> None:
    counts = wer.count("abcde", "abxdef")  # c -> x, and f inserted
    assert (counts.characters, counts.character_errors) == (5, 2)
    assert counts.cer == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("reference", "heard"),
    [
        ("a b c d", "a b c d"),
        ("one two three", "two three four five"),
        ("het is goed zo", ""),
        ("naïve café", "naive cafe  x"),
    ],
)
def test_rates_are_those_of_jiwer(reference: str, heard: str) -> None:
    counts = wer.count(reference, heard)
    assert counts.wer == pytest.approx(jiwer.wer(reference, heard))
    assert counts.cer == pytest.approx(jiwer.cer(reference, heard))


def test_an_empty_reference_has_no_rate_but_counts_what_was_invented() -> None:
    counts = wer.count("", "thank you")
    assert (counts.words, counts.insertions, counts.wer, counts.cer) == (0, 2, None, None)


def test_several_recordings_are_weighed_by_their_words() -> None:
    # 1 error in 1 word and 0 in 9: 10 %, where the mean of the rates would be 50 %
    together = wer.count("yes", "no") + wer.count("a b c d e f g h i", "a b c d e f g h i")
    assert together.wer == pytest.approx(0.1)


def test_normalizers() -> None:
    rules = wer.normalizers("all", {"colour": "color"})
    assert list(rules) == ["none", "basic", "english"]
    assert rules["none"](" It's Fine. ") == "It's Fine."
    assert rules["basic"]("Ja, natuurlijk!").strip() == "ja natuurlijk"
    assert rules["english"]("We're twenty one; colour").strip() == "we are 21 color"
    assert list(wer.normalizers("basic", {})) == ["basic"]


def test_spelling_comes_from_the_checkpoint(tmp_path: Path) -> None:
    assert wer.spelling(tmp_path) == {}
    (tmp_path / "normalizer.json").write_text('{"grey": "gray"}')
    assert wer.spelling(tmp_path) == {"grey": "gray"}


def test_missing_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(DependencyError, match=r"pip install 'literatim\[eval\]'"):
        wer.count("a", "a")


def test_references(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"text": "hallo", "language": "nl"}))
    assert wer.beside(tmp_path / "a.wav") == tmp_path / "a.json"
    assert wer.read_reference(tmp_path / "a.json") == wer.Reference("hallo", "nl")
    (tmp_path / "a.txt").write_bytes("\ufeffgoedemorgen".encode())
    assert wer.beside(tmp_path / "a.wav") == tmp_path / "a.txt"
    assert wer.read_reference(tmp_path / "a.txt") == wer.Reference("goedemorgen", None)


@pytest.mark.parametrize("content", ["[1]", '{"words": []}', "{"])
def test_references_that_are_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(OptionError, match=r"a\.json"):
        wer.read_reference(tmp_path / "a.json")


def test_absent_references(tmp_path: Path) -> None:
    with pytest.raises(AudioNotFound, match="--reference"):
        wer.beside(tmp_path / "a.wav")
    with pytest.raises(AudioNotFound):
        wer.read_reference(tmp_path / "a.txt")


class FakeRecognizer:
    """Says the same of every recording but one."""

    device, dtype = torch.device("cpu"), torch.float32

    def transcribe(self, audio: Path, **_: Any) -> Any:
        if audio.name == "broken.wav":
            raise AudioFormatError("not audio")
        return SimpleNamespace(text=" Goedemorgen.", language="nl", duration=10.0)


def _case(folder: Path, name: str, text: str, language: str) -> wer.Case:
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"text": text, "language": language}))
    return wer.Case(folder / f"{name}.wav", file)


def test_run_goes_on_after_a_failure_and_keeps_english_rules_for_english(tmp_path: Path) -> None:
    cases = [_case(tmp_path, "broken", "x", "en"), _case(tmp_path, "dutch", "goedemorgen", "nl")]
    cases.append(_case(tmp_path, "english", "good morning", "en"))
    rules = wer.normalizers("all", {})
    failure, dutch, english = wer.run(FakeRecognizer(), cases, rules, {})  # type: ignore[arg-type]
    assert isinstance(failure, wer.Failure)
    assert isinstance(dutch, wer.Result)
    assert isinstance(english, wer.Result)
    assert set(dutch.scores) == {"none", "basic"}
    assert dutch.scores["none"].wer == 1.0  # the capital and the full stop
    assert dutch.scores["basic"].wer == 0.0
    whole = wer.total([dutch, english])
    assert whole["scores"]["english"]["recordings"] == 1
    assert whole["scores"]["basic"]["wer"] == pytest.approx(2 / 3)  # of "good morning": one replaced, one lost
    assert whole["duration"] == 20.0
    found = wer.summary("demo", FakeRecognizer(), [dutch, english], {"spellings": 0})  # type: ignore[arg-type]
    assert (found["weights"], found["dtype"], found["device"]) == ("bundled", "float32", "cpu")
    assert "dutch.wav" in wer_report.wer_table(found).plain()
    assert str(tmp_path) not in json.dumps(found["files"])


def test_fingerprint() -> None:
    found = environment.fingerprint("cpu", ["float32"], ["jiwer", "no-such-package"])
    assert found["packages"]["jiwer"] == metadata.version("jiwer")
    assert found["packages"]["no-such-package"] is None
    assert found["torch"] == torch.__version__
    assert found["cores"] >= 1
    assert found["ram_gib"] > 0.1
    assert found["cpu"]
    assert json.loads(json.dumps(found)) == found
