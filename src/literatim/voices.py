"""Voices: `load_speaker` a network, then `embed`, `compare` and `diarize` recordings with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from literatim import device as devices
from literatim import hub
from literatim.audio.decode import SAMPLE_RATE, Stream, decode
from literatim.audio.feature_files import frames_of, read_features
from literatim.audio.silero import FRAME, detector
from literatim.audio.vad import Detector
from literatim.declare import build
from literatim.errors import AudioContentError, LiteratimError, ModelFormatError, OptionError
from literatim.models.speaker_checkpoint import read_speaker
from literatim.options import AudioOptions, HubOptions, VadOptions
from literatim.pipeline import diarize as turns
from literatim.pipeline.cluster import Wanted, check_method
from literatim.pipeline.known import with_names
from literatim.pipeline.speaker_book import SpeakerBook
from literatim.pipeline.speaker_identity import ModelIdentity, identity_of
from literatim.pipeline.voice import VoiceEncoder, load_encoder
from literatim.speaker_options import DiarizeOptions, SpeakerLoadOptions
from literatim.types import Comparison, Diarization, Embedding

THRESHOLD = 0.5  # of a model whose config.json says none: a start, to be measured on recordings of one's own
SIMILARITY = 0.3  # of two groups of windows that are one speaker's, where config.json says none
QUIET = 0.5 / 32768  # no sample of 16 bits is louder than this but 0
SHORT = 1.0  # seconds below which a vector is said to tell little
LEAST_SPEECH = 0.25  # seconds
SPEECH = VadOptions().vad_threshold


def load_speaker(name_or_path: str | Path | None = None, **options: Any) -> SpeakerModel:
    """Load a network for voices: a short name, a Hugging Face id, a local folder or `demo-speaker`.

    Without a name it is `LITERATIM_SPEAKER_MODEL`, else `resnet34-lm`; never a demonstration model. Keyword arguments
    are the fields of `SpeakerLoadOptions` (device, dtype, frontend, threshold, ...) and `HubOptions`. Raises
    ModelNotFound, ModelFormatError, DeviceError or OptionError; gives a DeviceWarning for what `SpeakerModel.warnings`
    then holds.
    """
    hub_names = {item.name for item in fields(HubOptions)}
    where = build(HubOptions, {name: value for name, value in options.items() if name in hub_names})
    how = build(SpeakerLoadOptions, {name: value for name, value in options.items() if name not in hub_names})
    device, *more = devices.several(how.device, how.device_index)
    if more:
        raise OptionError(f"a network for voices is on one device, not on {how.device_index}; give one index")
    dtype = devices.dtype_of(how.dtype, device)
    name = str(name_or_path) if name_or_path is not None else hub.default_speaker_model()
    path = hub.resolve(name, where)
    threshold = _cosine(path, "threshold", THRESHOLD) if how.threshold is None else how.threshold
    encoder = load_encoder(path, dtype, device, how.frontend)
    remarks = devices.remarks(device, how.device)
    for remark in remarks:
        warnings.warn(remark, devices.DeviceWarning, stacklevel=2)
    return SpeakerModel(encoder, path, name, threshold=threshold, precision=how.precision, warnings=remarks)


class SpeakerModel:
    """A loaded network for voices. One at a time: it is not safe to call from two threads at once."""

    def __init__(
        self,
        encoder: VoiceEncoder,
        folder: Path,
        name: str,
        *,
        threshold: float = THRESHOLD,
        precision: str = "default",
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.encoder, self.folder, self.name = encoder, folder, name
        self.threshold, self.precision = threshold, precision
        self.warnings = warnings  # what a user should know of the device

    @property
    def device(self) -> torch.device:
        """Where the weights are: what `auto` came to."""
        return self.encoder.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype the network computes in."""
        return self.encoder.dtype

    @property
    def frontend(self) -> str:
        """What makes the frames that it hears."""
        return self.encoder.frontend

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self.encoder.dimension

    @cached_property
    def identity(self) -> ModelIdentity:
        """What tells its vectors from those of other models."""
        return identity_of(self.folder, self.name, self.dimension, self.frontend)

    def embed(self, audio: Any, *, sampling_rate: int | None = None, **options: Any) -> Embedding:
        """The vector of who speaks in a recording: a path, bytes, a file object, `-`, or an array.

        `sampling_rate` (Hz) is an array's, 16 kHz if not given; keyword arguments are the fields of `AudioOptions`. All
        of it is heard, pauses and other speakers as well. Raises AudioError or OptionError.
        """
        asked = _audio_options(options)
        return self._embedded([self._read(audio, sampling_rate, asked)], 1)[0]

    def embed_many(
        self, audios: Iterable[Any], *, batch_size: int = 16, **options: Any
    ) -> Iterator[tuple[int, Embedding | LiteratimError]]:
        """Many recordings in order, each with its number; one that fails is its error and stops no other."""
        asked = _audio_options(options)
        numbered = iter(enumerate(audios))
        while some := list(islice(numbered, batch_size)):
            read = [(number, self._attempt(audio, asked)) for number, audio in some]
            vectors = iter(self._embedded([sound for _, sound in read if isinstance(sound, _Sound)], batch_size))
            for number, sound in read:
                yield number, (next(vectors) if isinstance(sound, _Sound) else sound)

    def embed_features(self, features: Any) -> Embedding:
        """The vector of log-mel frames: a `.npy` file, or an array of shape (T, 80), (1, T, 80) or (80, T).

        They must be the front end's; that their mean was subtracted or not makes no difference. Raises AudioError.
        """
        bands = self.encoder.config.n_mels
        is_path = isinstance(features, (str, Path))
        frames = read_features(features, bands) if is_path else frames_of(features, bands, "the array")
        with devices.precision(self.precision, self.device):
            vector = self.encoder.embed_frames([frames])[0]
        return Embedding(vector, self.name)

    def compare(self, first: Any, second: Any, *, threshold: float | None = None, **options: Any) -> Comparison:
        """Whether two recordings, or two embeddings of this model, are of one speaker.

        `threshold` is the cosine from which they are, the model's own if not given.
        """
        cosine = float(np.dot(*(self._of(one, options).normalised for one in (first, second))))
        limit = self.threshold if threshold is None else threshold
        return Comparison(cosine, cosine >= limit, limit)

    def diarize(
        self,
        audio: Any,
        *,
        sampling_rate: int | None = None,
        progress_callback: Callable[[float], None] | None = None,
        **options: Any,
    ) -> Diarization:
        """Who speaks when in a recording, given as for `embed`; of any length, half a minute of it is held at a time.

        `progress_callback` is called with the share that is heard, where the recording says how long it is. Keyword
        arguments are the fields of `DiarizeOptions` and `AudioOptions`. Where two speak at once, the time is put down
        to the one who is heard more. Raises AudioError, OptionError, SpeakerBookError, and DependencyError for spectral
        clustering without its packages.
        """
        names = {item.name for item in fields(DiarizeOptions)}
        how = build(DiarizeOptions, {name: value for name, value in options.items() if name in names})
        asked = _audio_options({name: value for name, value in options.items() if name not in names})
        check_method(how.clustering)
        book = None if how.speaker_book is None else SpeakerBook(how.speaker_book, self)
        if book is not None:
            book.voices()  # what stands in its way is said before an hour is heard
        similarity = how.speaker_similarity
        if similarity is None:
            similarity = _cosine(self.folder, "cluster_similarity", SIMILARITY)
        stream = Stream(audio, sampling_rate=sampling_rate, options=asked)
        with devices.precision(self.precision, self.device):
            heard = turns.hear(_blocks(stream, progress_callback), detector(), self.encoder.embed_windows)
        wanted = Wanted(similarity, how.least, how.most, how.clustering)
        found = turns.diarize(heard, wanted, stream.seconds, stream.warnings)
        if book is None or not found.speakers:
            return found
        limit = self.threshold if how.speaker_threshold is None else how.speaker_threshold
        named = with_names(found, book.names(dict(zip(found.speakers, found.voices, strict=True)), limit))
        return replace(named, warnings=(*found.warnings, *book.warnings))

    def _of(self, one: Any, options: dict[str, Any]) -> Embedding:
        if not isinstance(one, Embedding):
            return self.embed(one, **options)
        if one.vector.shape != (self.dimension,) or one.model != self.name:
            raise OptionError(f"a vector of {one.model} is compared with {self.name}'s; embed both with one model")
        return one

    def _read(self, audio: Any, rate: float | None, options: AudioOptions) -> _Sound:
        recording = decode(audio, sampling_rate=rate, options=options)
        samples = torch.from_numpy(recording.samples[0])
        if not bool((samples.abs() > QUIET).any()):
            raise AudioContentError(f"{recording.name} is silent from end to end; there is no voice to be heard")
        return _Sound(samples, recording.duration, (*recording.warnings, *_remarks(samples)))

    def _attempt(self, audio: Any, options: AudioOptions) -> _Sound | LiteratimError:
        try:
            return self._read(audio, None, options)
        except LiteratimError as error:
            return error

    def _embedded(self, sounds: list[_Sound], batch_size: int) -> list[Embedding]:
        with devices.precision(self.precision, self.device):
            vectors = self.encoder.embed([sound.samples for sound in sounds], batch_size)
        return [
            Embedding(vector, self.name, sound.seconds, sound.warnings)
            for vector, sound in zip(vectors, sounds, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class _Sound:
    """Samples (S,) of a recording that can be heard."""

    samples: torch.Tensor
    seconds: float
    warnings: tuple[str, ...]


def _cosine(folder: Path, key: str, usual: float) -> float:
    """What a model's config.json says under a key; ModelFormatError where that is no cosine."""
    own = read_speaker(folder).config.get(key, usual)
    if isinstance(own, bool) or not isinstance(own, (int, float)) or not -1 <= own <= 1:
        raise ModelFormatError(f"{folder / 'config.json'}: {key} is {own!r}; a cosine from -1 to 1 is needed")
    return float(own)


def _blocks(stream: Stream, tell: Callable[[float], None] | None) -> Iterator[torch.Tensor]:
    """The samples of its one channel."""
    for block in stream:
        if tell is not None and stream.stated:
            tell(min(1.0, stream.seconds / stream.stated))
        yield torch.from_numpy(block[0].copy())


def _audio_options(options: dict[str, Any]) -> AudioOptions:
    asked = build(AudioOptions, options)
    if asked.channels == "split":
        raise OptionError("channels split: a vector is of one channel; give a channel's number, or mix")
    return asked


def _remarks(samples: torch.Tensor) -> tuple[str, ...]:
    """What is to be known of a recording whose voice is asked for."""
    seconds = len(samples) / SAMPLE_RATE
    told = []
    if seconds < SHORT:
        told.append(f"{seconds:.1f} s of sound tell little of a voice; give some seconds of speech")
    if not _holds_speech(samples):
        told.append("no speech was found in it: the vector tells nothing of a voice")
    return tuple(told)


def _holds_speech(samples: torch.Tensor) -> bool:
    """Whether somebody speaks, looked for from the beginning until it is certain."""
    listening, heard, piece = Detector(detector()), 0.0, 10 * SAMPLE_RATE
    for start in range(0, len(samples) + piece, piece):
        more = samples[start : start + piece]
        found = listening.push(more) if len(more) else listening.finish()
        heard += float((found >= SPEECH).sum()) * FRAME / SAMPLE_RATE
        if heard >= LEAST_SPEECH:
            return True
    return False
