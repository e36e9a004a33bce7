"""What callers use: `load` a checkpoint, then `transcribe` with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from literatim import device as devices
from literatim import hub
from literatim.declare import build
from literatim.decode.pace import Pace
from literatim.errors import LiteratimError, ModelFormatError, OptionError
from literatim.models.checkpoint import load_whisper
from literatim.models.folder import read_folder
from literatim.models.medasr_config import MODEL_TYPE
from literatim.models.speaker_config import is_speaker_type
from literatim.models.whisper import Whisper
from literatim.naming import Names, Outcome, outcomes
from literatim.options import (
    AudioOptions,
    HubOptions,
    LiveOptions,
    LoadOptions,
    TranscribeOptions,
    VadOptions,
)
from literatim.pipeline import dictation, dictation_options
from literatim.pipeline import transcribe as pipeline
from literatim.pipeline.assistant import Assistant, load_assistant
from literatim.pipeline.engine import Engine
from literatim.pipeline.language import checked
from literatim.pipeline.listener import Listener, load_listener
from literatim.pipeline.live import Live
from literatim.pipeline.reading import Job, Reading
from literatim.pipeline.recordings import Recordings
from literatim.pipeline.strategy import are_several, resolved
from literatim.text.tokenizer import WhisperTokenizer
from literatim.types import Segment, Transcript

__all__ = ["KINDS", "MedasrRecognizer", "Outcome", "Recognizer", "load"]
KINDS = ("whisper", MODEL_TYPE)  # of config.json's model_type
_ALIASES = {"log_prob_threshold": "logprob_threshold"}  # faster-whisper's spelling
_AUDIO_NAMES = frozenset(item.name for item in fields(AudioOptions))
_VAD_NAMES = frozenset(item.name for item in fields(VadOptions))


def load(name_or_path: str | Path | None = None, **options: Any) -> Recognizer:
    """Load a speech model: a short name, a Hugging Face id, a local folder or `demo`.

    Without a name it is `LITERATIM_MODEL`, else `openai/whisper-small`; never a demonstration model. Keyword
    arguments are the fields of `LoadOptions` (device, dtype, assistant, ...) and `HubOptions` (model_dir, revision,
    hub, local_files_only). Raises ModelNotFound, ModelFormatError, DeviceError or OptionError; gives a
    DeviceWarning for what `Recognizer.warnings` then holds.
    """
    hub_names = {item.name for item in fields(HubOptions)}
    where = build(HubOptions, {name: value for name, value in options.items() if name in hub_names})
    how = build(LoadOptions, {name: value for name, value in options.items() if name not in hub_names})
    device, *more = devices.several(how.device, how.device_index)
    if more:
        raise OptionError(f"a recognizer is on one device, not on {how.device_index}; several are a literatim.Fleet")
    dtype = devices.dtype_of(how.dtype, device)
    name = str(name_or_path) if name_or_path is not None else hub.default_model()
    path = hub.resolve(name, where)
    folder = read_folder(path)
    if folder.model_type not in KINDS:
        known = " and ".join(KINDS)
        voices = "; load_speaker takes it, and `literatim embed`" if is_speaker_type(folder.model_type) else ""
        raise ModelFormatError(f"{name}: a model of type {folder.model_type!r}; text is made by {known}{voices}")
    is_medasr = folder.model_type == MODEL_TYPE
    if is_medasr:
        dictation_options.check_load(how)
    remarks = devices.remarks(device, how.device)
    for remark in remarks:
        warnings.warn(remark, devices.DeviceWarning, stacklevel=2)
    if is_medasr:
        listener = load_listener(path, dtype, device)
        recognizer: Recognizer = MedasrRecognizer(listener, name, precision=how.precision, warnings=remarks)
        recognizer.where = where
        return recognizer
    model = load_whisper(path, dtype, device)
    tokenizer = WhisperTokenizer.from_folder(path, folder.generation_config, folder.config)
    assistant = _assistant(how, hub.find_assistant(how.assistant, name, where), path, model, tokenizer)
    engine = Engine(model, tokenizer, folder.generation_config, assistant)
    if how.num_assistant_tokens is not None:
        engine.pace = Pace(how.num_assistant_tokens)
    recognizer = Recognizer(engine, name, precision=how.precision, warnings=remarks)
    recognizer.where = where
    return recognizer


def _assistant(
    how: LoadOptions, found: tuple[str, Path] | None, path: Path, model: Whisper, tokenizer: WhisperTokenizer
) -> Assistant | None:
    """The assistant, loaded. One that nobody asked for must hear with the model's encoder and stops no work."""
    if found is None:
        return None
    name, folder = found
    if how.assistant != "auto":
        return load_assistant(folder, name, path, model, tokenizer)
    try:
        assistant = load_assistant(folder, name, path, model, tokenizer)
    except LiteratimError as error:
        warnings.warn(f"the assistant {name} is left out: {error}", stacklevel=3)
        return None
    return assistant if assistant.shares else None


