"""Named voices, kept in a file: enrolled from vectors, found again in others, exported, and deleted for good.

A voice is compared by the mean of its samples, each of length 1: the cosine of a vector and that mean is its score. The
voice with the highest score is the answer where the score reaches the threshold, and nobody is where it does not.
"""

from __future__ import annotations

import difflib
import os
import re
import sqlite3
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from literatim.errors import OptionError, SpeakerBookError
from literatim.pipeline.speaker_identity import ModelIdentity
from literatim.pipeline.speaker_store import MENDED, SpeakerStore

LONGEST_NAME = 200  # characters
VARIABLE = "LITERATIM_SPEAKER_BOOK"
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """One vector of a voice: its number in the book, where it is from and when it was added (UTC)."""

    id: int
    source: str
    added: str


@dataclass(frozen=True)
class Voice:
    """A name and the samples that stand for it."""

    name: str
    samples: tuple[Sample, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same names."""
        return {"name": self.name, "samples": [asdict(sample) for sample in self.samples]}


@dataclass(frozen=True)
class Match:
    """Whose voice it is, None where nobody's is near enough; the nearest voice, its score, and the second nearest."""

    name: str | None
    nearest: str
    score: float
    threshold: float
    second: str | None = None
    second_score: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same names."""
        return asdict(self)


class SpeakerBook:
    """Voices of one model in one file, which is made with the first voice and is readable by its owner alone.

    A voiceprint is personal data: keep one only of who agreed to it, and `remove` it when they ask.
    """

    def __init__(self, path: str | Path, model: Any = None) -> None:
        """`model` is a `SpeakerModel` or a `ModelIdentity`; without one voices can be listed, exported and removed."""
        self._store = SpeakerStore(Path(path).expanduser())
        self._model: ModelIdentity | None = getattr(model, "identity", model)

    @property
    def path(self) -> Path:
        """The file."""
        return self._store.path

    @property
    def exists(self) -> bool:
        """Whether there is a file that holds anything."""
        return self._store.exists

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of the file."""
        return self._store.warnings

    def enroll(self, name: str, vectors: Iterable[Any], sources: Sequence[str] = ()) -> Voice:
        """Add samples (E,) of a voice, which is made if it is not there; `sources` says where each is from.

        All of them or, with a SpeakerBookError or OptionError, none.
        """
        if self._model is None:
            raise OptionError("enrolling compares voices: give SpeakerBook the model that made the vectors")
        called, found = checked_name(name), [self._checked(vector) for vector in vectors]
        if not found:
            raise OptionError(f"{called}: no sample was given; a voice needs at least one")
        told = [*sources, *[""] * len(found)][: len(found)]
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with self._store.writing(create=True) as book:
            self._claim(book)
            book.execute("INSERT INTO voices (name) VALUES (?) ON CONFLICT DO NOTHING", (called,))
            (voice,) = book.execute("SELECT id FROM voices WHERE name = ?", (called,)).fetchone()
            rows = [
                (voice, blob, zlib.crc32(blob), source, now)
                for blob, source in zip((vector.astype("<f4").tobytes() for vector in found), told, strict=True)
            ]
            book.executemany(
                "INSERT INTO samples (voice, vector, checksum, source, added) VALUES (?, ?, ?, ?, ?)", rows
            )
            return _voices(book, [called])[0]

    def voices(self) -> list[Voice]:
        """All of them, by name."""
        with self._store.reading() as book:
            self._agree(book)
            return _voices(book)

    def identify(self, vector: Any, threshold: float) -> Match:
        """Whose voice a vector (E,) is: the nearest one's if its score is at least `threshold` (a cosine)."""
        return self.identify_many([vector], threshold)[0]

    def identify_many(self, vectors: Iterable[Any], threshold: float) -> list[Match]:
        """The same for several. Raises SpeakerBookError where there is no voice to compare with."""
        if self._model is None:
            raise OptionError("identifying compares voices: give SpeakerBook the model that made the vectors")
        if not -1 <= threshold <= 1:
            raise OptionError(f"the threshold is {threshold}; a cosine lies between -1 and 1")
        wanted = [_unit(self._checked(vector)) for vector in vectors]
        names, means = self._means()
        return [_match(names, means @ vector, threshold) for vector in wanted]

    def names(self, speakers: Mapping[str, Any], threshold: float) -> dict[str, str]:
        """The names of those speakers, given as label and vector, who are known; two labels may have one name."""
        found = zip(speakers, self.identify_many(speakers.values(), threshold), strict=True)
        return {label: match.name for label, match in found if match.name is not None}

    def remove(self, name: str) -> Voice:
        """Delete a voice for good: its vectors are overwritten in the file. Raises SpeakerBookError if it has none."""
        called = checked_name(name)
        with self._store.writing() as book:
            self._agree(book)
            gone = _known(book, called)
            book.execute("DELETE FROM voices WHERE name = ?", (called,))
        self._store.compact()
        return gone

    def remove_sample(self, name: str, sample: int) -> Voice:
        """Delete one sample of a voice for good; what is left of the voice. The last one goes with its voice."""
        called = checked_name(name)
        with self._store.writing() as book:
            self._agree(book)
            voice = _known(book, called)
            left = tuple(item for item in voice.samples if item.id != sample)
            if len(left) == len(voice.samples):
                numbers = ", ".join(str(item.id) for item in left)
                raise SpeakerBookError(f"{called} has no sample {sample}; theirs are {numbers}")
            if not left:
                raise SpeakerBookError(f"sample {sample} is the only one of {called}; remove the voice instead")
            book.execute("DELETE FROM samples WHERE id = ?", (sample,))
        self._store.compact()
        return Voice(called, left)

    def export(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """All that is kept of these voices (default: of all), vectors included, to be written as JSON."""
        called = [checked_name(name) for name in names]
        with self._store.reading() as book:
            model = self._agree(book)
            voices = [_known(book, name) for name in called] if called else _voices(book)
            vectors = {at: vector for _, at, vector in self._vectors(book, model.dimension)}
        return {
            "model": asdict(model),
            "voices": [
                {
                    "name": voice.name,
                    "samples": [{**asdict(item), "vector": vectors[item.id].tolist()} for item in voice.samples],
                }
                for voice in voices
            ],
        }

    def _claim(self, book: sqlite3.Connection) -> None:
        """A new book is of this model; a book that is there must be."""
        assert self._model is not None
        if book.execute("SELECT 1 FROM model").fetchone():
            self._agree(book)
        else:
            book.execute("INSERT INTO model VALUES (?, ?, ?)", tuple(asdict(self._model).values()))

    def _agree(self, book: sqlite3.Connection) -> ModelIdentity:
        """The model of the book. Raises SpeakerBookError where it is not ours."""
        row = book.execute("SELECT name, sha256, dimension FROM model").fetchone()
        if row is None:
            raise SpeakerBookError(f"{self.path} is damaged (it names no model); {MENDED}")
        found = ModelIdentity(*row)
        if self._model is not None and not found.agrees(self._model):
            raise SpeakerBookError(
                f"{self.path} holds voices of the model {_told(found)}, and this is {_told(self._model)}: "
                "their vectors cannot be compared; give that model, or another book"
            )
        return found

    def _vectors(self, book: sqlite3.Connection, dimension: int) -> list[tuple[str, int, Vectors]]:
        """Name, sample and vector (E,) of every sample, by voice."""
        rows = book.execute(
            "SELECT voices.name, samples.id, vector, checksum FROM samples JOIN voices ON voices.id = voice "
            "ORDER BY voices.name, samples.id"
        ).fetchall()
        for name, at, blob, checksum in rows:
            if len(blob) != 4 * dimension or zlib.crc32(blob) != checksum:
                raise SpeakerBookError(f"{self.path}: sample {at} of {name} is damaged; remove {name} and enroll again")
        return [(name, at, np.frombuffer(blob, "<f4").astype(np.float32)) for name, at, blob, _ in rows]

    def _means(self) -> tuple[list[str], NDArray[np.float64]]:
        """Names, and for each the mean (V, E) of its samples, all of length 1."""
        with self._store.reading() as book:
            found = self._vectors(book, self._agree(book).dimension)
        if not found:
            raise SpeakerBookError(f"{self.path} has no voices; enroll one first")
        units: dict[str, list[NDArray[np.float64]]] = {}
        for name, _, vector in found:
            units.setdefault(name, []).append(_unit(vector))
        return list(units), np.stack([_unit(np.mean(of_one, axis=0)) for of_one in units.values()])

    def _checked(self, vector: Any) -> Vectors:
        """A vector (E,) of this model, or OptionError."""
        assert self._model is not None
        found = np.asarray(getattr(vector, "vector", vector), np.float32)
        if found.shape != (self._model.dimension,):
            raise OptionError(
                f"a vector of {self._model.name} has {self._model.dimension} numbers, this one the shape {found.shape}"
            )
        if not np.isfinite(found).all() or not found.any():
            raise OptionError("a vector of zeros, or with values that are not numbers, is nobody's voice")
        return found


def default_book() -> Path:
    """The book that is meant when none is named: $LITERATIM_SPEAKER_BOOK, else a file among the user's data."""
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME", "").strip() or "~/.local/share"
    return Path(data).expanduser() / "literatim" / "speakers.db"


def agreement(vectors: Iterable[Any]) -> list[float]:
    """Of samples said to be of one voice: the cosine of each and the mean of the others; 1 for one alone."""
    units = [_unit(np.asarray(getattr(vector, "vector", vector), np.float32)) for vector in vectors]
    if len(units) < 2:
        return [1.0] * len(units)
    whole = np.sum(units, axis=0)
    return [float(unit @ _unit(whole - unit)) for unit in units]


def _unit(vector: NDArray[Any]) -> NDArray[np.float64]:
    """Of length 1; zeros stay zeros."""
    wide = vector.astype(np.float64)
    length = np.linalg.norm(wide)
    return wide / length if length else wide


def _match(names: Sequence[str], scores: NDArray[np.float64], threshold: float) -> Match:
    order = np.argsort(-scores, kind="stable")[:2]
    nearest, score = names[order[0]], min(1.0, float(scores[order[0]]))  # rounding may exceed 1
    name = nearest if score >= threshold else None
    if len(order) == 1:
        return Match(name, nearest, score, threshold)
    return Match(name, nearest, score, threshold, names[order[1]], float(scores[order[1]]))


def _voices(book: sqlite3.Connection, names: Sequence[str] | None = None) -> list[Voice]:
    """Those of these names that there are, or all, by name."""
    samples: dict[str, list[Sample]] = {}
    rows = book.execute(
        "SELECT voices.name, samples.id, source, added FROM voices JOIN samples ON voices.id = voice "
        "ORDER BY voices.name, samples.id"
    )
    for name, *about in rows:
        if names is None or name in names:
            samples.setdefault(name, []).append(Sample(*about))
    return [Voice(name, tuple(found)) for name, found in samples.items()]


def _known(book: sqlite3.Connection, name: str) -> Voice:
    """The voice, or SpeakerBookError with names that are near."""
    voices = {voice.name: voice for voice in _voices(book)}
    if name not in voices:
        close = difflib.get_close_matches(name, voices, cutoff=0.5) or sorted(voices)[:5]
        known = f"it has {', '.join(close)}" if close else "it has none"
        raise SpeakerBookError(f"no voice is called {name!r} in this book; {known}")
    return voices[name]


def checked_name(name: str) -> str:
    """As it is kept: composed characters, single spaces. Raises OptionError for what is no name."""
    called = " ".join(unicodedata.normalize("NFC", name).split())
    if not called or len(called) > LONGEST_NAME or not called.isprintable():
        raise OptionError(f"{name!r} is no name: give 1 to {LONGEST_NAME} characters that can be printed")
    if re.fullmatch(r"SPEAKER_\d+", called):
        raise OptionError(f"{called} is what speakers without a name are called; choose another name")
    return called


def _told(model: ModelIdentity) -> str:
    return f"{model.name} ({model.dimension} numbers, SHA-256 {model.sha256[:12]}...)"
