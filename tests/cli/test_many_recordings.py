"""`literatim transcribe` over many recordings: killed and run again, skipped, stopped, logged, summed up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner

from audio_builders import wav
from literatim.cli.transcribe import transcribe
from literatim.errors import LiteratimError
from whisper_builders import random_whisper_folder

DONE, FAILED, COULD_NOT_RUN = 0, 1, 2
FORMATS = ("txt", "vtt", "srt", "tsv", "json")
COUNT = 6


def recording(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    loudness = np.repeat(random.uniform(0.05, 0.5, 20), 2000)
    return wav((32767 * loudness * random.uniform(-1, 1, len(loudness))).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("model") / "model", 3)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings in folders, two of one name, one that is none, and files that are not recordings."""
    root = tmp_path_factory.mktemp("many")
    for folder in ("in/a", "in/b", "in/.hidden"):
        (root / folder).mkdir(parents=True)
    for index in range(COUNT - 2):
        (root / "in" / "a" / f"{index}.wav").write_bytes(recording(index))
    (root / "in" / "b" / "0.wav").write_bytes(recording(7))
    (root / "in" / "b" / "0.WAV").write_bytes(recording(8))
    (root / "in" / "b" / "notes.txt").write_text("not sound")
    (root / "in" / ".hidden" / "x.wav").write_bytes(b"")
    return root


