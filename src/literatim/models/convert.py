"""Pickled checkpoints, and those of networks for voices in any layout, to a folder that every command takes."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from literatim.errors import ModelFormatError, ModelNotFound, OptionError
from literatim.models import convert_speaker, openai
from literatim.models.checkpoint import check_tensors
from literatim.models.config import WhisperConfig
from literatim.models.folder import WEIGHTS, read_folder, read_json
from literatim.models.tensors import TensorFiles

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "normalizer.json",
)
_SETTINGS = ("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json")
_PICKLE, _PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_AVERAGE = "avg_model.pt"  # WeSpeaker's
_CHILD = "from literatim.models.unpickle import main; main()"


@dataclass(frozen=True)
class ConvertReport:
    """What was written to `target`, and the `notes` a user should read.

    `kind` is `openai`, `transformers` or `speaker`; `files` are the names in `target`; `tensors` and `parameters` count
    what its model.safetensors holds.
    """

    target: Path
    kind: str
    files: tuple[str, ...]
    tensors: int
    parameters: int
    notes: tuple[str, ...]


def convert(
    source: Path,
    target: Path,
    *,
    tokenizer: Path | None = None,
    languages: Sequence[str] = (),
    layout: str | None = None,
) -> ConvertReport:
    """Make a folder of transformers' kind, with safetensors, at `target`; the weights keep their dtype.

    `source` is a `.pt` file of openai/whisper, a `pytorch_model.bin`, or a folder that holds one or its shards;
    `tokenizer` is a folder to take the tokenizer's files from when they do not lie beside `source`; `languages`
    are Whisper's codes in the order of their tokens. Of networks for voices it is any of the formats that
    `speaker_formats` knows, pickled or safetensors, and `layout` is `torch` (None as well) or `mlx`. A pickle is opened
    in another process. Nothing is left at `target` when it fails.

    Raises ModelNotFound, ModelFormatError, and OptionError where `target` is there already.
    """
    if not source.exists():
        raise ModelNotFound(f"there is no {source}; give a .pt file, a pytorch_model.bin or the folder it is in")
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise OptionError(f"{target} is there already; name a folder that does not exist yet")
    plain = convert_speaker.safetensors_of(source)
    files = [plain] if plain else _pickles(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        told = _laid_open(source, files, made)
        beside = source if source.is_dir() else source.parent
        if told["kind"] == "speaker":
            report = _speaker(beside, made, target, tokenizer, layout or "torch")
        elif layout is not None:
            raise OptionError(f"{source} is no network for voices; layouts are for those, leave --to out")
        else:
            report = _describe(told, beside, made, target, tokenizer, languages)
        made.chmod(0o755)  # mkdtemp lets only the owner in
        if target.exists():
            target.rmdir()
        made.replace(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return report


def _pickles(source: Path) -> list[Path]:
    """The pickled files of `source`."""
    if source.is_file():
        return [source]
    for name in (_PICKLE, _AVERAGE):
        if (source / name).is_file():
            return [source / name]
    weight_map = read_json(source / _PICKLE_INDEX).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ModelFormatError(
            f"{source} holds no {_PICKLE}, no index of its parts and no {_AVERAGE}: nothing to convert"
        )
    names = sorted({str(name) for name in weight_map.values()})
    bad = [name for name in names if Path(name).name != name or not (source / name).is_file()]
    if bad or not names:
        raise ModelFormatError(
            f"{source / _PICKLE_INDEX} names files that are not there: {', '.join(bad[:5])}; download them"
        )
    return [source / name for name in names]


def _laid_open(source: Path, files: Sequence[Path], made: Path) -> dict[str, Any]:
    """Safetensors of the files in `made`, and what is known of them: the kind, and what openai's tell of the shape."""
    if files[0].suffix == ".safetensors":
        shutil.copyfile(files[0], made / WEIGHTS)
        return {"kind": "speaker"}
    _unpickle(source, files, made)
    told = read_json(made / "source.json")
    (made / "source.json").unlink()
    return told


