"""Recordings with their words: manifests, corpus folders, and the results an interrupted run leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from literatim.bench import layouts, manifest, resume, wer, wer_run
from literatim.bench.manifest import Case
from literatim.errors import AudioNotFound, OptionError


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"sound")


def _write(file: Path, *lines: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


# manifests


def test_manifest(tmp_path: Path) -> None:
    _touch(tmp_path, "clips/a.wav", "b.wav")
    lines = [
        json.dumps({"audio": "clips/a.wav", "text": "goedemorgen", "language": "Dutch", "id": "A", "speaker": 12}),
        "",
        json.dumps({"audio": str(tmp_path / "b.wav"), "text": "", "other": "left alone"}),
    ]
    found = manifest.read_manifest(_write(tmp_path / "list.jsonl", *lines))
    assert found.problems == []
    assert found.cases == [
        Case(tmp_path / "clips/a.wav", "A", "goedemorgen", "nl", "12", "list.jsonl"),
        Case(tmp_path / "b.wav", str(tmp_path / "b.wav"), "", None, None, "list.jsonl"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "recursion|not JSON"),
        ('["a.wav", "x"]', "not a JSON object"),
        ('{"text": "x"}', "the key audio"),
        ('{"audio": "", "text": "x"}', "the key audio"),
        ('{"audio": "a.wav"}', "the key text"),
        ('{"audio": "a.wav", "text": 1}', "the key text"),
        ('{"audio": "a.wav", "text": "x", "language": ["nl"]}', "the key language"),
        ('{"audio": "none.wav", "text": "x"}', "no recording .*none.wav"),
        ('{"audio": "a.wav", "text": "x", "id": "first"}', "'first' is that of line 1"),
    ],
)
def test_a_bad_line_is_reported_with_its_number_and_skipped(tmp_path: Path, line: str, reason: str) -> None:
    _touch(tmp_path, "a.wav")
    good = ['{"audio": "a.wav", "text": "x", "id": "first"}', '{"audio": "a.wav", "text": "y", "id": "last"}']
    found = manifest.read_manifest(_write(tmp_path / "list.jsonl", good[0], "", line, good[1]))
    assert [case.id for case in found.cases] == ["first", "last"]
    (problem,) = found.problems
    assert "list.jsonl, line 3: " in problem
    assert re.search(reason, problem)


def test_manifests_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AudioNotFound, match="no manifest"):
        manifest.read_manifest(tmp_path / "list.jsonl")
    (tmp_path / "list.jsonl").write_bytes(b'{"text": "\xff"}')
    with pytest.raises(OptionError, match="UTF-8"):
        manifest.read_manifest(tmp_path / "list.jsonl")


@pytest.mark.parametrize(
    ("given", "expected"),
    [("nl", "nl"), ("English", "en"), ("sv-SE", "sv"), ("zh_CN", "zh"), ("fy-NL", "fy-nl"), ("", None), (None, None)],
)
def test_languages_of_references(given: str | None, expected: str | None) -> None:
    assert manifest.code(given) == expected


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        _touch(tmp_path, f"{folder}/a.wav")
        _write(tmp_path / folder / "a.json", json.dumps({"text": folder, "language": "dutch"}))
    cases = manifest.distinct(manifest.pair(tmp_path / folder / "a.wav") for folder in ("one", "two"))
    assert [(case.id, case.text, case.language, case.source) for case in cases] == [
        ("a.wav", "one", "nl", "a.json"),
        ("a.wav#2", "two", "nl", "a.json"),
    ]


# corpora, in exactly their published layouts


def _librispeech(root: Path) -> Path:
    for subset, reader in (("test-clean", "1089"), ("test-other", "2414"), ("dev-clean", "84")):
        chapter = root / "LibriSpeech" / subset / reader / "134686"
        name = f"{reader}-134686"
        _touch(chapter, f"{name}-0000.flac", f"{name}-0001.flac")
        _write(chapter / f"{name}.trans.txt", f"{name}-0000 HE HOPED THERE", f"{name}-0001 STUFF IT")
    _write(root / "LibriSpeech" / "SPEAKERS.TXT", "; not an index")
    return root / "LibriSpeech"


def test_librispeech(tmp_path: Path) -> None:
    root = _librispeech(tmp_path)
    found = layouts.read_layout(root)
    assert found.problems == []
    names = ["1089-134686-0000", "1089-134686-0001", "2414-134686-0000", "2414-134686-0001"]
    assert [case.id for case in found.cases] == names
    first = found.cases[0]
    assert (first.text, first.language, first.speaker) == ("HE HOPED THERE", "en", "1089")
    assert first.audio.read_bytes() == b"sound"
    assert len(layouts.read_layout(root, split="dev").cases) == 2
    assert len(layouts.read_layout(root, split="all").cases) == 6
    assert len(layouts.read_layout(root.parent).cases) == 4
    assert len(layouts.read_layout(root / "dev-clean").cases) == 2
    assert len(layouts.read_layout(root / "test-clean" / "1089" / "134686", "librispeech").cases) == 2
    with pytest.raises(OptionError, match=r"no split 'train'.*dev, test"):
        layouts.read_layout(root, split="train")
    names[0] = "gone"
    first.audio.unlink()
    found = layouts.read_layout(root)
    assert [case.id for case in found.cases] == names[1:]
    assert "134686.trans.txt, line 1: " in found.problems[0]


HEADER = "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender"


def test_voxpopuli_as_its_scripts_write_it(tmp_path: Path) -> None:
    folder = tmp_path / "transcribed_data" / "nl"
    one, two = "20180613-0900-PLENARY-15-nl_20180613-22:39:12_4", "20190911-0900-PLENARY-3-nl_20190911-12:00:00_1"
    _touch(folder, f"2018/{one}.ogg", f"2019/{two}.ogg")
    rows = [f'{one}\tMijnheer de "voorzitter"!\tmijnheer de voorzitter\t96805\ttest\tfemale']
    rows += [f"{two}\t\tdank u wel\t28241\ttest\tmale", "20180101-gone\tx\tx\t1\ttest\tmale"]
    _write(folder / "asr_test.tsv", HEADER, *rows)
    _write(folder / "asr_dev.tsv", HEADER)
    found = layouts.read_layout(tmp_path)
    assert [(case.id, case.text, case.language, case.speaker) for case in found.cases] == [
        (one, "mijnheer de voorzitter", "nl", "96805"),
        (two, "dank u wel", "nl", "28241"),
    ]
    assert found.cases[1].audio == folder / "2019" / f"{two}.ogg"
    (problem,) = found.problems
    assert "asr_test.tsv, line 4: " in problem


def test_voxpopuli_as_unpacked_from_hugging_face(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "de"
    _touch(folder, "test/20180613-a.wav", "test/test_part_0/20180613-b.wav")
    rows = [f"20180613-{name}\t\tguten tag\tNone\ttest\tfemale" for name in "ab"]
    _write(folder / "asr_test.tsv", HEADER, *rows)
    found = layouts.read_layout(folder, "auto", "test")
    assert [case.audio.name for case in found.cases] == ["20180613-a.wav", "20180613-b.wav"]
    assert found.problems == []


def test_common_voice(tmp_path: Path) -> None:
    folder = tmp_path / "cv-corpus-17.0-2024-03-15" / "sv-SE"
    columns = "client_id path sentence_id sentence sentence_domain up_votes down_votes"
    columns += " age gender accents variant locale segment"
    _touch(folder, "clips/common_voice_sv-SE_1.mp3", "clips/common_voice_sv-SE_2.mp3")
    client = "0a1b2c" * 20

    def row(path: str, sentence: str) -> str:
        return "\t".join([client, path, "77", sentence, "", "2", "0", "", "", "", "", "sv-SE", ""])

    head = "\t".join(columns.split())
    rows = [row("common_voice_sv-SE_1.mp3", '"Var är ""huset""?"'), row("common_voice_sv-SE_2.mp3", 'Ja, "visst.')]
    _write(folder / "test.tsv", head, *rows, row("gone.mp3", "x"))
    _write(folder / "validated.tsv", head, rows[0])
    _write(folder / "reported.tsv", "sentence_id\tsentence\tlocale\treason", "77\tx\tsv-SE\tother")
    found = layouts.read_layout(tmp_path / "cv-corpus-17.0-2024-03-15")
    assert [(case.id, case.text, case.language) for case in found.cases] == [
        ("common_voice_sv-SE_1", 'Var är "huset"?', "sv"),
        ("common_voice_sv-SE_2", 'Ja, "visst.', "sv"),
    ]
    assert found.cases[0].speaker == client[:12]
    assert "test.tsv, line 4: " in found.problems[0]
    assert len(layouts.read_layout(folder, split="validated").cases) == 1


def test_the_first_common_voice_had_names_without_suffix(tmp_path: Path) -> None:
    folder = tmp_path / "nl"
    _touch(folder, "clips/5f1c.mp3")
    columns = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent"
    _write(folder / "test.tsv", columns, "x\t5f1c\tHallo.\t2\t0\t\t\t")
    (case,) = layouts.read_layout(folder).cases
    assert (case.id, case.audio.name, case.language) == ("5f1c", "5f1c.mp3", "nl")


def test_aishell(tmp_path: Path) -> None:
    root = tmp_path / "data_aishell"
    for split, speaker in (("train", "S0002"), ("test", "S0764")):
        _touch(
            root, f"wav/{split}/{speaker}/BAC009{speaker}W0121.wav", f"wav/{split}/{speaker}/BAC009{speaker}W0122.wav"
        )
    transcript = root / "transcript" / "aishell_transcript_v0.8.txt"
    _write(transcript, "BAC009S0764W0121 甚至 出现 交易 几乎 停滞 的 情况", "BAC009S0002W0122 而 对 楼市 成交")
    for folder in (root, tmp_path):
        found = layouts.read_layout(folder)
        (case,) = found.cases
        assert (case.id, case.text) == ("BAC009S0764W0121", "甚至出现交易几乎停滞的情况")
        assert (case.language, case.speaker) == ("zh", "S0764")
        assert "test/S0764/BAC009S0764W0122.wav" in found.problems[0]


def test_aishell_that_is_still_packed(tmp_path: Path) -> None:
    _touch(tmp_path, "wav/S0764.tar.gz")
    _write(tmp_path / "transcript" / "aishell_transcript_v0.8.txt", "BAC009S0764W0121 甚至")
    with pytest.raises(OptionError, match="unpack"):
        layouts.read_layout(tmp_path)


def test_folders_that_are_no_corpus(tmp_path: Path) -> None:
    _touch(tmp_path, "a.wav")
    with pytest.raises(OptionError, match="manifest of JSON lines"):
        layouts.read_layout(tmp_path)
    with pytest.raises(OptionError, match=r"no index file of librispeech \(READER"):
        layouts.read_layout(_write(tmp_path / "cv" / "test.tsv", "x").parent, "librispeech")
    (_librispeech(tmp_path) / "test-clean/1089/134686/1089-134686.trans.txt").write_bytes(b"1089-134686-0000 \xff")
    with pytest.raises(OptionError, match="UTF-8"):
        layouts.read_layout(tmp_path)


# results of a run that was interrupted

CASES = [Case(Path(f"{name}.wav"), name, f"the words of {name}") for name in "abc"]
HEAD: dict[str, Any] = {"model": "1f2e", "normalizer": "none", "language": None}


def _result(case: Case) -> wer_run.Result:
    scores = {"none": wer.count(case.text, "the words of b")}
    return wer_run.Result(case, "en", 2.0, "the words of b", scores, 0.5)


def test_a_second_run_finds_what_the_first_kept(tmp_path: Path) -> None:
    path = resume.part_of(tmp_path / "out" / "wer.json")
    assert path == tmp_path / "out" / "wer.json.part"
    first = resume.Part.open(path, HEAD, CASES)
    assert (first.results, first.differs) == ({}, {})
    for case in CASES[:2]:
        first.keep(_result(case))
    with path.open("a", encoding="utf-8") as file:
        file.write('{"id": "c", "expec')  # cut off in the middle of a line
    second = resume.Part.open(path, HEAD, CASES)
    assert second.results == {case.id: _result(case) for case in CASES[:2]}
    second.keep(_result(CASES[2]))  # not glued to the cut line
    assert list(resume.Part.open(path, HEAD, CASES).results) == ["a", "b", "c"]
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    second.remove()
    assert not path.exists()


def test_results_of_another_model_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "wer.json.part"
    resume.Part.open(path, HEAD, CASES).keep(_result(CASES[0]))
    other = resume.Part.open(path, {**HEAD, "model": "9a8b"}, CASES)
    assert other.results == {}
    assert other.differs == {"model": ("1f2e", "9a8b")}
    assert resume.Part.open(path, {**HEAD, "model": "9a8b"}, CASES).differs == {}


def test_results_against_other_words_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "wer.json.part"
    part = resume.Part.open(path, HEAD, CASES)
    for case in CASES:
        part.keep(_result(case))
    changed = [CASES[0], Case(CASES[1].audio, "b", "other words"), Case(Path("moved.wav"), "c", CASES[2].text)]
    assert list(resume.Part.open(path, HEAD, changed).results) == ["a"]


@pytest.mark.parametrize("content", ["", "not JSON\n", "[]\n", '{"kind": "another"}\n'])
def test_a_file_of_another_kind_is_not_trusted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "wer.json.part"
    path.write_text(content)
    part = resume.Part.open(path, HEAD, CASES)
    assert part.results == {}
    assert "kind" in part.differs


def test_a_line_that_is_no_result_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "wer.json.part"
    resume.Part.open(path, HEAD, CASES).keep(_result(CASES[0]))
    broken = {"id": "b", "expected": CASES[1].text, "file": "b.wav", "scores": {"none": {"words": 1}}}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(broken) + "\n" + json.dumps({**broken, "scores": []}) + "\n")
    assert list(resume.Part.open(path, HEAD, CASES).results) == ["a"]
