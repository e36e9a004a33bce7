"""Speech models on any accelerator, letter for letter the same as the reference.

    import literatim
    model = literatim.load("openai/whisper-small")
    print(model.transcribe("meeting.m4a").text)

Importing this package imports neither torch nor anything else that is heavy; the names below do when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from literatim.errors import (
    AudioContentError,
    AudioError,
    AudioFormatError,
    AudioLimitError,
    AudioNotFound,
    DependencyError,
    DeviceError,
    LiteratimError,
    ModelError,
    ModelFormatError,
    ModelNotFound,
    OptionError,
    SpeakerBookError,
)
from literatim.options import AudioOptions, HubOptions, LiveOptions, LoadOptions, TranscribeOptions, VerifyOptions
from literatim.speaker_options import DiarizeOptions, SpeakerLoadOptions
from literatim.types import Comparison, Diarization, Embedding, LiveUpdate, Segment, Speculation, Transcript, Turn, Word

if TYPE_CHECKING:
    from literatim.api import Outcome, Recognizer, load
    from literatim.device import DeviceWarning
    from literatim.fleet import Fleet
    from literatim.pipeline.live import Live
    from literatim.pipeline.speaker_book import SpeakerBook
    from literatim.verify.run import verify
    from literatim.voices import SpeakerModel, load_speaker

__version__ = "0.1.0"
_LAZY = {
    "load": "literatim.api",
    "Recognizer": "literatim.api",
    "Outcome": "literatim.api",
    "Fleet": "literatim.fleet",
    "Live": "literatim.pipeline.live",
    "SpeakerBook": "literatim.pipeline.speaker_book",
    "DeviceWarning": "literatim.device",
    "load_speaker": "literatim.voices",
    "SpeakerModel": "literatim.voices",
}

__all__ = [
    "AudioContentError",
    "AudioError",
    "AudioFormatError",
    "AudioLimitError",
    "AudioNotFound",
    "AudioOptions",
    "Comparison",
    "DependencyError",
    "DeviceError",
    "DeviceWarning",
    "Diarization",
    "DiarizeOptions",
    "Embedding",
    "Fleet",
    "HubOptions",
    "LiteratimError",
    "Live",
    "LiveOptions",
    "LiveUpdate",
    "LoadOptions",
    "ModelError",
    "ModelFormatError",
    "ModelNotFound",
    "OptionError",
    "Outcome",
    "Recognizer",
    "Segment",
    "SpeakerBook",
    "SpeakerBookError",
    "SpeakerLoadOptions",
    "SpeakerModel",
    "Speculation",
    "TranscribeOptions",
    "Transcript",
    "Turn",
    "VerifyOptions",
    "Word",
    "__version__",
    "load",
    "load_speaker",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for."""
    if name == "verify":  # the package, which can be called
        return import_module("literatim.verify")
    if name not in _LAZY:
        raise AttributeError(f"module 'literatim' has no attribute {name!r}")
    from literatim.device import import_torch

    import_torch()  # a package beside torch may be broken, and its message says less than ours
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    """Every public name."""
    return sorted(__all__)