class Recognizer:
    """A loaded speech-to-text model. One at a time: it is not safe to call from two threads at once."""

    model_type = "whisper"  # of its config.json
    where = HubOptions()  # where it came from, and what names speakers comes from

    def __init__(
        self, engine: Engine, name: str, *, precision: str = "default", warnings: tuple[str, ...] = ()
    ) -> None:
        self._engine = engine
        self.name = name
        self.precision = precision
        self.warnings = warnings  # what a user should know of the device

    @property
    def device(self) -> torch.device:
        """Where the weights are: what `auto` came to."""
        return self._engine.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype the network computes in."""
        return self._engine.model.decoder.positions.dtype

    @property
    def assistant(self) -> str | None:
        """Name of the model that proposes tokens, None without one."""
        return None if self._engine.assistant is None else self._engine.assistant.name

    @property
    def assistant_remark(self) -> str:
        """Whether the assistant hears with the model's encoder or with its own, and why."""
        assistant = self._engine.assistant
        if assistant is None:
            return ""
        return assistant.reason if assistant.shares else f"runs its own encoder: {assistant.reason}"

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages the model knows."""
        return tuple(self._engine.tokenizer.languages) or ("en",)

    def transcribe(
        self,
        audio: Any,
        *,
        sampling_rate: int | None = None,
        on_segment: Callable[[Segment], None] | None = None,
        progress_callback: Callable[[float], None] | None = None,
        **options: Any,
    ) -> Transcript:
        """The text of one recording: a path, bytes, a file object, `-` for standard input, or an array.

        `sampling_rate` (Hz) is an array's, 16 kHz if not given; `on_segment` is called with each segment as soon as
        it is ready, `progress_callback` with the share done, from 0 to 1, after each window. Keyword arguments are
        the fields of `TranscribeOptions`, `VadOptions` and `AudioOptions`. With `channels="split"` each channel is
        transcribed apart and is a speaker of the result; with `diarize=True` and the fields of `NamingOptions` and
        `DiarizeOptions` it says who says what, which `on_segment` cannot know yet. Raises AudioError or OptionError.
        """
        naming, options = self._names.asked(options)
        job = self._job(options)
        audio = audio if naming is None else naming.readable(audio)
        work, ready = self._reading(job, [(audio, sampling_rate)]), list[Transcript]()
        for progress in self._run(work.tracks(), job.text):
            for segment in work.take(progress):
                if on_segment is not None:
                    on_segment(segment)
            _raise(work)
            if progress_callback is not None:
                progress_callback(work.done)
            ready += [transcript for _, transcript in work.finished()]
        _raise(work)
        found = (ready + [transcript for _, transcript in work.finished()])[0]
        return found if naming is None else naming.named(found, audio, sampling_rate)

    def stream(self, audio: Any, *, sampling_rate: int | None = None, **options: Any) -> Iterator[Segment]:
        """The segments of one recording as they become ready; arguments as for `transcribe`, but for speakers."""
        job = self._job(self._names.unasked(options, "a segment comes before all voices are heard; use transcribe"))
        work = self._reading(job, [(audio, sampling_rate)])
        for progress in self._run(work.tracks(), job.text):
            yield from work.take(progress)
            _raise(work)
        _raise(work)

    @cached_property
    def _names(self) -> Names:
        return Names(self.name, self.device, self.where)

    def _reading(self, job: Job, audios: Iterable[tuple[Any, float | None]]) -> Reading[Any]:
        """Recordings on their way, each with its sampling rate where that is known."""
        return Recordings(self._engine, job, audios)

    def _windows(self, tracks: Iterable[Any], options: TranscribeOptions) -> Iterator[Any]:
        """What becomes of tracks, window by window."""
        return pipeline.run(self._engine, tracks, options)

    def _run(self, tracks: Iterable[Any], options: TranscribeOptions) -> Iterator[Any]:
        """The windows under this recognizer's precision, which holds while it works and not while a caller does."""
        windows = self._windows(tracks, options)
        while True:
            with devices.precision(self.precision, self.device):
                progress = next(windows, None)
            if progress is None:
                return
            yield progress

    def transcribe_many(
        self, audios: Iterable[Any], *, progress_callback: Callable[[float], None] | None = None, **options: Any
    ) -> Iterator[Outcome]:
        """Many recordings, `batch_size` at a time, as they finish; one that fails is an Outcome with its error.

        `progress_callback` is given the number of recordings done so far, those under way counted in part.
        """
        naming, options = self._names.asked(options)
        job, held = self._job(options, several=are_several(audios)), dict[int, Any]()
        if naming is not None:
            audios = naming.kept(audios, held)
        work = self._reading(job, ((audio, None) for audio in audios))
        for progress in self._run(work.tracks(), job.text):
            work.take(progress)
            yield from outcomes(work, naming, held)
            if progress_callback is not None:
                progress_callback(work.done)
        yield from outcomes(work, naming, held)

    def live(self, **options: Any) -> Live:
        """A stream that is heard while it comes in; keyword arguments are `TranscribeOptions` and `LiveOptions`.

            for update in model.live(language="en").listen(chunks):
                print(*(segment.text for segment in update.segments))  # final; update.partial may still change

        Chunks are samples at 16 kHz. Raises OptionError.
        """
        options = self._names.unasked(options, "a stream's voices are not told apart; diarize a recording of it")
        names = {item.name for item in fields(LiveOptions)}
        how = build(LiveOptions, {name: value for name, value in options.items() if name in names})
        unheard = sorted((_AUDIO_NAMES | _VAD_NAMES) & options.keys())
        if unheard:
            raise OptionError(f"{', '.join(unheard)}: for recordings; a stream is one channel at 16 kHz")
        job = self._job({name: value for name, value in options.items() if name not in names})
        if job.text.strategy == "chunked":
            raise OptionError("chunks are cut from recordings; a stream has windows that grow: leave chunked out")
        return Live(self._engine, self._run, job.text, how)

    def _job(self, options: dict[str, Any], *, several: bool = False) -> Job:
        asked, engine = _asked(options), self._engine
        text = resolved(asked.text, several)
        text.check()
        return replace(asked, text=checked(text, engine.tokenizer, engine.config, engine.generation_config))


