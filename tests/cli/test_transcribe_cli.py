"""`literatim transcribe` as a user runs it: what is written where, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audio_builders import wav
from whisper_builders import random_whisper_folder

DONE, FAILED, COULD_NOT_RUN = 0, 1, 2
FORMATS = ("txt", "vtt", "srt", "tsv", "json")
KEYS = {"id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio"}
EVERY_WINDOW = ("--no_speech_threshold", "1", "--strategy", "sequential", "--temperature_increment_on_fallback", "None")


def recording(seed: int, seconds: float = 2.5) -> bytes:
    random = np.random.default_rng(seed)
    loudness = np.repeat(random.uniform(0.05, 0.5, 40), 4000)[: round(16_000 * seconds)]
    return wav((32767 * loudness * random.uniform(-1, 1, len(loudness))).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, two recordings and a file that is none."""
    root = tmp_path_factory.mktemp("cli")
    random_whisper_folder(root / "model", 3)
    (root / "one.wav").write_bytes(recording(1))
    (root / "two words.wav").write_bytes(recording(2, 1.0))
    (root / "broken.wav").write_bytes(b"RIFF, and then nothing of the kind")
    return root


def literatim(place: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {
        **os.environ,
        "PYTHONIOENCODING": "utf-8",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "literatim.cli.main", *arguments],
        cwd=place,
        env=environment,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def transcribe(place: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return literatim(place, "transcribe", *arguments, "--model", "model", "--device", "cpu", *EVERY_WINDOW, stdin=stdin)


@pytest.fixture(scope="module")
def several(place: Path) -> subprocess.CompletedProcess[bytes]:
    """Three files, of which the second is broken, in every format."""
    return transcribe(
        place, "one.wav", "broken.wav", "two words.wav", "--language", "en", "-f", "all", "--output_dir", "out"
    )


@pytest.fixture(scope="module")
def lines(place: Path) -> list[dict[str, object]]:
    """The same recordings as lines of JSON, with dashes in the names of the flags."""
    flags = ("--language", "English", "--batch-size", "1", "--precision", "highest")
    done = transcribe(place, "--json", "one.wav", "two words.wav", *flags)
    assert done.returncode == DONE
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def test_a_broken_file_among_others(several: subprocess.CompletedProcess[bytes], place: Path) -> None:
    assert several.returncode == FAILED
    message = several.stderr.decode()
    assert message.count("Skipping broken.wav: ") == 1
    assert "one.wav: " not in message
    written = {path.name for path in (place / "out").iterdir()}
    assert written == {f"{stem}.{kind}" for stem in ("one", "two words") for kind in FORMATS}


def test_standard_output_is_text_alone(several: subprocess.CompletedProcess[bytes]) -> None:
    shown = several.stdout.decode().splitlines()
    titles = [line for line in shown if line.startswith("== ")]
    assert sorted(titles) == ["== one.wav", "== two words.wav"]
    assert len(shown) > len(titles)
    text = several.stdout.decode()
    assert "wrote" not in text
    assert "Skipping" not in text


def test_the_written_json_is_openai_whispers(several: subprocess.CompletedProcess[bytes], place: Path) -> None:
    content = json.loads((place / "out" / "one.json").read_text(encoding="utf-8"))
    assert {"text", "segments", "language"} <= set(content)
    assert content["language"] == "en"
    assert content["segments"]
    assert set(content["segments"][0]) >= KEYS
    assert content["text"] == "".join(segment["text"] for segment in content["segments"])


def test_every_format_has_every_segment(several: subprocess.CompletedProcess[bytes], place: Path) -> None:
    out = place / "out"
    count = len(json.loads((out / "one.json").read_text(encoding="utf-8"))["segments"])
    assert (out / "one.srt").read_text(encoding="utf-8").count(" --> ") == count
    vtt = (out / "one.vtt").read_text(encoding="utf-8")
    assert vtt.startswith("WEBVTT")
    assert vtt.count(" --> ") == count
    assert (out / "one.tsv").read_text(encoding="utf-8").startswith("start\tend\ttext")
    assert (out / "one.txt").read_text(encoding="utf-8").strip()


def test_lines_of_json_are_what_the_files_hold(
    several: subprocess.CompletedProcess[bytes], lines: list[dict[str, object]], place: Path
) -> None:
    assert [line["file"] for line in lines] == ["one.wav", "two words.wav"]
    for line, stem in zip(lines, ("one", "two words"), strict=True):
        content = json.loads((place / "out" / f"{stem}.json").read_text(encoding="utf-8"))
        assert line["text"] == content["text"]
        found, written = line["segments"], content["segments"]
        assert isinstance(found, list)
        assert [segment["tokens"] for segment in found] == [segment["tokens"] for segment in written]


def test_standard_input_and_the_text_alone(lines: list[dict[str, object]], place: Path) -> None:
    done = transcribe(place, "-", "--language", "en", "--verbose", "False", stdin=(place / "one.wav").read_bytes())
    assert done.returncode == DONE
    assert done.stdout.decode() == str(lines[0]["text"]).strip() + "\n"
    assert done.stderr == b""


def test_one_file_is_printed_with_its_times(lines: list[dict[str, object]], place: Path) -> None:
    done = transcribe(place, "one.wav", "--language", "en")
    assert done.returncode == DONE
    segments = lines[0]["segments"]
    assert isinstance(segments, list)
    assert done.stdout.count(b" --> ") == len(segments)
    assert done.stdout.startswith(b"[00:")
    assert not (place / "one.txt").exists()  # no file is written unasked


def test_one_broken_file(place: Path) -> None:
    done = transcribe(place, "broken.wav")
    assert done.returncode == FAILED
    assert done.stdout == b""
    assert done.stderr.decode().startswith("Skipping broken.wav: ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--model", "absent/folder", "one.wav"), "absent/folder"),
        (("--model", "model", "--device", "cuda", "one.wav"), "no cuda device found"),
        (("--model", "model", "--device", "npu", "one.wav"), "no npu device found: torch_npu is not installed"),
        (("--model", "model", "--device", "cpu", "--device_index", "0,1", "one.wav"), "the CPU is one device"),
        (("--model", "model", "--language", "klingon", "one.wav"), "klingon"),
    ],
)
def test_what_cannot_run(arguments: tuple[str, ...], named: str, place: Path) -> None:
    done = literatim(place, "transcribe", *arguments)
    assert done.returncode == COULD_NOT_RUN
    assert done.stdout == b""
    assert named in done.stderr.decode()
    assert done.stderr.decode().startswith("literatim: ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--task", "sing", "one.wav"), "sing"),
        (("--output_format", "docx", "one.wav"), "docx"),
        (("--max_new_tokens", "many", "one.wav"), "many"),
        (("--precision", "exact", "one.wav"), "exact"),
        (("--loudness", "11", "one.wav"), "loudness"),
        ((), "AUDIO"),
    ],
)
def test_arguments_that_make_no_sense(arguments: tuple[str, ...], named: str, place: Path) -> None:
    done = literatim(place, "transcribe", *arguments)
    assert done.returncode == COULD_NOT_RUN
    assert done.stdout == b""
    assert named in done.stderr.decode()


