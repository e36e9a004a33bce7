"""The clips that a model is verified on: windows of sound with the prompts that they are decoded with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from literatim import demo
from literatim.audio import lasr, mel
from literatim.audio.decode import SAMPLE_RATE, decode
from literatim.errors import OptionError
from literatim.models.config import WhisperConfig
from literatim.models.folder import read_folder
from literatim.models.medasr_config import MODEL_TYPE, MedasrConfig
from literatim.models.speaker_config import SpeakerConfig, is_speaker_type
from literatim.pipeline.listener import WIDTH
from literatim.text.tokenizer import WhisperTokenizer
from literatim.verify import voices
from literatim.verify.medasr import SECONDS, features
from literatim.verify.subject import Clip

BUNDLED = Path(demo.__file__).parent / "clips"
DICTATIONS = Path(demo.__file__).parent / "dictations"
PART = 6  # seconds from one part of a dictation to the next
BEFORE = " And so it went on, as it had been said before, until the end of the day."


def clips(folder: Path, audio: Sequence[Any], batch: int, most: int | None = None) -> list[Clip]:
    """At least `batch` windows: the first one of each recording, again where they are few; else bundled clips.

    Their prompts are of different lengths, since earlier text stands before some: caches and positions then differ
    from row to row, as they do in transcription. `most` bounds the new tokens. Raises AudioError, or OptionError where
    there are no clips.
    """
    found = read_folder(folder)
    if is_speaker_type(found.model_type):
        return voices.material(SpeakerConfig.from_dict(found.config).n_mels, audio, batch)
    if found.model_type == MODEL_TYPE:
        return _dictations(MedasrConfig.from_dict(found.config), audio, batch)
    config = WhisperConfig.from_dict(found.config)
    tokenizer = WhisperTokenizer.from_folder(folder, found.generation_config, found.config)
    known = [(_name(at, item), item, None, None) for at, item in enumerate(audio)] or _bundled(tokenizer)
    if not known:
        raise OptionError("this installation lacks the bundled clips; name recordings by --audio")
    chosen = [known[at % len(known)] for at in range(max(batch, len(audio)))]
    return [replace(_clip(config, tokenizer, at, *item), most=most) for at, item in enumerate(chosen)]


def about(folder: Path, batch: int) -> dict[str, Any]:
    """What a reference of such clips has to know beside them."""
    found = read_folder(folder)
    if is_speaker_type(found.model_type):
        return voices.about(batch)
    if found.model_type == MODEL_TYPE:
        return {"span": MedasrConfig.from_dict(found.config).steps(lasr.frames(WIDTH))}
    return {}


def _dictations(config: MedasrConfig, audio: Sequence[Any], batch: int) -> list[Clip]:
    """Clips for MedASR, of different lengths: recordings from their beginning, else parts of the bundled dictation."""
    known = [(_name(at, item), decode(item).samples[0]) for at, item in enumerate(audio)] or _parts()
    if not known:
        raise OptionError("this installation lacks the bundled dictation; name recordings by --audio")
    chosen = [known[at % len(known)] for at in range(max(batch, len(audio)))]
    return [
        Clip(name, features(torch.from_numpy(samples), at, config.n_mels).contiguous(), ())
        for at, (name, samples) in enumerate(chosen)
    ]


def _parts() -> list[tuple[str, np.ndarray]]:
    """The bundled dictation from several moments on."""
    found = []
    for path in sorted(DICTATIONS.glob("*.flac")):
        samples = decode(path).samples[0]
        starts = range(0, len(samples) - round(max(SECONDS) * SAMPLE_RATE), PART * SAMPLE_RATE)
        found += [(f"{path.stem} from {start / SAMPLE_RATE:g} s", samples[start:]) for start in starts]
    return found


def _name(at: int, audio: Any) -> str:
    """Of a recording, without the folders that it lies in."""
    return Path(audio).name if isinstance(audio, (str, Path)) else f"recording {at}"


def _bundled(tokenizer: WhisperTokenizer) -> list[tuple[str, Any, str | None, str | None]]:
    """Name, file, language and words: by turns from the languages that the model knows."""
    manifest = BUNDLED / "clips.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.is_file() else []
    by_language: dict[str, list[tuple[str, Any, str | None, str | None]]] = {}
    for line in lines:
        case = json.loads(line)
        if case["language"] in (tokenizer.languages or {"en": 0}):
            item = (case["id"], BUNDLED / case["audio"], case["language"], case["text"])
            by_language.setdefault(case["language"], []).append(item)
    turns = zip(*by_language.values(), strict=False)
    return [item for turn in turns for item in turn]


def _clip(
    config: WhisperConfig, tokenizer: WhisperTokenizer, at: int, name: str, file: Any, language: Any, words: Any
) -> Clip:
    samples = torch.from_numpy(decode(file).samples[0])[: config.window_frames * mel.HOP_LENGTH]
    filled = F.pad(samples, (0, config.window_frames * mel.HOP_LENGTH - len(samples)))
    features = mel.log_mel(filled[None], config.n_mels)[0]  # (M, T)
    timestamps = tokenizer.timestamp_begin != tokenizer.timestamp_end
    start = tokenizer.prompt(language or next(iter(tokenizer.languages), None), "transcribe", timestamps)
    before = tuple(tokenizer.encode(BEFORE)[: 3 * at])
    if before and tokenizer.startofprev is not None:
        start = (tokenizer.startofprev, *before, *start)
    return Clip(name, features, start, None, words)
