"""Who said what: the turns of a recording, put to its transcript. What `transcribe(..., diarize=True)` stands on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from literatim import hub
from literatim.audio.source import open_source
from literatim.declare import build
from literatim.errors import AudioError, LiteratimError, OptionError
from literatim.options import AudioOptions, HubOptions
from literatim.pipeline.reading import Reading
from literatim.pipeline.speaker_book import SpeakerBook
from literatim.pipeline.speakers import attributed
from literatim.speaker_options import NAMING, DiarizeOptions, NamingOptions, check_naming, timed
from literatim.types import Transcript
from literatim.voices import SpeakerModel, load_speaker

_AUDIO = {item.name for item in fields(AudioOptions)}
_DIARIZE = {item.name for item in fields(DiarizeOptions)}


@dataclass(frozen=True)
class Outcome:
    """What became of one of several recordings: a transcript, or the error that stopped it."""

    index: int
    transcript: Transcript | None
    error: LiteratimError | None = None


class Names:
    """Networks for voices beside a recognizer, each loaded when speakers are first asked for."""

    def __init__(self, model: str, device: torch.device, where: HubOptions) -> None:
        """`model` is the recognizer's name; voices are heard on its device."""
        self._model, self._device, self._where = model, device, where
        self._loaded: dict[str, SpeakerModel] = {}

    def asked(self, options: dict[str, Any]) -> tuple[Naming | None, dict[str, Any]]:
        """What is to be done about speakers, None where nothing is, and the options of the transcription.

        Raises OptionError for options that do not go together, SpeakerBookError for a book that is no good.
        """
        given = {name: value for name, value in options.items() if name in NAMING and value is not None}
        rest = {name: value for name, value in options.items() if name not in NAMING}
        how = build(NamingOptions, {name: value for name, value in given.items() if name not in _DIARIZE})
        if not check_naming(options):
            return None, rest
        rest = timed(rest)
        details = asdict(build(DiarizeOptions, {name: value for name, value in given.items() if name in _DIARIZE}))
        audio = {name: value for name, value in rest.items() if name in _AUDIO}
        voices = self._voices(how.speaker_model)
        if details["speaker_book"] is not None:
            SpeakerBook(details["speaker_book"], voices).voices()  # its errors come before the work
        return Naming(voices, details | audio), rest

    def unasked(self, options: dict[str, Any], why: str) -> dict[str, Any]:
        """The options of the transcription; OptionError, and why, where speakers are asked for."""
        if options.get("diarize"):
            raise OptionError(f"diarize: {why}")
        return self.asked(options)[1]

    def _voices(self, asked: str | None) -> SpeakerModel:
        name = hub.speaker_model_beside(self._model) if asked is None else asked
        if name not in self._loaded:
            self._loaded[name] = load_speaker(name, device=str(self._device), **asdict(self._where))
        return self._loaded[name]


@dataclass
class Naming:
    """Speakers for transcripts; `options` are of `SpeakerModel.diarize`."""

    voices: SpeakerModel
    options: dict[str, Any]

    def kept(self, audios: Iterable[Any], held: dict[int, Any]) -> Iterator[Any]:
        """The recordings as they can be read twice; `held` has each by its number until it is taken out."""
        for number, audio in enumerate(audios):
            try:
                held[number] = self.readable(audio)
            except AudioError:
                held[number] = audio  # what is wrong with it is told where it is transcribed, and stops no other
            yield held[number]

    def readable(self, audio: Any) -> Any:
        """The recording, or its bytes where it can be read only once. Raises AudioError."""
        if not hasattr(audio, "read") and not (isinstance(audio, str) and audio == "-"):
            return audio
        with open_source(audio, self.options.get("max_bytes") or AudioOptions().max_bytes) as opened:
            return opened.read()

    def named(self, transcript: Transcript, audio: Any, sampling_rate: int | None = None) -> Transcript:
        """The transcript of a recording with its speakers. Raises AudioError."""
        found = self.voices.diarize(audio, sampling_rate=sampling_rate, **self.options)
        return attributed(transcript, found)

    def outcome(self, index: int, transcript: Transcript, audio: Any) -> Outcome:
        """The same as one of several; its error where it can no longer be read."""
        try:
            return Outcome(index, self.named(transcript, audio))
        except AudioError as error:
            return Outcome(index, None, error)


def outcomes(work: Reading[Any], naming: Naming | None, held: dict[int, Any]) -> Iterator[Outcome]:
    """What has ended, well or badly, since the last call; with its speakers where they are asked for."""
    for index, error in work.failed():
        held.pop(index, None)
        yield Outcome(index, None, error)
    for index, transcript in work.finished():
        yield Outcome(index, transcript) if naming is None else naming.outcome(index, transcript, held.pop(index))
