"""Folders of published corpora, read as they come out of their archives.

LibriSpeech (openslr.org/12), VoxPopuli (github.com/facebookresearch/voxpopuli, voxpopuli/get_asr_data.py; also the
archives of huggingface.co/datasets/facebook/voxpopuli), Common Voice (github.com/common-voice/cv-dataset) and AISHELL-1
(openslr.org/33). Each is known by its index files, which are looked for up to four folders below the one that is named.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from literatim.bench.manifest import Case, Found, code
from literatim.errors import OptionError

SPLITS = ("test", "dev", "train")
_DEPTH = 4  # folders between the one that is named and its index files
_VOXPOPULI_SOUND = (".ogg", ".wav", ".flac")
_CLIENT_ID = 12  # characters of Common Voice's 128 that are kept; they still tell its speakers apart
_COMMON_VOICE_COLUMNS = {"client_id", "path", "sentence"}


def read_layout(folder: Path, layout: str = "auto", split: str | None = None) -> Found:
    """Recordings and words of a corpus folder, sorted by index file and kept in its order.

    `split` is test, dev, train, another name that the corpus has (`validated`), or `all`; not given, it is test where
    there is one, else all. What is listed and absent is a problem. Raises OptionError for an unknown folder.
    """
    layout = layout if layout != "auto" else _detect(folder)
    indexes, read = _LAYOUTS[layout]
    by_split: dict[str, list[Path]] = {}
    for name, file in indexes(folder):
        by_split.setdefault(name, []).append(file)
    if not by_split:
        raise OptionError(f"{folder} has no index file of {layout} ({_INDEX[layout]})")
    wanted = split or ("test" if "test" in by_split else "all")
    if wanted != "all" and wanted not in by_split:
        raise OptionError(f"{folder} has no split {wanted!r}; there are: {', '.join(sorted(by_split))}")
    found = Found()
    for name in sorted(by_split) if wanted == "all" else [wanted]:
        for file in sorted(by_split[name]):
            try:
                found.add(read(file, name))
            except UnicodeDecodeError as error:
                raise OptionError(f"{file} is not UTF-8 ({error}); unpack the corpus again") from error
    return found


def _detect(folder: Path) -> str:
    """The first layout whose index files are there."""
    for name, (indexes, _) in _LAYOUTS.items():
        if next(indexes(folder), None) is not None:
            return name
    known = "; ".join(f"{name}: {index}" for name, index in _INDEX.items())
    raise OptionError(
        f"{folder} is no corpus of a known layout ({known}); list its recordings in a manifest of JSON lines"
    )


def _below(folder: Path, pattern: str) -> Iterator[Path]:
    """Files of a name, at most `_DEPTH` folders down: a search of all files of a corpus would take minutes."""
    for depth in range(_DEPTH + 1):
        yield from folder.glob("*/" * depth + pattern)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines with something on them."""
    with file.open(encoding="utf-8-sig") as lines:
        yield from ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _librispeech_indexes(folder: Path) -> Iterator[tuple[str, Path]]:
    """SUBSET/READER/CHAPTER/READER-CHAPTER.trans.txt; `test-clean` and `test-other` are both of the split test."""
    for file in _below(folder, "*.trans.txt"):
        parts = file.resolve().parts
        yield parts[-4].split("-")[0] if len(parts) > 4 else "all", file


def _librispeech(index: Path, _split: str) -> Found:
    """Lines of `READER-CHAPTER-NUMBER WORDS`, the recordings beside the index as NAME.flac."""
    found = Found()
    for number, line in _lines(index):
        name, _, words = line.strip().partition(" ")
        audio = index.parent / f"{name}.flac"
        if audio.is_file():
            found.cases.append(Case(audio, name, words, "en", name.split("-")[0], index.name))
        else:
            found.problems.append(f"{index}, line {number}: there is no recording {audio}")
    return found


def _voxpopuli_indexes(folder: Path) -> Iterator[tuple[str, Path]]:
    """LANGUAGE/asr_SPLIT.tsv."""
    for file in _below(folder, "asr_*.tsv"):
        yield file.stem.removeprefix("asr_"), file


