"""What callers use: `load` a checkpoint, then `transcribe` with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from literatim import device as devices
from literatim import hub
from literatim.audio.decode import Recording, decode
from literatim.decode.pace import Pace
from literatim.errors import LiteratimError, ModelFormatError, OptionError
from literatim.models.checkpoint import load_whisper
from literatim.models.folder import read_folder
from literatim.models.whisper import Whisper
from literatim.options import AudioOptions, HubOptions, LiveOptions, LoadOptions, TranscribeOptions, build
from literatim.pipeline import transcribe as pipeline
from literatim.pipeline.assistant import Assistant, load_assistant
from literatim.pipeline.engine import Engine
from literatim.pipeline.language import checked
from literatim.pipeline.live import Live
from literatim.text.tokenizer import WhisperTokenizer
from literatim.types import Segment, Transcript

_ALIASES = {"log_prob_threshold": "logprob_threshold"}  # faster-whisper's spelling
_AUDIO_NAMES = frozenset(item.name for item in fields(AudioOptions))


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
    if folder.model_type != "whisper":
        raise ModelFormatError(f"{name}: a model of type {folder.model_type!r}; this version knows whisper")
    model = load_whisper(path, dtype, device)
    tokenizer = WhisperTokenizer.from_folder(path, folder.generation_config, folder.config)
    remarks = devices.remarks(device, how.device)
    for remark in remarks:
        warnings.warn(remark, devices.DeviceWarning, stacklevel=2)
    assistant = _assistant(how, hub.find_assistant(how.assistant, name, where), path, model, tokenizer)
    engine = Engine(model, tokenizer, folder.generation_config, assistant)
    if how.num_assistant_tokens is not None:
        engine.pace = Pace(how.num_assistant_tokens)
    return Recognizer(engine, name, precision=how.precision, warnings=remarks)


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


@dataclass(frozen=True)
class Outcome:
    """What became of one of several recordings: a transcript, or the error that stopped it."""

    index: int
    transcript: Transcript | None
    error: LiteratimError | None = None


class Recognizer:
    """A loaded speech-to-text model. One at a time: it is not safe to call from two threads at once."""

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
        the fields of `TranscribeOptions` and `AudioOptions`. With `channels="split"` each channel is transcribed
        apart and is a speaker of the result. Raises AudioError or OptionError.
        """
        job = self._job(options)
        recording = decode(audio, sampling_rate=sampling_rate, options=job.audio)
        tracks = self._tracks(0, recording, job.text)
        for progress in self._run(tracks, job.text):
            for segment in progress.segments:
                if on_segment is not None:
                    on_segment(_labelled(segment, recording, progress.track))
            if progress_callback is not None:
                progress_callback(_share(recording, tracks))
        return _transcript(recording, tracks)

    def stream(self, audio: Any, *, sampling_rate: int | None = None, **options: Any) -> Iterator[Segment]:
        """The segments of one recording, each as soon as it is ready; arguments as for `transcribe`."""
        job = self._job(options)
        recording = decode(audio, sampling_rate=sampling_rate, options=job.audio)
        yield from self._segments(recording, self._tracks(0, recording, job.text), job.text)

    def _segments(
        self, recording: Recording, tracks: list[pipeline.Track], options: TranscribeOptions
    ) -> Iterator[Segment]:
        for progress in self._run(tracks, options):
            for segment in progress.segments:
                yield _labelled(segment, recording, progress.track)

    def _run(self, tracks: Iterable[pipeline.Track], options: TranscribeOptions) -> Iterator[pipeline.Progress]:
        """`pipeline.run` under this recognizer's precision, which holds while it works and not while a caller does."""
        windows = pipeline.run(self._engine, tracks, options)
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
        job = self._job(options)
        work = _ManyRecordings(self, audios, job)
        for progress in self._run(work.tracks(), job.text):
            yield from work.failed()
            if progress.finished:
                yield from work.finished(progress.track)
            if progress_callback is not None:
                progress_callback(work.done)
        yield from work.failed()

    def live(self, **options: Any) -> Live:
        """A stream that is heard while it comes in; keyword arguments are `TranscribeOptions` and `LiveOptions`.

            for update in model.live(language="en").listen(chunks):
                print(*(segment.text for segment in update.segments))  # final; update.partial may still change

        Chunks are samples at 16 kHz. Raises OptionError.
        """
        names = {item.name for item in fields(LiveOptions)}
        how = build(LiveOptions, {name: value for name, value in options.items() if name in names})
        unheard = sorted(_AUDIO_NAMES & options.keys())
        if unheard:
            raise OptionError(f"{', '.join(unheard)}: for recordings; a stream is one channel at 16 kHz")
        job = self._job({name: value for name, value in options.items() if name not in names})
        return Live(self._engine, self._run, job.text, how)

    def _job(self, options: dict[str, Any]) -> _Job:
        given = {_ALIASES.get(name, name): value for name, value in options.items()}
        audio = build(AudioOptions, {name: value for name, value in given.items() if name in _AUDIO_NAMES})
        text = build(TranscribeOptions, {name: value for name, value in given.items() if name not in _AUDIO_NAMES})
        engine = self._engine
        return _Job(audio, checked(text, engine.tokenizer, engine.config, engine.generation_config))

    def _tracks(self, index: int, recording: Recording, options: TranscribeOptions) -> list[pipeline.Track]:
        begin = pipeline.begin
        tensors = [torch.from_numpy(samples) for samples in recording.samples]
        return [begin(self._engine, index, at, samples, options) for at, samples in enumerate(tensors)]


