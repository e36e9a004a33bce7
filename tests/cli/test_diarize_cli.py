"""`literatim diarize`, `transcribe --diarize` and `bench der`: what they print and write, and every kind of bad input.

The network for voices has random weights: who is told apart means nothing here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from audio_builders import encode, tone, wav
from literatim import demo
from literatim.cli.bench_der import der
from literatim.cli.diarize import diarize
from literatim.cli.main import cli
from literatim.cli.transcribe import transcribe
from literatim.errors import ModelError, OptionError
from literatim.text import rttm
from speaker_builders import random_speaker_folder

CLIPS = Path(demo.__file__).parent / "clips"
CLIP = CLIPS / "en-new-templates-0.flac"
LINE = re.compile(r"\[\d\d:\d\d\.\d{3} --> \d\d:\d\d\.\d{3}\] SPEAKER_\d\d")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_speaker_folder(tmp_path_factory.mktemp("speaker"), 7)


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(diarize, [*arguments, "--model", str(folder), "--device", "cpu"])


def test_turns_are_printed_a_line_each(folder: Path) -> None:
    done = run(folder, str(CLIP), "--num_speakers", "1")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines
    assert all(LINE.fullmatch(line) for line in lines)
    assert "1 speaker: SPEAKER_00" in done.stderr


def test_files_json_and_a_drawing(folder: Path, tmp_path: Path) -> None:
    plot = tmp_path / "new" / "turns.svg"
    flags = ("-f", "all", "-o", str(tmp_path / "out"), "--json", "--plot", str(plot), "--num-speakers", "2")
    done = run(folder, str(CLIP), *flags)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["file"] == str(CLIP)
    written = json.loads((tmp_path / "out" / f"{CLIP.stem}.json").read_text())
    assert written == {name: value for name, value in told.items() if name != "file"}
    turns = rttm.read(tmp_path / "out" / f"{CLIP.stem}.rttm")[CLIP.stem]
    assert [turn.to_dict() for turn in turns] == told["turns"]
    assert {one["speaker"] for one in told["speakers"]} == {turn.speaker for turn in turns}
    text = plot.read_text()
    assert text.startswith("<?xml")
    assert "SPEAKER_00" in text


def test_one_bad_recording_stops_no_other(folder: Path, tmp_path: Path) -> None:
    silent, short, text = tmp_path / "silent.wav", tmp_path / "short.wav", tmp_path / "text.wav"
    silent.write_bytes(wav(bytes(2 * 32_000)))
    short.write_bytes(wav(bytes(100)))
    text.write_text("no sound at all")
    done = run(folder, *(str(file) for file in (silent, short, text, tmp_path / "none.wav", CLIP)))
    assert done.exit_code == 1
    assert done.stdout.count("== ") == 2  # the silent one and the clip
    assert f"{silent}: no speech was found" in done.stderr
    assert f"Skipping {short}: it lasts 0.003 s" in done.stderr
    assert f"Skipping {text}:" in done.stderr
    assert f"Skipping {tmp_path / 'none.wav'}: no such file" in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--num_speakers", "2", "--min_speakers", "1"), "leave min_speakers out"),
        (("--min_speakers", "3", "--max_speakers", "2"), "swap them"),
        (("--channels", "split"), "give a channel's number"),
        (("--plot", "a.svg", "second.wav"), "draws one recording"),
        (("--device_index", "0,1", "--device", "cpu"), "device_index"),
    ],
)
def test_what_makes_no_sense_is_refused(folder: Path, flags: tuple[str, ...], message: str) -> None:
    done = run(folder, str(CLIP), *flags)
    assert done.exception is not None
    assert message in str(done.exception)


def test_another_kind_of_model_is_refused() -> None:
    done = CliRunner().invoke(diarize, [str(CLIP), "--model", "demo"])
    assert isinstance(done.exception, ModelError)
    assert "Traceback" not in done.output


def test_a_transcript_with_speakers(folder: Path, tmp_path: Path) -> None:
    flags = ("--model", "demo", "--assistant", "none", "--language", "en", "-o", str(tmp_path), "-f", "srt,vtt,json")
    done = CliRunner().invoke(transcribe, [str(CLIP), *flags, "--diarize", "--speaker_model", str(folder)])
    assert done.exit_code == 0, done.output
    assert f"voices: {folder}" in done.stderr
    assert all("SPEAKER_0" in line for line in done.stdout.splitlines())
    written = json.loads((tmp_path / f"{CLIP.stem}.json").read_text())
    assert written["speakers"][0] == "SPEAKER_00"
    assert all(word["speaker"] == one["speaker"] for one in written["segments"] for word in one["words"])
    assert "[SPEAKER_00]: " in (tmp_path / f"{CLIP.stem}.srt").read_text()
    assert "<v SPEAKER_00>" in (tmp_path / f"{CLIP.stem}.vtt").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--num_speakers", "2"), "give diarize True"),
        (("--diarize", "--channels", "split"), "leave diarize out"),
        (("--diarize", "--live"), "exclude each other"),
        (("--diarize", "--speaker_model", "demoo"), "demo"),
    ],
)
def test_speakers_that_cannot_be_told_are_refused_before_a_model_is_loaded(
    flags: tuple[str, ...], message: str
) -> None:
    done = CliRunner().invoke(transcribe, ["-", "--model", "nothing-of-this-name", *flags])
    assert isinstance(done.exception, (OptionError, ModelError))
    assert message in str(done.exception)


def corpus(root: Path) -> Path:
    """VoxConverse's layout: SPLIT/NAME.rttm, and the sound elsewhere."""
    (root / "test").mkdir(parents=True)
    (root / "dev").mkdir()
    (root / "sound").mkdir()
    for split, name in (("test", "one"), ("test", "gone"), ("dev", "two")):
        (root / split / f"{name}.rttm").write_text(f"SPEAKER {name} 1 0.5 3.0 <NA> <NA> spk00 <NA> <NA>\n")
    for name in ("one", "two"):
        (root / "sound" / f"{name}.flac").write_bytes(CLIP.read_bytes())
    return root


