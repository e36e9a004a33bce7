"""What models are called: bundled ones, short names, ids, and what was probably meant."""

from __future__ import annotations

import difflib
import os
import re

from literatim.errors import ModelNotFound

DEFAULT_MODEL = "openai/whisper-small"
DEFAULT_SPEAKER_MODEL = "resnet34-lm"
BUNDLED = ("demo", "demo-draft", "demo-medical", "demo-speaker")
SHORT_NAMES: dict[str, str] = {
    "tiny": "openai/whisper-tiny",
    "tiny.en": "openai/whisper-tiny.en",
    "base": "openai/whisper-base",
    "base.en": "openai/whisper-base.en",
    "small": "openai/whisper-small",
    "small.en": "openai/whisper-small.en",
    "medium": "openai/whisper-medium",
    "medium.en": "openai/whisper-medium.en",
    "large-v1": "openai/whisper-large",  # the first release: its repository bears no version
    "large-v2": "openai/whisper-large-v2",
    "large-v3": "openai/whisper-large-v3",
    "large": "openai/whisper-large-v3",
    "turbo": "openai/whisper-large-v3-turbo",
    "large-v3-turbo": "openai/whisper-large-v3-turbo",
    "distil-small.en": "distil-whisper/distil-small.en",
    "distil-medium.en": "distil-whisper/distil-medium.en",
    "distil-large-v2": "distil-whisper/distil-large-v2",
    "distil-large-v3": "distil-whisper/distil-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5",
    "medasr": "google/medasr",
    "resnet34-lm": "aufklarer/WeSpeaker-ResNet34-LM-MLX",
}
# Terms of use that a licence's usual name does not tell.
TERMS: dict[str, str] = {
    "google/medasr": "gated, under the Health AI Developer Foundations terms (HAI-DEF, "
    "https://developers.google.com/health-ai-developer-foundations/terms); not for clinical use",
    "aufklarer/WeSpeaker-ResNet34-LM-MLX": "marked MIT where it lies; the weights that it was made from "
    "(pyannote/wespeaker-voxceleb-resnet34-LM) are CC-BY-4.0: name WeSpeaker and VoxCeleb",
}


def default_model() -> str:
    """The model used when none is named: $LITERATIM_MODEL, or DEFAULT_MODEL."""
    return os.environ.get("LITERATIM_MODEL", "").strip() or DEFAULT_MODEL


def default_speaker_model() -> str:
    """The network for voices when none is named: $LITERATIM_SPEAKER_MODEL, or DEFAULT_SPEAKER_MODEL."""
    return os.environ.get("LITERATIM_SPEAKER_MODEL", "").strip() or DEFAULT_SPEAKER_MODEL


def speaker_model_beside(model: str) -> str:
    """The network for voices that names speakers in what a model writes: a bundled one's is bundled as well."""
    asked = os.environ.get("LITERATIM_SPEAKER_MODEL", "").strip()
    return asked or ("demo-speaker" if model in BUNDLED else DEFAULT_SPEAKER_MODEL)


def repository(name: str) -> str:
    """The id on the hub that a short name or an id stands for; ModelNotFound for anything else."""
    repo = SHORT_NAMES.get(name, name)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo, re.ASCII):
        raise ModelNotFound(f"no model is called {name!r}; {known_names(name)}")
    return repo


def is_path(name: str) -> bool:
    """Whether `name` can be nothing but a path, such as ./x, ~/x, /x, a/b/c or C:\\x."""
    return bool(re.match(r"[.~/]|[A-Za-z]:", name)) or "\\" in name or name.count("/") > 1


def known_names(wrong: str) -> str:
    """What to give instead of a name that leads nowhere, beginning with the closest ones."""
    names = [*SHORT_NAMES, *BUNDLED, *SHORT_NAMES.values()]
    tail = wrong.rstrip("/").rsplit("/", 1)[-1].removeprefix("whisper-")
    close = list(dict.fromkeys(name for word in (wrong, tail) for name in difflib.get_close_matches(word, names)))
    question = f"did you mean {' or '.join(close[:3])}? " if close else ""
    return f"{question}A model is a folder, an id such as {DEFAULT_MODEL}, or a name of `literatim models list`."
