"""A book of voices: who is found, who is nobody, what is refused, and what is left of who was removed."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from scipy.spatial.distance import cdist

import literatim
from literatim.errors import OptionError, SpeakerBookError
from literatim.pipeline.speaker_book import agreement
from literatim.pipeline.speaker_identity import ModelIdentity, identity_of
from literatim.pipeline.speaker_store import SpeakerStore

E = 16
MODEL = ModelIdentity("a model", "a" * 64, E)


def voice(seed: int, spread: float = 0.0, count: int = 1) -> np.ndarray:
    """Vectors (count, E) around one direction, of different lengths."""
    random = np.random.default_rng(seed)
    centre = random.standard_normal(E)
    around = centre + spread * random.standard_normal((count, E))
    return (around * random.uniform(1, 9, (count, 1))).astype(np.float32)


@pytest.fixture
def book(tmp_path: Path) -> literatim.SpeakerBook:
    found = literatim.SpeakerBook(tmp_path / "voices.db", MODEL)
    for seed, name in enumerate(("Anna", "Bert", "Zoë")):
        found.enroll(name, voice(seed, 0.3, 3), [f"{name}{at}.wav" for at in range(3)])
    return found


def test_known_voices_are_found_and_others_are_nobody(book: literatim.SpeakerBook) -> None:
    for seed, name in enumerate(("Anna", "Bert", "Zoë")):
        match = book.identify(voice(seed)[0], 0.7)
        assert (match.name, match.nearest) == (name, name)
        assert match.second_score is not None
        assert match.second_score < match.score <= 1
    stranger = book.identify(voice(99)[0], 0.7)
    assert stranger.name is None
    assert stranger.score < 0.7
    assert book.names({"SPEAKER_00": voice(2)[0], "SPEAKER_01": voice(99)[0]}, 0.7) == {"SPEAKER_00": "Zoë"}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 4), st.floats(-1, 1))
def test_the_score_is_the_cosine_with_the_mean_of_unit_samples(
    tmp_path_factory: pytest.TempPathFactory, seed: int, voices: int, samples: int, threshold: float
) -> None:
    random = np.random.default_rng(seed)
    kept = random.standard_normal((voices, samples, E)).astype(np.float32)
    book = literatim.SpeakerBook(tmp_path_factory.mktemp("book") / "b.db", MODEL)
    for at in random.permutation(voices):
        book.enroll(f"voice {at}", kept[at])
    asked = random.standard_normal(E).astype(np.float32)
    units = kept / np.linalg.norm(kept, axis=-1, keepdims=True)
    scores = 1 - cdist(units.mean(1), asked[None], "cosine")[:, 0]
    match = book.identify(asked, threshold)
    assert match.nearest == f"voice {scores.argmax()}"
    assert match.score == pytest.approx(scores.max(), abs=1e-6)
    assert match.name == (match.nearest if match.score >= threshold else None)
    if voices > 1:
        assert match.second_score == pytest.approx(np.sort(scores)[-2], abs=1e-6)


def test_all_is_kept_and_exported(book: literatim.SpeakerBook) -> None:
    book.enroll("Anna", voice(0), ["more.wav"])
    again = literatim.SpeakerBook(book.path)
    assert [(item.name, len(item.samples)) for item in again.voices()] == [("Anna", 4), ("Bert", 3), ("Zoë", 3)]
    assert again.voices()[0].samples[-1].source == "more.wav"
    whole = json.loads(json.dumps(again.export()))
    assert whole["model"] == {"name": "a model", "sha256": "a" * 64, "dimension": E}
    kept = np.array([sample["vector"] for sample in whole["voices"][1]["samples"]], np.float32)
    np.testing.assert_array_equal(kept, voice(1, 0.3, 3))
    assert [item["name"] for item in again.export(["Zoë"])["voices"]] == ["Zoë"]


def test_who_is_removed_is_in_no_byte_of_the_file(book: literatim.SpeakerBook) -> None:
    gone = [vector.tobytes() for vector in voice(1, 0.3, 3)]
    before = book.path.read_bytes()
    assert all(vector in before for vector in gone)
    assert book.remove("Bert").name == "Bert"
    after = book.path.read_bytes()
    assert not any(vector in after for vector in gone)
    assert b"Bert" not in after
    assert [path.name for path in book.path.parent.iterdir()] == ["voices.db"]
    assert [item.name for item in book.voices()] == ["Anna", "Zoë"]
    with pytest.raises(SpeakerBookError, match="no voice is called 'Bert'"):
        book.remove("Bert")


def test_one_sample_is_removed(book: literatim.SpeakerBook) -> None:
    first = book.voices()[0].samples[0].id
    left = book.remove_sample("Anna", first)
    assert [sample.source for sample in left.samples] == ["Anna1.wav", "Anna2.wav"]
    assert voice(0, 0.3, 3)[0].tobytes() not in book.path.read_bytes()
    with pytest.raises(SpeakerBookError, match="no sample"):
        book.remove_sample("Anna", first)
    book.remove_sample("Anna", left.samples[0].id)
    with pytest.raises(SpeakerBookError, match="remove the voice"):
        book.remove_sample("Anna", left.samples[1].id)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_the_file_is_its_owners_alone(book: literatim.SpeakerBook, tmp_path: Path) -> None:
    assert stat.S_IMODE(book.path.stat().st_mode) == 0o600
    with SpeakerStore(book.path).writing() as connection:
        connection.execute("DELETE FROM samples")
        journal = book.path.with_name("voices.db-journal")
        assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    assert book.warnings == ()
    book.path.chmod(0o644)
    assert book.voices() == []
    assert stat.S_IMODE(book.path.stat().st_mode) == 0o600
    assert "mode 0644" in book.warnings[0]


def test_another_model_is_refused(book: literatim.SpeakerBook) -> None:
    for other in (ModelIdentity("other", "b" * 64, E), ModelIdentity("wide", "a" * 64, 2 * E)):
        wrong = literatim.SpeakerBook(book.path, other)
        vector = np.ones(other.dimension, np.float32)
        for work in (
            lambda wrong=wrong, vector=vector: wrong.enroll("Carl", [vector]),
            lambda wrong=wrong, vector=vector: wrong.identify(vector, 0.5),
            lambda wrong=wrong: wrong.remove("Anna"),
            wrong.voices,
        ):
            with pytest.raises(SpeakerBookError, match="holds voices of the model a model"):
                work()
    renamed = literatim.SpeakerBook(book.path, ModelIdentity("same weights in another folder", "a" * 64, E))
    assert renamed.identify(voice(0)[0], 0.7).name == "Anna"
    assert len(book.voices()) == 3


def test_without_a_model_nothing_is_compared(book: literatim.SpeakerBook) -> None:
    bare = literatim.SpeakerBook(book.path)
    with pytest.raises(OptionError, match="give SpeakerBook the model"):
        bare.identify(voice(0)[0], 0.5)
    with pytest.raises(OptionError, match="give SpeakerBook the model"):
        bare.enroll("Carl", voice(0))


@pytest.mark.parametrize(
    "vector", [np.zeros(E), np.full(E, np.nan), np.full(E, np.inf), np.ones(E + 1), np.ones((1, E))]
)
def test_vectors_that_are_nobodys(book: literatim.SpeakerBook, vector: np.ndarray) -> None:
    before = book.path.read_bytes()
    with pytest.raises(OptionError):
        book.enroll("Carl", [voice(5)[0], vector])
    with pytest.raises(OptionError):
        book.identify(vector, 0.5)
    assert book.path.read_bytes() == before


@pytest.mark.parametrize("name", ["", "  ", "a\x00b", "x" * 201, "SPEAKER_03", "tab\x1b[2J"])
def test_what_is_no_name(book: literatim.SpeakerBook, name: str) -> None:
    with pytest.raises(OptionError):
        book.enroll(name, voice(5))


def test_one_name_however_it_is_typed(book: literatim.SpeakerBook) -> None:
    book.enroll("  Zoe\u0308 ", voice(2))
    assert len(book.voices()[2].samples) == 4


def _spoil(path: Path, how: str) -> None:
    whole = path.read_bytes()
    if how == "text":
        path.write_text("no database at all, but longer than a header of SQLite is, which has a hundred bytes" * 3)
    elif how == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "flipped":
        at = whole.index(voice(1, 0.3, 3)[1].tobytes())
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    elif how == "foreign":
        path.unlink()
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.close()
    elif how == "newer":
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 2")
        connection.close()
    elif how == "overwritten":
        path.write_bytes(whole[:4096] + os.urandom(4096) + whole[8192:])
    else:
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("text", "no book of voices, or damaged"),
        ("truncated", "damaged"),
        ("overwritten", "damaged"),
        ("flipped", "sample 5 of Bert is damaged; remove Bert"),
        ("foreign", "another program's database"),
        ("newer", "newer literatim"),
        ("empty", "no book of voices here"),
    ],
)
def test_spoilt_files_are_told_and_left_as_they_are(book: literatim.SpeakerBook, how: str, why: str) -> None:
    _spoil(book.path, how)
    spoilt = book.path.read_bytes()
    with pytest.raises(SpeakerBookError, match=why):
        book.identify(voice(0)[0], 0.5)
    if how not in {"flipped", "empty"}:
        with pytest.raises(SpeakerBookError):
            book.enroll("Carl", voice(5))
    assert book.path.read_bytes() == spoilt
    if how == "flipped":
        book.remove("Bert")
        assert book.identify(voice(0)[0], 0.5).name == "Anna"


def test_places_where_no_book_can_be(tmp_path: Path) -> None:
    nowhere = literatim.SpeakerBook(tmp_path / "none.db", MODEL)
    with pytest.raises(SpeakerBookError, match="no book of voices here"):
        nowhere.identify(voice(0)[0], 0.5)
    with pytest.raises(SpeakerBookError, match="no book of voices here"):
        nowhere.remove("Anna")
    assert not nowhere.path.exists()
    with pytest.raises(SpeakerBookError, match="cannot be written"):
        literatim.SpeakerBook(tmp_path, MODEL).enroll("Anna", voice(0))
    (tmp_path / "file").write_text("")
    with pytest.raises(SpeakerBookError, match="cannot be written"):
        literatim.SpeakerBook(tmp_path / "file" / "b.db", MODEL).enroll("Anna", voice(0))
    with pytest.raises(SpeakerBookError):
        literatim.SpeakerBook(tmp_path, MODEL).voices()


def test_a_busy_file_is_waited_for_and_then_told(book: literatim.SpeakerBook) -> None:
    store = SpeakerStore(book.path, wait=0.05)
    with (
        SpeakerStore(book.path).writing(),
        pytest.raises(SpeakerBookError, match="another process has been changing it"),
        store.writing(),
    ):
        pass


def _fails_after_deleting(store: SpeakerStore) -> None:
    with store.writing() as connection:
        connection.execute("DELETE FROM samples")
        raise KeyboardInterrupt


def test_a_change_that_fails_is_taken_back(book: literatim.SpeakerBook) -> None:
    before = book.export()
    with pytest.raises(KeyboardInterrupt):
        _fails_after_deleting(SpeakerStore(book.path))
    assert book.export() == before


WORK = """
import sys, numpy as np
from literatim.pipeline.speaker_book import SpeakerBook
from literatim.pipeline.speaker_identity import ModelIdentity
book = SpeakerBook(sys.argv[1], ModelIdentity("a model", "a" * 64, 16))
for at in range(10):
    vector = np.full(16, 1 + int(sys.argv[2]) * 100 + at, np.float32)
    book.enroll("shared", [vector])
    book.enroll(f"{sys.argv[2]} {at}", [vector])
    if at % 5 == 4:
        book.remove(f"{sys.argv[2]} {at - 1}")
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Four of them begin with no file at all; one more is killed in the midst of it."""
    path = tmp_path / "voices.db"
    children = [subprocess.Popen([sys.executable, "-c", WORK, str(path), str(one)]) for one in range(5)]
    try:
        children[4].wait(0.6)
    except subprocess.TimeoutExpired:
        children[4].kill()
    assert [child.wait() for child in children[:4]] == [0] * 4
    children[4].wait()
    book = literatim.SpeakerBook(path, MODEL)
    voices = {item["name"]: item["samples"] for item in book.export()["voices"]}
    kept = {sample["vector"][0] for sample in voices["shared"]}
    assert kept >= {1 + one * 100 + at for one in range(4) for at in range(10)}
    assert len(voices["shared"]) == len(kept)
    left = {f"{one} {at}" for one in range(4) for at in range(10) if at % 5 != 3}
    assert {name for name in voices if name[0] in "0123"} == left


def test_a_few_thousand_voices_need_no_index(tmp_path: Path) -> None:
    book = literatim.SpeakerBook(tmp_path / "many.db", MODEL)
    book.enroll("voice", voice(0))
    kept = np.random.default_rng(3).standard_normal((3000, E)).astype("<f4")
    blobs = [vector.tobytes() for vector in kept]
    with SpeakerStore(book.path).writing() as connection:
        connection.executemany("INSERT INTO voices VALUES (?, ?)", [(at + 2, f"voice {at}") for at in range(3000)])
        rows = [(at + 2, blob, zlib.crc32(blob)) for at, blob in enumerate(blobs)]
        connection.executemany("INSERT INTO samples VALUES (NULL, ?, ?, ?, '', '')", rows)
    begun = time.process_time()
    found = [match.name for match in book.identify_many(kept[::500], 0.99)]
    assert time.process_time() - begun < 2
    assert found == [f"voice {at}" for at in range(0, 3000, 500)]


def test_samples_that_do_not_agree() -> None:
    same = voice(0, 0.1, 4)
    found = agreement([*same, voice(9)[0]])
    assert min(found[:4]) > 0.8
    assert found[4] < 0.5
    assert agreement(same[:1]) == [1.0]
    units = same.astype(np.float64) / np.linalg.norm(same.astype(np.float64), axis=1, keepdims=True)
    assert agreement(same)[1] == pytest.approx(1 - cdist(units[1:2], units[[0, 2, 3]].mean(0)[None], "cosine")[0, 0])


def test_identity_is_of_the_values_and_the_front_end(tmp_path: Path) -> None:
    one, two = torch.randn(3, 4), torch.randn(5).bfloat16()
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
    save_file({"one": one, "two": two}, tmp_path / "a" / "model.safetensors", {"made": "today"})
    save_file({"two": two}, tmp_path / "b" / "model-1.safetensors")
    save_file({"one": one}, tmp_path / "b" / "model-2.safetensors")
    save_file({"one": one.clone().index_fill_(0, torch.tensor([2]), 0.5), "two": two}, tmp_path / "c" / "m.safetensors")
    save_file({"one": one.reshape(4, 3), "two": two}, tmp_path / "d" / "m.safetensors")
    a, b, c, d = (identity_of(tmp_path / name, name, 5) for name in "abcd")
    assert a.agrees(b)
    assert len({item.sha256 for item in (a, c, d, identity_of(tmp_path / "a", "a", 5, "librosa"))}) == 4
