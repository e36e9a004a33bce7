"""faster-whisper on whole recordings: its sequential loop and its batched pipeline."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from literatim.bench.long.ways import NO_DOUBT, Heard, Listener
from literatim.bench.runners.base import Setting, Setup, once, prompt, read_json
from literatim.bench.runners.faster_whisper import FasterWhisper, supported


class FasterWhisperLong(FasterWhisper, Listener):
    """WhisperModel.transcribe and BatchedInferencePipeline, with greedy search.

    It knows that a model has several languages by the size of its vocabulary, and fills each window up to 30 s: both
    are told what the model's files say, so that a model of another shape is heard with the very same weights.
    """

    package = "faster-whisper"
    libraries = ("faster_whisper",)
    settings = (
        Setting("sequential", "sequential", {}),
        Setting("batched-8", "batched 8", {"batch_size": 8}),
        Setting("batched-16", "batched 16", {"batch_size": 16}),
    )

    @classmethod
    def prepare(cls, folder: Path, dtype: str, setup: Setup) -> None:
        """By CTranslate2's converter, with the tokenizer and the features' settings beside it."""
        supported(dtype, setup)
        make = import_module("ctranslate2.converters").TransformersConverter
        converter = make(str(folder), copy_files=["tokenizer.json", "preprocessor_config.json"])
        once(setup.scratch / "ctranslate2-long", lambda path: converter.convert(str(path)))

    def _load(self) -> None:
        library, config = import_module("faster_whisper"), read_json(self.folder, "config.json")
        self._model = library.WhisperModel(
            str(self.setup.scratch / "ctranslate2-long"),
            device=self.setup.device.type,
            compute_type=self.dtype,
            cpu_threads=self.setup.threads,
        )
        self._model.max_length = config["max_target_positions"]
        self._model.model = _Multilingual(self._model.model)
        inner: Any = import_module("faster_whisper.transcribe")
        frames = self._model.feature_extractor.nb_max_frames
        inner.pad_or_trim = partial(import_module("faster_whisper.audio").pad_or_trim, length=frames)
        self._program = self._model
        if "batch_size" in self.setting.options:
            self._program = library.BatchedInferencePipeline(self._model)
        self._end, self._prompt = config["eos_token_id"], prompt(self.folder)

    def hear(self, audio: Path, language: str, tokens: int | None) -> Heard:
        """Its defaults but for the beam; its batched pipeline has no fallback, and decodes without timestamps."""
        how: dict[str, Any] = {"beam_size": 1, **self.setting.options}
        if tokens is not None:
            how |= {**NO_DOUBT, "log_prob_threshold": None, "without_timestamps": True}
            # CTranslate2 says half of the length that it is given, and the prompt is a part of that length
            how |= {"suppress_tokens": [-1, self._end], "max_new_tokens": 2 * tokens - len(self._prompt)}
            how |= {"condition_on_previous_text": False}
        segments = list(self._program.transcribe(str(audio), language=language, **how)[0])
        count = sum(token < self._end for segment in segments for token in segment.tokens)
        return Heard("".join(segment.text for segment in segments), count)


class _Multilingual:
    """CTranslate2's model, which has several languages whatever the size of its vocabulary."""

    is_multilingual = True

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)
