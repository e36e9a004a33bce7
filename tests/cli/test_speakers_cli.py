"""`literatim speakers` as a user tries it: voices in, names out, and every kind of input that is no good."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from audio_builders import wav
from literatim.cli.speakers import speakers
from literatim.errors import LiteratimError
from speaker_builders import random_speaker_folder

RATE = 16000


def _voice(seed: int, take: int) -> bytes:
    """Two seconds of harmonics: a seed's own, a take's own noise."""
    own, noise = np.random.default_rng(seed), np.random.default_rng(100 * seed + take)
    time = np.arange(2 * RATE) / RATE
    pitch = own.uniform(90, 250)
    tones = [own.uniform(0.1, 1) * np.sin(2 * np.pi * pitch * at * time) for at in range(1, 12)]
    return wav((3000 * np.sum(tones, 0) / 4 + 20 * noise.standard_normal(len(time))).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, and two takes of each of three voices."""
    root = tmp_path_factory.mktemp("speakers")
    for seed, name in ((1, "model"), (2, "other")):
        random_speaker_folder(root / name, seed)
    for seed, name in enumerate(("anna", "bert", "carl")):
        for take in range(2):
            (root / f"{name}{take}.wav").write_bytes(_voice(seed, take))
    (root / "silent.wav").write_bytes(wav(bytes(4 * RATE)))
    (root / "short.wav").write_bytes(wav(bytes(200)))
    (root / "text.wav").write_text("no sound")
    return root


@pytest.fixture
def book(place: Path, tmp_path: Path) -> Path:
    path = tmp_path / "voices.db"
    for name in ("anna", "bert"):
        done = run(place, path, "enroll", name.title(), "--threshold", "-1", f"{name}0.wav")
        assert done.exit_code == 0, done.output
    return path


def run(place: Path, book: Path, command: str, *arguments: str, model: str = "model") -> Result:
    """The command in this process; recordings are named from `place`."""
    given = [str(place / item) if item.endswith(".wav") else item for item in arguments]
    needed = ["--model", str(place / model), "--device", "cpu"] if command in {"enroll", "identify"} else []
    return CliRunner().invoke(speakers, [command, *given, "--book", str(book), *needed])


def why(result: Result) -> str:
    """What the error says, which the command prints before it ends with 2."""
    assert isinstance(result.exception, LiteratimError), result.output
    return str(result.exception)


def test_who_is_enrolled_is_named(place: Path, book: Path) -> None:
    said = run(place, book, "identify", "anna1.wav", "bert1.wav", "--json")
    assert said.exit_code == 0, said.output
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert [line["name"] for line in lines] == ["Anna", "Bert"]
    assert all(line["score"] > line["second_score"] for line in lines)
    plain = run(place, book, "identify", "anna1.wav")
    assert f"anna1.wav: Anna ({lines[0]['score']:.2f}; next Bert {lines[0]['second_score']:.2f})" in plain.stdout


def test_who_is_not_is_nobody(place: Path, book: Path) -> None:
    said = run(place, book, "identify", "carl0.wav", "--threshold", "0.99999")
    assert said.exit_code == 0, said.output
    assert "carl0.wav: nobody who is known (nearest" in said.stdout


def test_all_that_is_kept_is_listed_and_exported_for_its_owner_alone(place: Path, book: Path, tmp_path: Path) -> None:
    assert run(place, book, "enroll", "Anna", "anna1.wav").stdout.startswith("Anna: 2 samples, 1 of them new")
    shown = run(place, book, "list", "--samples")
    assert [line.split()[-1] for line in shown.stdout.splitlines() if line.startswith("  ")] == [
        "anna0.wav",
        "anna1.wav",
        "bert0.wav",
    ]
    listed = json.loads(run(place, book, "list", "--json").stdout)
    assert [(item["name"], len(item["samples"])) for item in listed] == [("Anna", 2), ("Bert", 1)]
    out = tmp_path / "export.json"
    out.write_text("readable by all")
    assert run(place, book, "export", "Anna", "--out", str(out)).exit_code == 0
    assert [item["name"] for item in json.loads(out.read_text())["voices"]] == ["Anna"]
    if os.name == "posix":
        assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE(book.stat().st_mode) == 0o600
    before = book.read_bytes()
    assert "is the book itself" in why(run(place, book, "export", "--out", str(book)))
    assert "cannot be written" in why(run(place, book, "export", "--out", str(tmp_path / "none" / "export.json")))
    assert book.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.json", "voices.db"]
    printed = json.loads(run(place, book, "export").stdout)
    assert len(printed["voices"][1]["samples"][0]["vector"]) == printed["model"]["dimension"]