def test_help_names_every_option_in_both_spellings(place: Path) -> None:
    done = literatim(place, "transcribe", "-h")
    assert done.returncode == DONE
    shown = done.stdout.decode()
    for flag in ("--max_new_tokens", "--max-new-tokens", "--output_dir", "--output-dir", "--language", "--device"):
        assert flag in shown
    assert done.stderr == b""


def test_an_assistant_changes_no_letter_and_says_what_it_did(place: Path) -> None:
    """Its own weights: every proposal is right until the last of a window, which may stand behind the end."""
    given = ("transcribe", "one.wav", "two words.wav", "--model", "model", "--language", "en", *EVERY_WINDOW)
    plain, drafted, sampled, sampled_drafted = (
        literatim(place, *given, *more)
        for more in (
            ("--assistant", "none"),
            ("--assistant", "model", "--num_assistant_tokens", "3"),
            ("--assistant", "none", "--temperature", "0.7", "--seed", "5", "--batch_size", "1"),
            ("--assistant", "model", "--temperature", "0.7", "--seed", "5", "--num-assistant-tokens", "2"),
        )
    )
    assert [done.returncode for done in (plain, drafted, sampled, sampled_drafted)] == [DONE] * 4
    told = [sorted(done.stdout.split(b"== ")) for done in (plain, drafted, sampled, sampled_drafted)]  # as they end
    assert told[0] == told[1] != told[2] == told[3]
    assert b"proposed" not in plain.stderr
    assert drafted.stderr.count(b"proposed tokens taken") == 2
    assert b"assistant: model (its encoder has the weights of the main model's)" in drafted.stderr


def test_an_assistant_that_is_not_there(place: Path) -> None:
    done = literatim(place, "transcribe", "one.wav", "--model", "model", "--assistant", "./nowhere")
    assert done.returncode == COULD_NOT_RUN
    assert b"there is no folder './nowhere'" in done.stderr