def _unpickle(source: Path, files: Sequence[Path], made: Path) -> None:
    command = [sys.executable, "-c", _CHILD, str(made.resolve()), *(str(file.resolve()) for file in files)]
    # the empty folder as its working directory: Python would import modules from any other
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        stopped = f"the process that read it was stopped by signal {-done.returncode}"
        reason = stopped if done.returncode < 0 else lines[-1][:500] if lines else "no reason was given"
        raise ModelFormatError(f"{source} cannot be converted: {reason}. Download it again, from a source you trust")


def _speaker(beside: Path, made: Path, target: Path, tokenizer: Path | None, layout: str) -> ConvertReport:
    if tokenizer is not None:
        raise OptionError("a network for voices has no tokenizer; leave --tokenizer out")
    tensors, parameters = convert_speaker.rewrite(made, beside, layout)
    files = tuple(sorted(path.name for path in made.iterdir()))
    return ConvertReport(target, "speaker", files, tensors, parameters, ())


def _describe(
    told: dict[str, Any], beside: Path, made: Path, target: Path, tokenizer: Path | None, languages: Sequence[str]
) -> ConvertReport:
    """Write the files beside the weights, and see that what came out can be loaded."""
    if told["kind"] == "openai":
        _write_settings(told, made, languages)
    else:
        _copy(_SETTINGS, beside, made)
    copied = _copy(TOKENIZER_FILES, tokenizer or beside, made)
    if tokenizer is not None and not copied:
        raise OptionError(f"{tokenizer} holds no tokenizer: none of {', '.join(TOKENIZER_FILES)}")
    parameters, tensors = _check(made, beside)
    files = tuple(sorted(path.name for path in made.iterdir()))
    return ConvertReport(target, told["kind"], files, tensors, parameters, _notes(files, target))


def _write_settings(told: dict[str, Any], made: Path, languages: Sequence[str]) -> None:
    dims, ffn = told["dims"], told["ffn"]
    seconds = dims.get("n_audio_ctx", 0) / 50
    config = openai.config(dims, (ffn[0], ffn[1]))
    written = {
        "config.json": config,
        "generation_config.json": openai.generation_config(dims["n_vocab"], dims["n_text_ctx"], languages),
        "preprocessor_config.json": {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": dims["n_mels"],
            "chunk_length": int(seconds) if seconds.is_integer() else seconds,
            "sampling_rate": 16_000,
            "hop_length": 160,
            "n_fft": 400,
            "padding_value": 0.0,
        },
    }
    for name, content in written.items():
        (made / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _copy(names: Sequence[str], origin: Path, made: Path) -> tuple[str, ...]:
    there = tuple(name for name in names if (origin / name).is_file())
    for name in there:
        shutil.copyfile(origin / name, made / name)
    return there


def _check(made: Path, beside: Path) -> tuple[int, int]:
    """Parameters and tensors of the new folder; ModelFormatError where what came out is no Whisper."""
    if not (made / "config.json").is_file():
        raise ModelFormatError(f"{beside} has no config.json; copy it there from the model this one was made from")
    try:
        found = read_folder(made)
        with TensorFiles(found.weights) as files:
            check_tensors(files, WhisperConfig.from_dict(found.config))
            shapes = [entry.shape for entry in files.entries.values()]
    except ModelFormatError as error:
        said = str(error).replace(str(made), str(beside))
        raise ModelFormatError(f"{beside} holds weights that are not a Whisper model's: {said}") from error
    return sum(map(math.prod, shapes)), len(shapes)


def _notes(files: Sequence[str], target: Path) -> tuple[str, ...]:
    notes = []
    if "tokenizer.json" not in files and not {"vocab.json", "merges.txt"} <= set(files):
        notes.append(
            f"{target} has no tokenizer yet: copy tokenizer.json and tokenizer_config.json there from the "
            "released model of the same size (such as openai/whisper-small), or convert with --tokenizer FOLDER"
        )
    if "generation_config.json" not in files:
        notes.append(f"{target} has no generation_config.json: copy it from the model this one was made from")
    return tuple(notes)