class MedasrRecognizer(Recognizer):
    """A loaded MedASR. Not for clinical use: what it writes must be read by somebody who knows what was said."""

    model_type = MODEL_TYPE

    def __init__(
        self, listener: Listener, name: str, *, precision: str = "default", warnings: tuple[str, ...] = ()
    ) -> None:
        self._listener = listener
        self.name = name
        self.precision = precision
        self.warnings = warnings

    @property
    def device(self) -> torch.device:
        """Where the weights are: what `auto` came to."""
        return self._listener.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype the network computes in."""
        return self._listener.dtype

    @property
    def assistant(self) -> str | None:
        """None: all tokens of a window are said at once."""
        return None

    @property
    def assistant_remark(self) -> str:
        """Nothing."""
        return ""

    @property
    def languages(self) -> tuple[str, ...]:
        """English alone."""
        return (dictation.LANGUAGE,)

    def live(self, **options: Any) -> Live:  # noqa: ARG002 (refused, whatever they are)
        """Refused with an OptionError: MedASR hears windows of a recording."""
        raise OptionError("MedASR hears recordings, not streams that are still coming in; give it the whole recording")

    def _reading(self, job: Job, audios: Iterable[tuple[Any, float | None]]) -> Reading[Any]:
        return dictation.Dictations(self._listener, job, audios)

    def _windows(self, tracks: Iterable[Any], options: TranscribeOptions) -> Iterator[Any]:
        return dictation.run(self._listener, tracks, options)

    def _job(self, options: dict[str, Any], *, several: bool = False) -> Job:  # noqa: ARG002 (it makes no difference)
        asked = _asked(options)
        return replace(asked, text=dictation_options.checked(asked.text, asked.vad))


def _asked(options: dict[str, Any]) -> Job:
    """Keyword arguments as options."""
    given = {_ALIASES.get(name, name): value for name, value in options.items()}
    audio = build(AudioOptions, {name: value for name, value in given.items() if name in _AUDIO_NAMES})
    vad = build(VadOptions, {name: value for name, value in given.items() if name in _VAD_NAMES})
    rest = {name: value for name, value in given.items() if name not in _AUDIO_NAMES | _VAD_NAMES}
    return Job(audio, build(TranscribeOptions, rest), vad)


def _raise(work: Reading[Any]) -> None:
    """The error of the recording, where there is one."""
    for _, error in work.failed():
        raise error
