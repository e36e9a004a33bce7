"""transformers' generate with fused attention, which is its default for Whisper, and greedy, which is too."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch

from literatim.bench.runners.base import LANGUAGE, Ids, Runner, Setting, is_multilingual, read_json
from literatim.bench.windows import Windows


class Transformers(Runner):
    """WhisperForConditionalGeneration, assisted where there is a draft: one recording at a time then."""

    name, package = "transformers", "transformers"
    libraries = ("transformers.models.whisper.modeling_whisper",)
    settings: ClassVar[tuple[Setting, ...]] = (Setting("default", "greedy"),)

    def _load(self) -> None:
        kind = import_module("transformers").WhisperForConditionalGeneration
        dtype = getattr(torch, self.dtype)
        model = kind.from_pretrained(self.folder, dtype=dtype, attn_implementation="sdpa", local_files_only=True)
        self._model, self._dtype = model.to(self.setup.device).eval(), dtype
        self._how: dict[str, Any] = {}
        if self.setup.assistant is not None:
            self.most_rows = 1
            self._how["assistant_model"] = self._assistant(self.setup.assistant)
        self._spoken = {"task": "transcribe"} if is_multilingual(self.folder) else {}

    def _assistant(self, folder: Path) -> Any:
        """A decoder that shares the encoder where the encoders have one shape, as its documentation has it."""
        transformers, sizes = import_module("transformers"), ("d_model", "encoder_layers", "num_mel_bins")
        own, main = (read_json(place, "config.json") for place in (folder, self.folder))
        shares = all(own[size] == main[size] for size in sizes)
        kind = transformers.WhisperForCausalLM if shares else transformers.WhisperForConditionalGeneration
        found = kind.from_pretrained(folder, dtype=self._dtype, attn_implementation="sdpa", local_files_only=True)
        return found.to(self.setup.device).eval()

    def _language(self, code: str | None) -> dict[str, Any]:
        return {**self._spoken, "language": code} if self._spoken and code else self._spoken

    @torch.inference_mode()
    def encode(self, windows: Windows) -> None:
        """The encoder module."""
        self._model.get_encoder()(windows.features.to(self.setup.device, self._dtype))

    @torch.inference_mode()
    def run(self, windows: Windows, tokens: int) -> Ids:
        """`min_new_tokens` forbids the end of text until `max_new_tokens`."""
        output = self._model.generate(
            windows.features.to(self.setup.device, self._dtype),
            return_timestamps=False,
            do_sample=False,
            num_beams=1,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            **self._how,
            **self._language(LANGUAGE),
        )
        # a row that it cut short, as it does after timestamps, is filled up with the end of text
        end = self._model.generation_config.eos_token_id
        rows: Ids = output[:, -tokens:].tolist()
        return [row[: row.index(end)] if end in row else row for row in rows]

    @torch.inference_mode()
    def transcribe(self, audio: Path, language: str | None) -> str:
        """Its sequential long form, with the sound as our decoder reads it."""
        decode = import_module("literatim.audio.decode").decode
        processor = import_module("transformers").WhisperProcessor.from_pretrained(self.folder, local_files_only=True)
        samples, window = decode(audio).samples[0], processor.feature_extractor.n_samples
        longer = {"truncation": False, "padding": "longest", "return_attention_mask": True}
        how: dict[str, Any] = longer if len(samples) > window else {}
        inputs = processor(samples, sampling_rate=16_000, return_tensors="pt", **how)
        given = {name: value.to(self.setup.device) for name, value in inputs.items()}
        given["input_features"] = given["input_features"].to(self._dtype)
        output = self._model.generate(**given, return_timestamps=True, **self._how, **self._language(language))
        text: str = processor.batch_decode(output, skip_special_tokens=True)[0]
        return text