def test_removed_for_good(place: Path, book: Path) -> None:
    run(place, book, "enroll", "Anna", "anna1.wav")
    numbers = [item["id"] for item in json.loads(run(place, book, "list", "--json").stdout)[0]["samples"]]
    assert "1 sample left" in run(place, book, "remove", "Anna", "--sample", str(numbers[0])).stdout
    done = run(place, book, "remove", "Nobody", "Anna")
    assert done.exit_code == 1
    assert "no voice is called 'Nobody'" in done.stderr
    assert done.stdout == "removed Anna, 1 sample\n"
    assert b"Anna" not in book.read_bytes()
    assert "give one NAME" in why(run(place, book, "remove", "a", "b", "--sample", "1"))


def test_what_cannot_be_heard_is_left_out(place: Path, book: Path) -> None:
    bad = ("silent.wav", "short.wav", "text.wav", "none.wav")
    done = run(place, book, "enroll", "Carl", "carl0.wav", *bad)
    assert done.exit_code == 1
    assert done.stdout.startswith("Carl: 1 sample, 1 of them new")
    for name in bad:
        assert f"{name}: " in done.stderr
    nothing = run(place, book, "enroll", "Dora", *bad)
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    nobody = run(place, book, "identify", *bad)
    assert (nobody.exit_code, nobody.stdout) == (1, "")
    assert [item["name"] for item in json.loads(run(place, book, "list", "--json").stdout)] == ["Anna", "Bert", "Carl"]


def test_doubts_are_said_and_decide_nothing(place: Path, book: Path) -> None:
    strict = ("--threshold", "0.9999")
    mixed = run(place, book, "enroll", "Carl", "carl0.wav", "bert1.wav", *strict)
    assert mixed.exit_code == 0
    assert "unlike the other recordings given" in mixed.stderr
    assert mixed.stdout.startswith("Carl: 2 samples")
    assert "sounds like" in run(place, book, "enroll", "Emma", "bert0.wav", *strict).stderr
    assert "unlike the Anna that the book has" in run(place, book, "enroll", "Anna", "carl0.wav", *strict).stderr


def test_refused_before_anything_is_heard(place: Path, book: Path, tmp_path: Path) -> None:
    """The recording is not there either."""
    for command in (("identify",), ("enroll", "Anna")):
        assert "holds voices of the model" in why(run(place, book, *command, "none.wav", model="other"))
        corrupt = tmp_path / "corrupt.db"
        corrupt.write_bytes(book.read_bytes()[:9000])
        assert "damaged" in why(run(place, corrupt, *command, "none.wav"))
        assert "no folder" in why(run(place, book, *command, "none.wav", model="nothing/here"))
    assert "no book of voices here" in why(run(place, tmp_path / "none.db", "identify", "none.wav"))
    assert "no book of voices here" in why(run(place, tmp_path / "none.db", "list"))
    assert "no book of voices here" in why(run(place, tmp_path / "none.db", "remove", "Anna"))
    assert "choose another name" in why(run(place, book, "enroll", "SPEAKER_00", "none.wav"))


def test_the_book_that_is_meant_when_none_is_named(
    place: Path, book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("LITERATIM_SPEAKER_BOOK", raising=False)
    model = ["--model", str(place / "model"), "--device", "cpu"]
    assert CliRunner().invoke(speakers, ["enroll", "Anna", str(place / "anna0.wav"), *model]).exit_code == 0
    assert (tmp_path / "data" / "literatim" / "speakers.db").is_file()
    monkeypatch.setenv("LITERATIM_SPEAKER_BOOK", str(book))
    assert json.loads(CliRunner().invoke(speakers, ["list", "--json"]).stdout)[1]["name"] == "Bert"
