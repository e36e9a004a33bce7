"""`literatim transcribe --live -`: a pipe as it plays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from audio_builders import wav
from literatim import demo, load
from literatim.audio.decode import decode
from literatim.cli.live import changing_line
from literatim.cli.transcribe import transcribe
from literatim.errors import LiteratimError
from literatim.types import LiveUpdate

RATE = 16_000
GIVEN = ("--live", "-", "--model", "demo", "--device", "cpu", "--language", "en")


def speech(seconds: float) -> bytes:
    samples = decode(demo.recording_path("meeting")).samples[0][: round(seconds * RATE)]
    return (samples * 32767).astype("<i2").tobytes()


def test_segments_are_printed_while_the_pipe_is_open() -> None:
    """The first one is there before the last sound has been sent."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    program = [sys.executable, "-W", "error", "-m", "literatim.cli.main", "transcribe", *GIVEN]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        sound, sent, first = speech(6.0), threading.Event(), []
        stop = 5 * 2 * RATE

        def send() -> None:
            for at in range(0, stop, RATE):
                process.stdin.write(sound[at : at + RATE])  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
            for _ in range(40):  # silence until the first segment has been read, however slow the machine is
                if sent.wait(3.0):
                    break
                process.stdin.write(bytes(2 * RATE))  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]

        sender = threading.Thread(target=send)
        sender.start()
        first.append(process.stdout.readline())
        sent.set()
        sender.join()
        process.stdin.close()
        process.stdout.read()
        assert process.stderr.read().count(b"Traceback") == 0
    assert process.returncode == 0
    assert b"-->" in first[0]
    assert b"meeting" in first[0]


def test_files_and_lines_of_json(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        transcribe, [*GIVEN, "--json", "-f", "srt,json", "-o", str(tmp_path)], input=wav(speech(4.2))
    )
    assert done.exit_code == 0, done.output
    updates = [json.loads(line) for line in done.stdout.splitlines()]
    assert set(updates[0]) == {"seconds", "segments", "agreed", "partial"}
    assert updates[-1]["seconds"] == pytest.approx(4.2)
    told = "".join(segment["text"] for update in updates for segment in update["segments"])
    written = json.loads((tmp_path / "stdin.json").read_text("utf-8"))
    assert written["text"] == told
    samples = np.frombuffer(speech(4.2), "<i2")
    assert told.startswith(" Good morning")
    offline = load("demo", device="cpu").transcribe(samples, language="en").text
    assert told.split()[:3] == offline.split()[:3]
    assert (tmp_path / "stdin.srt").read_text("utf-8").startswith("1\n00:00:00,")


@pytest.mark.parametrize(
    ("arguments", "sound", "code", "named"),
    [
        (("--live", "a.wav"), b"", 2, "give - alone"),
        (("--live", "-", "a.wav"), b"", 2, "give - alone"),
        (("--live", "-", "--skip_existing", "-o", "x"), b"", 2, "exclude each other"),
        (("--live", "-", "--log_file", "x"), b"", 2, "keeps no log"),
        ((*GIVEN,), b"OggS" + bytes(100), 1, "ffmpeg -i"),
        ((*GIVEN,), b"", 1, "nothing came through the pipe"),
        ((*GIVEN, "--live_step", "0"), b"", 2, "live_step"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], sound: bytes, code: int, named: str) -> None:
    done = CliRunner().invoke(transcribe, arguments, input=sound)
    if isinstance(done.exception, LiteratimError):  # as `main` has it
        assert code == 2
        assert named in str(done.exception)
        return
    assert done.exit_code == code
    assert named in done.stderr


def test_the_line_that_changes_keeps_its_end() -> None:
    update = LiveUpdate(1.0, (), "words that were agreed on", "and that were not")
    assert changing_line(update, 80) == "words that were agreed on \x1b[2mand that were not\x1b[0m"
    assert changing_line(update, 20) == "on \x1b[2mand that were not\x1b[0m"
    assert changing_line(update, 8) == "\x1b[2mwere not\x1b[0m"
    assert changing_line(LiveUpdate(1.0, (), "agreed", ""), 80) == "agreed"
    assert changing_line(LiveUpdate(1.0, (), "", ""), 80) == ""
