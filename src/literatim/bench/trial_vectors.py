"""Vectors of the recordings in a list of trials, and of a cohort: made, kept in a file, and read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from literatim.bench.trials import unit
from literatim.errors import LiteratimError, OptionError
from literatim.text import atomic

if TYPE_CHECKING:
    from literatim.voices import SpeakerModel

Vectors = NDArray[np.float32]
Told = Callable[[str, LiteratimError | None], None]
"""Told of each recording as it is done, with the error of one that failed."""


@dataclass
class Kept:
    """Vectors by name, of one model; `file` is where they are kept between runs, None if they are not."""

    identity: str
    file: Path | None = None
    found: dict[str, Vectors] = field(default_factory=dict)

    @classmethod
    def open(cls, file: Path | None, identity: str) -> Kept:
        """What an earlier run left. Raises OptionError for a file that is none, or of another model."""
        if file is None or not file.exists():
            return cls(identity, file)
        try:
            with np.load(file, allow_pickle=False) as held:
                whose, names, vectors = str(held["model"]), held["names"].tolist(), held["vectors"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise OptionError(f"{file} holds no vectors of an earlier run ({error}); give another --vectors") from error
        if whose != identity:
            raise OptionError(f"{file} holds vectors of another model or front end; give another --vectors")
        return cls(identity, file, dict(zip(names, vectors, strict=True)))

    def save(self) -> None:
        """Into the file, which appears whole or not at all."""
        if self.file is None or not self.found:
            return
        names, vectors = np.array(list(self.found)), np.stack(list(self.found.values()))
        try:
            with atomic.opened(self.file) as stream:
                np.savez(stream, model=np.array(self.identity), names=names, vectors=vectors)
        except OSError as error:
            raise OptionError(f"{self.file} cannot be written ({error.strerror}); choose another --vectors") from error

    def add(self, model: SpeakerModel, files: dict[str, Path], batch_size: int, told: Told) -> None:
        """The vectors of those files, by name, that are not there yet; what was made is kept if this is cut off."""
        names = [name for name in files if name not in self.found]
        try:
            for number, result in model.embed_many([files[name] for name in names], batch_size=batch_size):
                if isinstance(result, LiteratimError):
                    told(names[number], result)
                    continue
                self.found[names[number]] = result.vector
                told(names[number], None)
        finally:
            self.save()

    def of(self, names: Sequence[str], dimension: int) -> tuple[Vectors, NDArray[np.bool_]]:
        """Vectors (N, E) of these names, zeros where there is none, and which there are (N,)."""
        there = np.array([name in self.found for name in names], bool)
        rows = [self.found.get(name, np.zeros(dimension, np.float32)) for name in names]
        return np.stack(rows), there


def cohort_files(place: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    """The recordings of a folder, by their path in it. Raises OptionError where there are none."""
    files = sorted(path for path in place.rglob("*") if path.suffix.lower() in suffixes) if place.is_dir() else []
    if not files:
        raise OptionError(f"{place}: no cohort; give a .npy of vectors (N, E), or a folder with recordings of speakers")
    return {path.relative_to(place).as_posix(): path for path in files}


def by_speaker(kept: Kept, names: Sequence[str]) -> NDArray[np.float64]:
    """Means (C, E) of the unit vectors of each folder at the top, a speaker; of files that lie in none, their own."""
    groups: dict[str, list[Vectors]] = {}
    for name in names:
        if name in kept.found:
            groups.setdefault(name.split("/", 1)[0], []).append(kept.found[name])
    if not groups:
        raise OptionError("none of the cohort's recordings could be read")
    return np.stack([unit(np.stack(vectors)).mean(0) for vectors in groups.values()])


def read_cohort(file: Path, dimension: int) -> NDArray[Any]:
    """Vectors (N, E) of a .npy. Raises OptionError for anything else."""
    try:
        found: NDArray[Any] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise OptionError(f"{file} is no .npy of vectors ({error})") from error
    if found.ndim != 2 or found.shape[1] != dimension or not np.isfinite(found).all():
        raise OptionError(f"{file} has the shape {found.shape}; vectors (N, {dimension}) of finite numbers are needed")
    return found