def command(place: Path, model: Path, *arguments: str) -> tuple[list[str], dict[str, object]]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-W", "error", "-m", "literatim.cli.main", "transcribe", "--model", str(model)]
    program += ["--device", "cpu", "--language", "en", "--no_speech_threshold", "1"]
    program += ["--strategy", "sequential", "--temperature_increment_on_fallback", "None", *arguments]
    return program, {"cwd": place, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stderr: str


def literatim(place: Path, model: Path, *arguments: str) -> Done:
    """In this process, which has imported all it needs."""
    given = ("--model", str(model), "--device", "cpu", "--language", "en", "--no_speech_threshold", "1")
    given += ("--strategy", "sequential", "--temperature_increment_on_fallback", "None", *arguments)
    before = Path.cwd()
    os.chdir(place)
    try:
        done = CliRunner().invoke(transcribe, given)
    finally:
        os.chdir(before)
    if isinstance(done.exception, LiteratimError):  # as `main` has it
        return Done(COULD_NOT_RUN, str(done.exception))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(done.exit_code, done.stderr)


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def events(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def whole(place: Path, model: Path) -> Done:
    """The folder in one go."""
    return literatim(place, model, "in", "-o", "whole", "--log_file", "logs/whole.jsonl")


def test_a_folder_is_mirrored(whole: Done, place: Path) -> None:
    assert whole.returncode == DONE
    names = [*(f"a/{index}" for index in range(COUNT - 2)), "b/0.wav", "b/0.WAV"]
    assert set(written(place / "whole")) == {f"{name}.{format}" for name in names for format in FORMATS}


def test_the_summary_says_what_became_of_each(whole: Done) -> None:
    lines = whole.stderr.splitlines()
    assert f"{COUNT} recordings: {COUNT} done, 0 failed" in lines
    assert sum(line.startswith("in/") and line.endswith("done") for line in lines) == COUNT
    assert "\x1b" not in whole.stderr  # the line of the progress is for terminals


def test_the_log_has_a_line_for_each(whole: Done, place: Path) -> None:
    begin, *each, end = events(place / "logs" / "whole.jsonl")
    assert (begin["event"], begin["recordings"], begin["skipped"]) == ("begin", COUNT, 0)
    assert {item["event"] for item in each} == {"done"}
    for item in each:
        stem = Path(str(item["wrote"][0])).with_suffix("")  # type: ignore[index]
        content = json.loads((place / f"{stem}.json").read_text("utf-8"))
        assert item["duration"] == content["duration"]
        assert item["segments"] == len(content["segments"])
        assert item["characters"] == len(content["text"])
    assert (end["event"], end["done"], end["failed"], end["left"], end["stopped_by"]) == ("end", COUNT, 0, 0, "")


def test_killed_and_run_again_it_goes_on(whole: Done, place: Path, model: Path) -> None:
    """Killed as soon as the first file is there: what is there then is whole, and the second run does only the rest."""
    given = ("in", "-o", "killed", "--batch_size", "1", "--log_file", "killed.jsonl", "--skip_existing")
    program, how = command(place, model, *given)
    with subprocess.Popen(program, **how) as process:  # type: ignore[call-overload]
        while process.poll() is None and not list((place / "killed").rglob("*.json")):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    before, expected = written(place / "killed"), written(place / "whole")
    visible = {name: content for name, content in before.items() if not Path(name).name.startswith(".")}
    assert len(visible) < len(expected)
    assert visible.items() <= expected.items()
    (place / "killed" / "a" / f".literatim-elsewhere-1-{'0' * 32}.tmp").touch()  # another machine's, perhaps at work
    with (place / "killed.jsonl").open("a") as log:
        log.write('{"event": "do')  # a line that the kill cut off
    again = literatim(place, model, *given)
    assert again.returncode == DONE
    after = written(place / "killed")
    assert after.pop(f"a/.literatim-elsewhere-1-{'0' * 32}.tmp") == b""
    assert after == expected
    finished = {name.rpartition(".")[0] for name in visible}
    finished = {name for name in finished if all(f"{name}.{format}" in visible for format in FORMATS)}
    assert f"{len(finished)} of {COUNT} recordings are written already" in again.stderr
    second = (place / "killed.jsonl").read_text("utf-8").splitlines()
    lines = [json.loads(line) for line in second[second.index('{"event": "do') + 1 :]]
    assert [line["event"] for line in lines] == ["begin", *["done"] * (COUNT - len(finished)), "end"]


def test_nothing_left_to_do_loads_no_model(whole: Done, place: Path, model: Path) -> None:
    done = literatim(place, model, "in", "-o", "whole", "--skip_existing", "--model", "no/such/model")
    assert done.returncode == DONE
    assert done.stderr.strip() == f"{COUNT} of {COUNT} recordings are written already"


def test_one_bad_recording_stops_nothing_or_all(place: Path, model: Path) -> None:
    (place / "bad.wav").write_bytes(b"RIFF and no more")
    given = ("in/a/0.wav", "bad.wav", "in/a/1.wav", "in/a/2.wav", "-f", "txt", "--batch_size", "1")
    on = literatim(place, model, *given, "-o", "on", "--log_file", "on.jsonl")
    assert on.returncode == FAILED
    assert set(written(place / "on")) == {"0.txt", "1.txt", "2.txt"}
    assert "4 recordings: 3 done, 1 failed" in on.stderr
    assert [item["event"] for item in events(place / "on.jsonl")].count("failed") == 1
    stopped = literatim(place, model, *given, "-o", "stopped", "--continue_on_error", "False")
    assert stopped.returncode == FAILED
    assert set(written(place / "stopped")) <= {"0.txt"}
    assert " not done" in stopped.stderr
    assert "--skip_existing goes on from here" in stopped.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("in", "--skip_existing"), "give --output_dir or --output_format"),
        (("in/empty",), "no recording in this folder"),
        (("in", "--log_file", "in"), "cannot write the log in"),
        (("in", "-o", "in/b/notes.txt/out"), "choose another output_dir"),
    ],
)
def test_what_is_refused_before_a_model_is_loaded(
    arguments: tuple[str, ...], named: str, place: Path, model: Path
) -> None:
    (place / "in" / "empty").mkdir(exist_ok=True)
    done = literatim(place, model, *arguments, "--model", "no/such/model")
    assert done.returncode == COULD_NOT_RUN
    assert named in done.stderr
