"""Recordings whose turns are known: the bundled ones, files of RTTM, and the layouts of VoxConverse and AMI.

VoxConverse (Chung et al., 2020; github.com/joonson/voxconverse): SPLIT/NAME.rttm, with the sound in another folder as
NAME.wav. AMI (github.com/BUTSpeechFIT/AMI-diarization-setup): only_words/rttms/SPLIT/NAME.rttm and uems/SPLIT/NAME.uem,
the sound as NAME.Mix-Headset.wav or NAME/audio/NAME.Mix-Headset.wav, whatever follows the meeting's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from literatim import demo
from literatim.bench.der import Region
from literatim.errors import OptionError
from literatim.text import rttm
from literatim.types import Turn

SPLITS = ("test", "dev", "train")
DEEPEST = 4  # folders below the one that is named in which files are looked for


@dataclass(frozen=True)
class Known:
    """A recording with its turns; `regions` are those that are scored, in seconds, all of it where there are none."""

    name: str
    audio: Path
    turns: tuple[Turn, ...]
    regions: tuple[Region, ...] = ()


def bundled() -> Iterator[Known]:
    """The bundled recordings whose speakers are told, the discussion of three among them."""
    for audio in (*demo.recordings(), *demo.recordings("discussions")):
        file = audio.with_suffix(".json")
        if file.is_file():
            yield Known(audio.stem, audio, _json_turns(file))


def beside(audio: Path, reference: Path | None = None) -> Known:
    """A recording with the turns of NAME.rttm or NAME.json beside it, or of the file that is named.

    Raises OptionError where there is none, and for what is in it.
    """
    files = [reference] if reference else [audio.with_suffix(suffix) for suffix in (".rttm", ".json")]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise OptionError(
            f"{audio} has no turns beside it ({' or '.join(one.name for one in files)}); make one of them"
        )
    if file.suffix.lower() == ".json":
        return Known(audio.stem, audio, _json_turns(file))
    by_name = rttm.read(file)
    turns = by_name.get(audio.stem, next(iter(by_name.values())) if len(by_name) == 1 else None)
    if turns is None:
        raise OptionError(f"{file} has turns of {', '.join(sorted(by_name)) or 'nothing'}, not of {audio.stem}")
    return Known(audio.stem, audio, tuple(turns), _uem(file.with_suffix(".uem"), audio.stem))


def _json_turns(file: Path) -> tuple[Turn, ...]:
    """Of a JSON with `turns`, or with `segments`, each with start, end and speaker."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        parts = told.get("turns") or told["segments"]
        return tuple(Turn(float(part["start"]), float(part["end"]), str(part["speaker"])) for part in parts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OptionError(f"{file} tells no turns (start, end, speaker): {error!r}") from error


def corpus(folder: Path, sound: Path | None = None, split: str | None = None) -> tuple[list[Known], list[str]]:
    """The recordings of a folder with RTTM files, and what is wrong with those that cannot be used.

    `sound` is where recordings lie, if not in the folder itself; both are looked through some folders deep. `split` is
    test, dev, train or all; not given, it is test where there is one. Raises OptionError where nothing is found.
    """
    files = sorted(_below(folder, ".rttm"))
    if not files:
        raise OptionError(f"{folder} has no files of RTTM, as the folders of VoxConverse and AMI have")
    there = sorted({split for split in (_split(file, folder) for file in files) if split is not None})
    wanted = split or ("test" if "test" in there else "all")
    if wanted != "all" and wanted not in there:
        raise OptionError(
            f"{folder} has no split {wanted!r}; there are: {', '.join(sorted(filter(None, there))) or 'all'}"
        )
    chosen = [file for file in files if wanted == "all" or _split(file, folder) == wanted]
    by_stem: dict[str, Path] = {}
    for path in sorted(path for suffix in demo.AUDIO_SUFFIXES for path in _below(sound or folder, suffix)):
        by_stem.setdefault(path.stem, path)
    uems = {path.stem: path for path in _below(folder, ".uem")}
    known: list[Known] = []
    problems: list[str] = []
    for file in chosen:
        for name, turns in rttm.read(file).items():
            audio = by_stem.get(name) or _longer(by_stem, name)
            if audio is None:
                problems.append(f"{file}: there is no recording {name} below {sound or folder}")
                continue
            uem = uems.get(name) or uems.get(file.stem)
            known.append(Known(name, audio, tuple(turns), () if uem is None else _uem(uem, name)))
    return known, problems


def _below(folder: Path, suffix: str) -> Iterator[Path]:
    for depth in range(DEEPEST + 1):
        yield from folder.glob("*/" * depth + f"*{suffix}")


def _split(file: Path, folder: Path) -> str | None:
    """The split that a file is of, by the folders that it lies in."""
    parts = (folder.name, *file.relative_to(folder).parts[:-1])
    return next((part for part in reversed(parts) if part in SPLITS), None)


def _longer(by_stem: dict[str, Path], name: str) -> Path | None:
    """A recording that is called after the meeting, as AMI's NAME.Mix-Headset; the mix where there are several."""
    found = [path for stem, path in by_stem.items() if stem.startswith(f"{name}.")]
    return min(found, key=lambda path: ("Mix-Headset" not in path.stem, path.stem), default=None)


def _uem(file: Path, name: str) -> tuple[Region, ...]:
    """The regions of a recording in a file of UEM: lines `file channel start end`; none where there is no file."""
    if not file.is_file():
        return ()
    found: list[Region] = []
    for number, parts in _fields(file.read_text(encoding="utf-8").splitlines()):
        try:
            if parts[0] == name:
                found.append((float(parts[2]), float(parts[3])))
        except (IndexError, ValueError) as error:
            raise OptionError(f"{file}, line {number}: no line of UEM (file channel start end)") from error
    return tuple(found)


def _fields(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith(";"):
            yield number, line.split()
