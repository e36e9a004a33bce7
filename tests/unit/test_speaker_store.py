"""A book of voices to the byte: what is left of what was deleted, and a score that is the threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import literatim
from literatim.pipeline.speaker_identity import ModelIdentity
from literatim.pipeline.speaker_store import SpeakerStore

E = 256
MODEL = ModelIdentity("a model", "a" * 64, E)


def enrolled(folder: Path, samples: int) -> tuple[literatim.SpeakerBook, list[bytes]]:
    book = literatim.SpeakerBook(folder / "voices.db", MODEL)
    vectors = np.random.default_rng(0).standard_normal((samples, E)).astype(np.float32)
    book.enroll("Anna", vectors[:1])
    book.enroll("Bert", vectors[1:])
    return book, [vector.tobytes() for vector in vectors[1:]]


def test_what_is_deleted_is_overwritten_before_the_file_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nothing is left where the second is cut off."""
    book, gone = enrolled(tmp_path, 9)
    monkeypatch.setattr(SpeakerStore, "compact", lambda store: None)
    book.remove("Bert")
    left = book.path.read_bytes()
    assert not any(vector in left for vector in gone)
    assert b"Bert" not in left


def test_the_file_is_written_anew_without_what_was_deleted(tmp_path: Path) -> None:
    book, _ = enrolled(tmp_path, 200)
    before = book.path.stat().st_size
    assert before > 200 * 4 * E
    book.remove("Bert")
    assert book.path.stat().st_size < before / 5


def test_a_score_at_the_threshold_reaches_it(tmp_path: Path) -> None:
    book = literatim.SpeakerBook(tmp_path / "voices.db", MODEL)
    along = np.eye(E, dtype=np.float32)
    book.enroll("Anna", along[:1])
    assert book.identify(3 * along[0], 1.0).name == "Anna"
    assert book.identify(along[1], 0.0).name == "Anna"
    assert book.identify(along[1], 1e-9).name is None
