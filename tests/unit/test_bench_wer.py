"""Word and character error rates: what is counted, after which normaliser, over which recordings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jiwer
import pytest
import torch

from literatim.bench import wer, wer_report, wer_run
from literatim.bench.manifest import Case
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
    together = wer.rates([wer.count("yes", "no"), wer.count("a b c d e f g h i", "a b c d e f g h i")])
    assert together["wer"] == pytest.approx(0.1)
    assert together["recordings"] == 2


def test_interval_of_equal_recordings_is_their_rate() -> None:
    same = wer.rates([wer.count("a b c d", "a b c x")] * 5)
    assert same["wer_interval"] == [0.25, 0.25]
    unlike = wer.rates([wer.count("a b", "a b")] * 10 + [wer.count("a b", "x y")] * 10)
    # half are wholly wrong: the share of 20 fair draws lies within 0.5 -+ 1.96 sqrt(0.25 / 20) = 0.28 ... 0.72
    assert unlike["wer_interval"] == pytest.approx([0.28, 0.72], abs=0.05)
    assert wer.rates([wer.count("a", "b")])["wer_interval"] is None
    assert wer.rates([wer.count("", "b")] * 3)["wer_interval"] is None


def test_spaces_do_not_count_where_a_language_has_none() -> None:
    assert wer.count("今天 天气", "今天天气").character_errors == 1
    assert wer.count("今天 天气", "今天天气", spaceless=True).to_dict() | {"words": 0} == {
        **wer.Counts(0, 1, 1, 0, 4, 0).to_dict(),
        "wer": 1.0,
        "cer": 0.0,
    }
    scores = wer.score("今天 天气", "今天天汽", "zh", {"none": str.strip})
    assert scores["none"].cer == pytest.approx(1 / 4)
    assert wer.score("a b", "ab", "nl", {"none": str.strip})["none"].cer == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("languages", "expected"), [(["en", "nl"], "wer"), (["zh", "ja"], "cer"), (["zh", "en"], "mixed"), ([], "wer")]
)
def test_the_rate_to_read_follows_the_languages(languages: list[str], expected: str) -> None:
    assert wer.headline(languages) == expected


def test_normalizers() -> None:
    rules = wer.normalizers("all", {"colour": "color"})
    assert list(rules) == ["none", "basic", "english"]
    assert rules["none"](" It's Fine. ") == "It's Fine."
    assert rules["basic"]("Ja, natuurlijk!").strip() == "ja natuurlijk"
    assert rules["english"]("We're twenty one; colour").strip() == "we are 21 color"
    assert list(wer.normalizers("basic", {})) == ["basic"]


def test_the_normaliser_of_medasr() -> None:
    """Google's reference of its sample reads "Technique standard protocol period. Findings colon."."""
    rule = wer.normalizers("medasr", {})["medasr"]
    said = "[TECHNIQUE] standard protocol {period} [FINDINGS] {colon}  Patient's 54-year-old {new paragraph}</s>"
    assert rule(said) == "technique standard protocol period findings colon patient's 54 year old new paragraph"
    assert rule("Technique standard protocol period. Findings colon.") == rule(said).partition(" patient")[0]
    assert rule("<epsilon>No <unk> mass </s>") == "no mass"
    assert rule("1.2 x 0.8 cm") == "1 2 x 0 8 cm"
    counted = wer.score("No mass period.", "No mass {period}</s>", "en", wer.normalizers("medasr", {}))
    assert {name: (found.words, found.errors) for name, found in counted.items()} == {"medasr": (3, 0)}


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
    """Says the same of every recording but one, and keeps what it was asked."""

    device, dtype, precision = torch.device("cpu"), torch.float32, "highest"

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], dict[str, Any]]] = []

    def transcribe(self, audio: Any, **options: Any) -> Any:
        self.asked.append(([getattr(audio, "name", "")], options))
        if getattr(audio, "name", "") == "broken.wav":
            raise AudioFormatError("not audio")
        return SimpleNamespace(text=" Goedemorgen.", language="nl", duration=10.0)

    def transcribe_many(self, audios: list[Path], **options: Any) -> Any:
        self.asked.append(([audio.name for audio in audios], options))
        for index in reversed(range(len(audios))):  # as they finish, not as they were given
            try:
                yield SimpleNamespace(index=index, transcript=self.transcribe(audios[index]), error=None)
            except AudioFormatError as error:
                yield SimpleNamespace(index=index, transcript=None, error=error)


CASES = [
    Case(Path("broken.wav"), "broken", "x", "en"),
    Case(Path("dutch.wav"), "dutch", "goedemorgen", "nl", "anna", "dutch.json"),
    Case(Path("english.wav"), "english", "good morning", "en"),
]


def test_run_goes_on_after_a_failure_and_keeps_english_rules_for_english() -> None:
    rules = wer.normalizers("all", {})
    failure, dutch, english = wer_run.run(FakeRecognizer(), CASES, rules, {})  # type: ignore[arg-type]
    assert isinstance(failure, wer_run.Failure)
    assert isinstance(dutch, wer_run.Result)
    assert isinstance(english, wer_run.Result)
    assert set(dutch.scores) == {"none", "basic"}
    assert dutch.scores["none"].wer == 1.0  # the capital and the full stop
    assert dutch.scores["basic"].wer == 0.0
    whole = wer_run.total([dutch, english])
    assert whole["scores"]["english"]["recordings"] == 1
    assert whole["scores"]["basic"]["wer"] == pytest.approx(2 / 3)  # of "good morning": one replaced, one lost
    assert (whole["duration"], whole["headline"], whole["languages"]) == (20.0, "wer", {"en": 1, "nl": 1})
    assert whole["seconds"] == dutch.seconds + english.seconds
    assert wer_run.Result.from_dict(dutch.case, json.loads(json.dumps(dutch.to_dict()))) == dutch