def _voxpopuli(index: Path, split: str) -> Found:
    """Columns id, raw_text, normalized_text, speaker_id, split, gender, not quoted; the recording is YEAR/ID.ogg.

    In the archives on Hugging Face it is SPLIT/ID.wav or SPLIT/SPLIT_part_N/ID.wav. The words are normalized_text:
    raw_text is empty for a part of the corpus.
    """
    found = Found()
    language = code(index.resolve().parent.name)
    parts = [index.parent / split, *sorted((index.parent / split).glob("*_part_*"))]
    for number, row in _table(index):
        name = row.get("id") or ""
        folders = [index.parent / name[:4], *parts]
        files = (folder / f"{name}{suffix}" for folder in folders for suffix in _VOXPOPULI_SOUND)
        audio = next((file for file in files if name and file.is_file()), None)
        if audio is None:
            found.problems.append(f"{index}, line {number}: there is no recording of the id {name!r}")
        else:
            words = row.get("normalized_text") or row.get("raw_text") or ""
            found.cases.append(Case(audio, name, words, language, row.get("speaker_id") or None, index.name))
    return found


def _common_voice_indexes(folder: Path) -> Iterator[tuple[str, Path]]:
    """LOCALE/SPLIT.tsv beside LOCALE/clips, with the columns client_id, path and sentence."""
    for file in _below(folder, "*.tsv"):
        if (file.parent / "clips").is_dir():
            with file.open(encoding="utf-8-sig") as lines:
                columns = set(lines.readline().rstrip("\r\n").split("\t"))
            if columns >= _COMMON_VOICE_COLUMNS:
                yield file.stem, file


def _common_voice(index: Path, _split: str) -> Found:
    """A row a clip; `path` is below clips, without `.mp3` in old releases; `locale` may be missing there."""
    found = Found()
    folder = index.resolve().parent.name
    for number, row in _table(index):
        name, words = row.get("path") or "", row.get("sentence") or ""
        if len(words) > 1 and words[0] == words[-1] == '"':
            words = words[1:-1].replace('""', '"')
        audio = index.parent / "clips" / (name if Path(name).suffix else f"{name}.mp3")
        if name and audio.is_file():
            language, speaker = code(row.get("locale") or folder), (row.get("client_id") or "")[:_CLIENT_ID] or None
            found.cases.append(Case(audio, Path(name).stem, words, language, speaker, index.name))
        else:
            found.problems.append(f"{index}, line {number}: there is no recording {audio}")
    return found


def _table(index: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Rows under their column's names, with the number of the line. Quotes are text: neither corpus escapes by them."""
    with index.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        for row in rows:
            yield rows.line_num, row


def _aishell_indexes(folder: Path) -> Iterator[tuple[str, Path]]:
    """wav/SPLIT beside transcript/aishell_transcript_v0.8.txt."""
    for file in _below(folder, "aishell_transcript*.txt"):
        wav = file.parent.parent / "wav"
        splits = [wav / name for name in SPLITS if (wav / name).is_dir()]
        if not splits:
            raise OptionError(f"{wav} has no folder test, dev or train; unpack the archives SPEAKER.tar.gz in it")
        yield from ((split.name, split) for split in splits)


def _aishell(folder: Path, split: str) -> Found:
    """wav/SPLIT/SPEAKER/NAME.wav, with `NAME WORDS` in the transcript.

    The spaces between words are the annotators': Chinese is written without, so they are taken out.
    """
    found = Found()
    index = next(folder.parent.parent.glob("transcript/aishell_transcript*.txt"))
    words = {}
    for _, line in _lines(index):
        name, *rest = line.split()
        words[name] = "".join(rest)
    for audio in sorted(folder.glob("*/*.wav")):
        if audio.stem in words:
            found.cases.append(Case(audio, audio.stem, words[audio.stem], "zh", audio.parent.name, index.name))
        else:
            found.problems.append(f"{index} has no words of {split}/{audio.parent.name}/{audio.name}")
    return found


_Indexes = Callable[[Path], Iterator[tuple[str, Path]]]
_Read = Callable[[Path, str], Found]
_LAYOUTS: dict[str, tuple[_Indexes, _Read]] = {
    "librispeech": (_librispeech_indexes, _librispeech),
    "aishell": (_aishell_indexes, _aishell),
    "voxpopuli": (_voxpopuli_indexes, _voxpopuli),
    "commonvoice": (_common_voice_indexes, _common_voice),
}
_INDEX = {
    "librispeech": "READER/CHAPTER/*.trans.txt",
    "aishell": "transcript/aishell_transcript_*.txt",
    "voxpopuli": "LANGUAGE/asr_SPLIT.tsv",
    "commonvoice": "LOCALE/SPLIT.tsv beside clips",
}
LAYOUTS = tuple(_LAYOUTS)
