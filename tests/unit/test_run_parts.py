"""The parts of a run over many recordings: which there are, how far it is, its log, its table, its files."""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from literatim.cli.inputs import find
from literatim.cli.progress import Progress, clock_time
from literatim.cli.run_log import RunLog
from literatim.cli.summary import Ended, Summary
from literatim.errors import AudioNotFound
from literatim.text import atomic


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a/x.wav", "a/x.flac", "a/y.mp3", "b/x.wav", "b/deep/z.m4a", "b/.x.wav", "b/list.csv", "odd[1].wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "link.wav").symlink_to("a/x.wav")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("a/y.mp3",), {"a/y.mp3": "y"}),
        (("a",), {"a/x.flac": "x.flac", "a/x.wav": "x.wav", "a/y.mp3": "y"}),
        (("b",), {"b/deep/z.m4a": "deep/z", "b/x.wav": "x"}),
        (("b/",), {"b/deep/z.m4a": "deep/z", "b/x.wav": "x"}),
        (("*/x.wav",), {"a/x.wav": "a/x.wav", "b/x.wav": "b/x.wav"}),
        (("**/*.m4a", "-"), {"b/deep/z.m4a": "z", "-": "stdin"}),
        (("odd[1].wav",), {"odd[1].wav": "odd[1]"}),
        (("a/x.wav", "link.wav", "./a/x.wav"), {"a/x.wav": "x"}),
        (("absent.wav", "no*.wav"), {"absent.wav": "absent", "no*.wav": "no*"}),
        (("a/y.mp3", "b/list.csv"), {"a/y.mp3": "y", "b/list.csv": "list"}),
        (("",), {"": "unnamed"}),
    ],
)
def test_recordings_that_are_found(asked: tuple[str, ...], expected: dict[str, str], here: Path) -> None:
    assert {item.path: item.place.as_posix() for item in find(asked)} == expected


def test_sizes(here: Path) -> None:
    assert [item.bytes for item in find(("a/x.wav", "absent.wav", "-"))] == [5, None, None]


def test_a_folder_without_recordings(here: Path) -> None:
    (here / "c").mkdir()
    with pytest.raises(AudioNotFound, match=r"no recording in this folder; they end in \.3gp \.aac"):
        find(("c",))


NAMES = ["a/x.wav", "a/x.flac", "b/x.wav", "x", "a/x.wav.wav", "b/a/x.wav"]