def test_many_together_have_one_speed() -> None:
    recognizer = FakeRecognizer()
    found = list(wer_run.run(recognizer, CASES, {"none": str.strip}, {}, batch_size=4))  # type: ignore[arg-type]
    assert recognizer.asked[0] == (["broken.wav", "dutch.wav", "english.wav"], {"language": None, "batch_size": 4})
    assert [outcome.case.id for outcome in found] == ["english", "dutch", "broken"]
    results = [outcome for outcome in found if isinstance(outcome, wer_run.Result)]
    assert {result.seconds for result in results} == {None}
    assert {result.to_dict()["rtfx"] for result in results} == {None}
    whole = wer_run.total(results)
    assert whole["seconds"] == sum(result.elapsed for result in results) > 0
    assert whole["rtfx"] == whole["duration"] / whole["seconds"]


def test_each_recording_in_its_own_language() -> None:
    recognizer = FakeRecognizer()
    cases = [*CASES[1:], Case(Path("more.wav"), "more", "goed", "nl"), Case(Path("unknown.wav"), "unknown", "x")]
    options = {"language": wer_run.OWN_LANGUAGE}
    list(wer_run.run(recognizer, cases, {"none": str.strip}, options, batch_size=2))  # type: ignore[arg-type]
    batches = [(names, told["language"]) for names, told in recognizer.asked if "batch_size" in told]
    assert batches == [(["dutch.wav", "more.wav"], "nl"), (["english.wav"], "en"), (["unknown.wav"], None)]
    wer_run.check_languages(cases, wer_run.OWN_LANGUAGE)
    frisian = [Case(Path("a.wav"), "a", "x", "fy")]
    wer_run.check_languages(frisian, None)
    with pytest.raises(OptionError, match="fy"):
        wer_run.check_languages(frisian, wer_run.OWN_LANGUAGE)
    wer_run.warm_up(recognizer, options)  # type: ignore[arg-type]
    assert recognizer.asked[-1][1] == {"language": None}


def _report(results: list[wer_run.Result], **settings: Any) -> dict[str, Any]:
    settings = {"spellings": 0, "batch_size": 1, **settings}
    return wer_run.summary("demo", None, FakeRecognizer(), results, settings)  # type: ignore[arg-type]


def _result(name: str, text: str, heard: str, language: str = "en") -> wer_run.Result:
    scores = wer.score(text, heard, language, wer.normalizers("all", {}))
    return wer_run.Result(Case(Path("home") / f"{name}.wav", name, text), language, 4.0, heard, scores, 2.0, 2.0)


def test_the_report_names_files_by_name_alone() -> None:
    found = _report([_result("a", "one two", "one two")])
    assert (found["weights"], found["dtype"], found["device"]) == ("bundled", "float32", "cpu")
    assert "home" not in json.dumps(found["files"])
    assert found["files"][0]["expected"] == "one two"
    assert found["settings"]["precision"] == "highest"
    assert found["total"]["rtfx"] == 2.0


def test_the_table_has_the_worst_first_and_all_together_last() -> None:
    results = [_result("good", "red blue", "red blue"), _result("bad", "red blue", "sun")]
    results.append(_result("fair", "a b c d", "a b c"))
    results.append(_result("silent", "", "you you"))
    found = _report(results)
    table = wer_report.wer_table(found, worst=3)
    first = list(dict.fromkeys(row[0] for row in table.rows))
    assert first == ["silent", "bad", "fair", "all 4"]
    assert "3 worst of 4" in table.plain()
    assert "Of 4 recordings it is rough" in table.plain()
    (whole,) = [row for row in table.rows if row[:2] == ("all 4", "english")]
    # 0 of 2, then one replaced and one lost of 2, one lost of 4, two invented of none: 5 of 8
    assert whole[2] == "62.50 %"
    assert whole[5:9] == ("1", "2", "2", "8")
    low, high = whole[4].removesuffix(" %").split(" to ")
    assert 0 <= float(low) < 62.5 < float(high)
    assert len(wer_report.wer_table(found, worst=10).notes) == len(table.notes) - 1


def test_the_table_says_which_rate_to_read() -> None:
    chinese = _report([_result("a", "今天", "今天", "zh"), _result("b", "天气很好", "天汽很好", "zh")])
    assert chinese["total"]["headline"] == "cer"
    table = wer_report.wer_table(chinese)
    assert "zh: written without spaces" in table.plain()
    assert table.rows[0][0] == "b"
    mixed = wer_report.wer_table(_report([_result("a", "今天", "今天", "zh"), _result("b", "x", "x")])).plain()
    assert "run of its own" in mixed
    together = wer_report.wer_table(_report([_result("b", "x", "x")], batch_size=8)).plain()
    assert "Up to 8 recordings" in together
