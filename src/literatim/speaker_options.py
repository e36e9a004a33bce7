"""Options of what is done with voices, as those of `options.py` are declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from literatim.declare import as_in, build, option
from literatim.errors import OptionError
from literatim.options import LoadOptions

CLUSTERINGS = ("agglomerative", "spectral")
FRONT_ENDS = ("kaldi", "librosa")


@dataclass(frozen=True)
class SpeakerLoadOptions:
    """Where a network for voices runs, in which numbers, and what it hears."""

    device: str = as_in(LoadOptions, "device")
    device_index: str | None = option(None, "which device of that kind, from 0")
    dtype: str = as_in(LoadOptions, "dtype")
    precision: str = as_in(LoadOptions, "precision")
    frontend: str = option(
        "kaldi",
        "what log-mel frames are made by: kaldi, which the published networks were trained on, or librosa, as some "
        "ports do; vectors of one are not for comparing with the other's",
        choices=FRONT_ENDS,
    )
    threshold: float | None = option(
        None,
        "cosine from which two voices are one speaker's (default: the model's own, else 0.5)",
        minimum=-1,
        maximum=1,
    )


@dataclass(frozen=True)
class NamingOptions:
    """Who says what in a transcript."""

    diarize: bool = option(
        False,
        "name the speaker of each word and each segment; words have times then, as with word_timestamps",
        flag=True,
    )
    speaker_model: str | None = option(
        None,
        "network for voices that tells speakers apart: short name, id or folder (default: $LITERATIM_SPEAKER_MODEL, "
        "else resnet34-lm, beside a bundled model demo-speaker)",
    )


@dataclass(frozen=True)
class DiarizeOptions:
    """Who speaks when: how speech is put down to speakers."""

    num_speakers: int | None = option(None, "how many people speak, where that is known", minimum=1, maximum=100)
    min_speakers: int | None = option(None, "at least so many people speak (default: 1)", minimum=1, maximum=100)
    max_speakers: int | None = option(None, "at most so many people speak (default: 20)", minimum=1, maximum=100)
    clustering: str = option(
        "agglomerative",
        "agglomerative: by average linkage, the number of speakers by speaker_similarity; spectral: by the graph of "
        "nearest neighbours, the number by its eigen-gap (extra diarize)",
        choices=CLUSTERINGS,
    )
    speaker_similarity: float | None = option(
        None,
        "mean cosine of two groups of windows from which they are one speaker: higher makes more speakers (default: "
        "the speaker model's)",
        minimum=-1,
        maximum=1,
    )
    speaker_book: str | None = option(
        None, "file of known voices (`literatim speakers enroll`): speakers who are in it are called by their names"
    )
    speaker_threshold: float | None = option(
        None,
        "cosine from which a speaker is one of speaker_book (default: the speaker model's threshold)",
        minimum=-1,
        maximum=1,
    )

    def __post_init__(self) -> None:
        """What single values cannot tell."""
        if self.speaker_threshold is not None and self.speaker_book is None:
            raise OptionError("speaker_threshold is about known voices; give speaker_book as well")
        bounds = {"min_speakers": self.min_speakers, "max_speakers": self.max_speakers}
        given = [name for name, value in bounds.items() if value is not None]
        if self.num_speakers is not None and given:
            raise OptionError(f"num_speakers says how many there are; leave {' and '.join(given)} out")
        if len(given) == 2 and self.least > self.most:
            raise OptionError(f"min_speakers is {self.min_speakers} and max_speakers {self.max_speakers}; swap them")
        for name, value in {**bounds, "num_speakers": self.num_speakers}.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise OptionError(f"{name} must be a whole number, not {value!r}")

    @property
    def least(self) -> int:
        """Fewest speakers."""
        return self.num_speakers or self.min_speakers or 1

    @property
    def most(self) -> int:
        """Most speakers: 20 where nothing is said, and more where at least so many are asked for."""
        return self.num_speakers or self.max_speakers or max(20, self.least)


NAMING = {item.name: item.default for kind in (NamingOptions, DiarizeOptions) for item in fields(kind)}


def check_naming(options: Mapping[str, Any]) -> bool:
    """Whether the speakers of a transcript are asked for, among all options of a transcription.

    Raises OptionError for options that do not go together.
    """
    if not options.get("diarize"):
        for name, usual in NAMING.items():
            if options.get(name) not in (None, usual):
                raise OptionError(f"{name} is about speakers; give diarize True as well")
        return False
    if options.get("channels") == "split":
        raise OptionError("with channels split each channel is a speaker already; leave diarize out")
    build(DiarizeOptions, {item.name: options[item.name] for item in fields(DiarizeOptions) if item.name in options})
    return True


def timed(options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a transcription whose words are put to speakers: words have times, where the strategy has any."""
    chunked = options.get("strategy") == "chunked" or options.get("chunk_length_s") is not None
    return dict(options) if chunked else {**options, "word_timestamps": True}