def bench(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(der, [*arguments, "--model", str(folder), "--device", "cpu", "--json"])


def test_a_corpus_is_measured(folder: Path, tmp_path: Path) -> None:
    root = corpus(tmp_path)
    done = bench(
        folder, str(root), "--known_number", "--plot", str(tmp_path / "plots"), "--out", str(tmp_path / "a.json")
    )
    assert done.exit_code == 1  # one recording is not there
    assert "there is no recording gone" in done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "a.json").read_text())
    assert [entry["id"] for entry in report["files"]] == ["one"]
    assert report["files"][0]["found"] == 1
    assert report["total"]["collar_0"]["scored"] == 3.0
    assert (tmp_path / "plots" / "one.svg").is_file()
    both = json.loads(bench(folder, str(root), "--split", "all", "--sound", str(root / "sound")).stdout)
    assert [entry["id"] for entry in both["files"]] == ["two", "one"]
    assert isinstance(bench(folder, str(root), "--split", "train").exception, OptionError)


def test_ami_is_scored_where_its_uem_says(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "only_words" / "rttms" / "test").mkdir(parents=True)
    (tmp_path / "uems" / "test").mkdir(parents=True)
    (tmp_path / "amicorpus" / "EN2002a" / "audio").mkdir(parents=True)
    turns = "SPEAKER EN2002a 1 0.5 3.0 <NA> <NA> FEE005 <NA> <NA>\n"
    (tmp_path / "only_words" / "rttms" / "test" / "EN2002a.rttm").write_text(turns)
    (tmp_path / "uems" / "test" / "EN2002a.uem").write_text("EN2002a 1 0.000 1.500\n")
    audio = tmp_path / "amicorpus" / "EN2002a" / "audio"
    (audio / "EN2002a.Mix-Headset.flac").write_bytes(CLIP.read_bytes())
    (audio / "EN2002a.Headset-0.wav").write_bytes(b"")
    report = json.loads(bench(folder, str(tmp_path)).stdout)
    assert report["total"]["collar_0"]["scored"] == 1.0


def test_files_with_turns_beside_them(folder: Path, tmp_path: Path) -> None:
    audio = tmp_path / "talk.wav"
    audio.write_bytes(encode(tone(16_000, 2.0), 16_000, "wav", "pcm_s16le"))
    done = bench(folder, str(audio))
    assert "has no turns beside it" in done.stderr
    reference = tmp_path / "other.rttm"
    reference.write_text("SPEAKER x 1 0 1 <NA> <NA> a\n")
    report = json.loads(bench(folder, str(audio), "--reference", str(reference)).stdout)
    assert report["total"]["collar_0"]["scored"] == 1.0
    reference.write_text("SPEAKER x 1 0 1 <NA> <NA> a\nSPEAKER y 1 0 1 <NA> <NA> a\n")
    assert "turns of x, y, not of talk" in bench(folder, str(audio), "--reference", str(reference)).stderr
    (tmp_path / "talk.json").write_text('{"segments": [{"start": 0}]}')
    assert "tells no turns" in bench(folder, str(audio)).stderr


def test_help_names_the_commands() -> None:
    text = CliRunner().invoke(cli, ["--help"]).output
    assert "diarize" in text
    assert "der " in CliRunner().invoke(cli, ["bench", "--help"]).output


def test_words_have_times_where_the_strategy_has_any(folder: Path) -> None:
    """So that subtitles can be laid out by them; and asked for where there are none, they are refused as ever."""
    flags = ("--diarize", "--speaker_model", str(folder), "--highlight_words", "True", "-f", "srt")
    done = CliRunner().invoke(transcribe, [str(CLIP), "--model", "nothing-of-this-name", *flags])
    assert "no model is called" in str(done.exception)
    done = CliRunner().invoke(transcribe, [str(CLIP), "--model", "demo", *flags, "--strategy", "chunked"])
    assert "give word_timestamps True as well" in str(done.exception)
    asked = ("--strategy", "chunked", "--word_timestamps", "True")
    done = CliRunner().invoke(transcribe, [str(CLIP), "--model", "demo", *flags[:3], *asked])
    assert isinstance(done.exception, OptionError)
    assert "leave word_timestamps out" in str(done.exception)
