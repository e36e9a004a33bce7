"""transformers on whole recordings: its long form, and chunks that overlap."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from literatim.bench.long.ways import Heard, Listener
from literatim.bench.runners.base import Setting, Unmeasurable
from literatim.bench.runners.transformers import Transformers


class TransformersLong(Transformers, Listener):
    """generate's own long form, and the pipeline's overlapping chunks with eight of them together."""

    settings = (
        Setting("sequential", "sequential", {}),
        Setting("chunked-8", "chunked 8", {"batch_size": 8}),
    )

    def _load(self) -> None:
        super()._load()
        transformers = import_module("transformers")
        self._processor = transformers.WhisperProcessor.from_pretrained(self.folder, local_files_only=True)
        extractor, tokenizer = self._processor.feature_extractor, self._processor.tokenizer
        if tokenizer.pad_token_id is None:  # made-up tokenizers have none, and the pipeline wants one
            tokenizer.pad_token_id = self._model.config.eos_token_id
        self._pipeline: Any = None
        if "batch_size" in self.setting.options:
            self._pipeline = transformers.pipeline(
                "automatic-speech-recognition",
                model=self._model,
                tokenizer=tokenizer,
                feature_extractor=extractor,
                chunk_length_s=extractor.chunk_length,
                dtype=self._dtype,
            )

    @torch.inference_mode()
    def hear(self, audio: Path, language: str, tokens: int | None) -> Heard:
        """With its defaults; its long form goes on by timestamps, so that it can't say a number of tokens."""
        if self._pipeline is None:
            return self._sequential(audio, language, tokens)
        samples = import_module("literatim.audio.decode").decode(audio).samples[0]
        how: dict[str, Any] = self._language(language)
        how |= {} if tokens is None else {"min_new_tokens": tokens, "max_new_tokens": tokens}
        windows = _Count(self._model.generate)
        self._model.generate = windows
        text: str = self._pipeline(samples, generate_kwargs=how, **self.setting.options)["text"]
        del self._model.generate
        return Heard(text, self._count(text) if tokens is None else windows.rows * tokens)

    def _sequential(self, audio: Path, language: str, tokens: int | None) -> Heard:
        if tokens is not None:
            raise Unmeasurable("its long form goes on by timestamps, which are made up where weights are random")
        text = self.transcribe(audio, language)
        return Heard(text, self._count(text))

    def _count(self, text: str) -> int:
        return len(self._processor.tokenizer(text, add_special_tokens=False).input_ids)


class _Count:
    """A function that generates, and how many windows it was given."""

    def __init__(self, generate: Callable[..., Any]) -> None:
        self._generate, self.rows = generate, 0

    def __call__(self, *given: Any, **named: Any) -> Any:
        output = self._generate(*given, **named)
        self.rows += len(output)
        return output