@dataclass(frozen=True)
class _Job:
    audio: AudioOptions
    text: TranscribeOptions


class _ManyRecordings:
    """Reads recordings one after another as the decoder asks for them, and puts their channels together again."""

    def __init__(self, recognizer: Recognizer, audios: Iterable[Any], job: _Job) -> None:
        self._recognizer, self._audios, self._job = recognizer, audios, job
        self._open: dict[int, tuple[Recording, list[pipeline.Track]]] = {}
        self._errors: list[Outcome] = []
        self._ended = 0

    @property
    def done(self) -> float:
        """Recordings finished or failed, and the parts of those under way."""
        return self._ended + sum(_share(recording, tracks) for recording, tracks in self._open.values())

    def tracks(self) -> Iterator[pipeline.Track]:
        """Every channel of every recording that can be read."""
        for index, audio in enumerate(self._audios):
            try:
                recording = decode(audio, options=self._job.audio)
                tracks = self._recognizer._tracks(index, recording, self._job.text)
            except LiteratimError as error:
                self._errors.append(Outcome(index, None, error))
                self._ended += 1
                continue
            self._open[index] = (recording, tracks)
            yield from tracks

    def failed(self) -> Iterator[Outcome]:
        """The recordings that could not be read since the last call."""
        while self._errors:
            yield self._errors.pop(0)

    def finished(self, track: pipeline.Track) -> Iterator[Outcome]:
        """The recording of a finished track, once all its channels are."""
        recording, tracks = self._open[track.key]
        if all(other.walk.window is None for other in tracks):
            del self._open[track.key]
            self._ended += 1
            yield Outcome(track.key, _transcript(recording, tracks))


def _share(recording: Recording, tracks: list[pipeline.Track]) -> float:
    """How much of a recording is decoded, from 0 to 1; its last tenth of a frame is in no window."""
    walked = sum(1.0 if track.walk.window is None else track.done / recording.duration for track in tracks)
    return walked / len(tracks)


def _labelled(segment: Segment, recording: Recording, track: pipeline.Track) -> Segment:
    """The segment with its channel as the speaker, where channels were transcribed apart."""
    if len(recording.samples) == 1:
        return segment
    return replace(segment, speaker=f"CHANNEL_{recording.channels[track.channel]:02d}")


def _transcript(recording: Recording, tracks: list[pipeline.Track]) -> Transcript:
    """Channels merged in order of time; the language is the first channel's."""
    segments = [_labelled(segment, recording, track) for track in tracks for segment in track.segments]
    warnings = list(recording.warnings)
    if len(tracks) > 1:
        segments = sorted(segments, key=lambda segment: (segment.start, segment.end))
        segments = [replace(segment, id=number) for number, segment in enumerate(segments)]
        if len({track.language for track in tracks}) > 1:
            found = ", ".join(f"{at}: {track.language}" for at, track in enumerate(tracks))
            warnings.append(f"the channels are in different languages ({found})")
    warnings += dict.fromkeys(remark for track in tracks for remark in track.remarks)
    figures = [track.speculation for track in tracks if track.speculation is not None]
    if not segments:
        warnings.append("no speech was found")
    return Transcript(
        text="".join(segment.text for segment in segments),
        language=tracks[0].language or "",
        language_probability=tracks[0].language_probability,
        duration=recording.duration,
        segments=tuple(segments),
        speakers=tuple(dict.fromkeys(segment.speaker for segment in segments if segment.speaker)),
        warnings=tuple(warnings),
        speculation=sum(figures[1:], figures[0]) if figures else None,
    )