@given(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_no_two_recordings_are_written_to_one_file(asked: list[str]) -> None:
    places = [item.place for item in find(tuple(asked))]
    assert len(set(places)) == len(asked)


class Terminal(io.StringIO):
    """A stream that is a terminal, of some encoding."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_share_follows_the_sizes_of_files() -> None:
    clock = Clock()
    progress = Progress([600, None, 200], Terminal(), clock)  # the unknown one counts as 400
    progress.begun(0)
    clock.now = 10.0
    progress.update(0.5)
    assert progress.share == 0.25
    assert progress.left == 30.0
    progress.begun(1)
    progress.ended(0)
    assert progress.share == 0.5
    progress.update(1.5)
    assert progress.share == pytest.approx(800 / 1200)
    progress.ended(1)
    progress.begun(2)
    progress.update(2)
    progress.ended(2)
    assert (progress.share, progress.left) == (1.0, 0.0)


def test_nothing_is_known_before_the_first_window() -> None:
    progress = Progress([1, 2], Terminal(), Clock())
    assert progress.left is None
    assert "left" not in progress.line(80)


def test_two_under_way_share_what_is_done() -> None:
    """Which of them it is of is not told: each counts by its size."""
    progress = Progress([100, 300, 400], Terminal(), Clock())
    progress.begun(0)
    progress.begun(1)
    progress.update(1.0)
    assert progress.share == 0.25
    progress.ended(0)  # it was the small one: the line stands still, but does not go back
    assert progress.share == 0.25


@pytest.mark.parametrize("columns", [80, 79, 40, 20, 10, 1])
def test_the_line_fits(columns: int) -> None:
    clock = Clock()
    progress = Progress([1] * 12345, Terminal(), clock)
    progress.begun(0)
    clock.now = 5000.0
    progress.update(0.5)
    line = progress.line(columns)
    assert len(line) <= columns
    if columns >= 79:
        assert line.startswith("─")
        assert "0 of 12345 recordings  1:23:20 gone, " in line


def test_a_terminal_without_unicode_gets_another_bar() -> None:
    stream = Terminal()
    stream.encoding = "ascii"  # type: ignore[misc]
    progress = Progress([1, 1], stream, Clock())
    progress.begun(0)
    progress.ended(0)
    assert progress.line(80).startswith("############------------   50%  1 of 2 recordings")
    assert progress.line(80).isascii()


def test_what_is_printed_does_not_run_into_the_line() -> None:
    stream = Terminal()
    progress = Progress([1], stream, Clock())
    progress.begun(0)
    progress.update(0.5)
    with progress.hidden():
        assert stream.getvalue().endswith("\r\x1b[K")
    assert stream.getvalue().endswith("50%  0:00 gone, 0:00 left")
    progress.erase()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_no_terminal_no_line() -> None:
    stream = io.StringIO()
    progress = Progress([1], stream, Clock())
    progress.begun(0)
    progress.update(0.5)
    with progress.hidden():
        pass
    progress.erase()
    assert stream.getvalue() == ""
    assert progress.share == 0.5


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (36_061, "10:01:01")])
def test_times_of_a_clock(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


def test_the_log_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.jsonl"
    for number in range(2):
        log = RunLog(str(path))
        log.write("begin", number=number, name="caf\udce9 日本")  # a file name that is no UTF-8
        log.close()
        with path.open("a") as file:
            file.write('{"half')
    whole = path.read_bytes().decode("utf-8").split("\n")
    assert [line[:8] for line in whole] == ['{"event"', '{"half', '{"event"', '{"half']


def test_no_log_is_asked_for() -> None:
    log = RunLog(None)
    log.write("begin", number=1)
    log.close()


def test_a_long_run_names_only_what_failed() -> None:
    good = [Ended(f"{index}.wav", 60.0, "en") for index in range(30)]
    bad = Ended("some/folder/x.wav", error="x.wav: the file is empty (a file object is read from where it stands)")
    lines = list(Summary(40, 5, (*good, bad), 120.0).lines(72))
    assert max(map(len, lines)) <= 72
    assert lines[0].split() == ["recording", "length", "language", "result"]
    assert lines[1].split() == ["some/folder/x.wav", "failed"]
    assert " ".join(line.strip() for line in lines[2:-3]) == bad.reason
    assert bad.reason == "the file is empty (a file object is read from where it stands)"
    assert lines[-3:] == [
        "and 30 that are done",
        "40 recordings: 30 done, 1 failed, 5 skipped, written before, 4 not done",
        "30:00 of sound in 2:00: 15.0 times real time",
    ]


def test_the_end_of_a_long_path_is_kept() -> None:
    name = "/data/" + "long/" * 30 + "interview.wav"
    head, row, *_ = Summary(2, 0, (Ended(name, 3600.0, "nl"),), 10.0).lines(80)
    assert row.startswith("…")
    assert "/interview.wav" in row
    assert len(row) <= 80
    assert row.endswith("1:00:00  nl        done")
    assert next(iter(Summary(2, 0, (), 0.0).lines(80))) == "2 recordings: 0 done, 0 failed, 2 not done"
    assert head.split() == ["recording", "length", "language", "result"]
    _, row, *_ = Summary(2, 0, (Ended(name, 3600.0, "nl"),), 10.0).lines(None)
    assert row.startswith(name)


def _left_by(folder: Path, host: str, process: int) -> Path:
    path = folder / f".literatim-{host}-{process}-{'a' * 32}.tmp"
    path.write_text("half")
    return path


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"before")
    with pytest.raises(UnicodeEncodeError):
        atomic.replace(path, ["half", "\ud800"])
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_private_file_is_its_owners_alone_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("before")
    path.chmod(0o644)
    atomic.replace(path, ["é\n", "after"], private=True)
    assert path.read_bytes() == "é\nafter".encode()
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_killed_process_left_is_taken_away(tmp_path: Path) -> None:
    """And nothing else: not another machine's, not a living process's, not another's file."""
    atomic.replace(tmp_path / "x.txt", ["whole\n"])
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = "".join(letter if letter.isalnum() or letter in "_." else "_" for letter in platform.node())[:64]
    gone = [_left_by(tmp_path, host, dead.pid), _left_by(tmp_path, host, os.getpid())]
    kept = [_left_by(tmp_path, host, os.getppid()), _left_by(tmp_path, "another", dead.pid)]
    kept.append(tmp_path / ".literatim-notes.tmp")
    kept[-1].touch()
    atomic.tidy(tmp_path)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)
