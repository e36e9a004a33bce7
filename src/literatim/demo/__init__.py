"""The bundled models and recordings: small, made by this project, trained on synthetic speech only."""

from __future__ import annotations

from pathlib import Path

from literatim.errors import AudioNotFound, ModelNotFound

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".webm")
_HERE = Path(__file__).parent


def model_path(name: str) -> Path:
    """The folder of the bundled model `name`; ModelNotFound if this installation has none of that name."""
    folder = _HERE / name
    if not (folder / "config.json").is_file():
        raise ModelNotFound(f"the bundled model {name!r} is not in this installation ({folder}); reinstall literatim")
    return folder


def recordings(kind: str = "recordings") -> list[Path]:
    """The bundled sample recordings, or "dictations", sorted by name."""
    folder = _HERE / kind
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(file for file in files if file.suffix.lower() in AUDIO_SUFFIXES)


def recording_path(name: str) -> Path:
    """The bundled recording `name`, given with or without its suffix; AudioNotFound lists those there are."""
    known = recordings()
    for file in known:
        if name in (file.name, file.stem):
            return file
    there = ", ".join(file.name for file in known) or "none"
    raise AudioNotFound(f"no bundled recording is called {name!r}; there are: {there}")
