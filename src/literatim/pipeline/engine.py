"""One Whisper checkpoint, ready to work: features, encoder, cache, rules. What the loops above stand on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from literatim import device as devices
from literatim.audio import mel
from literatim.decode.greedy import Decoded, Prompts, detect_language, greedy
from literatim.decode.rules import Rules
from literatim.models.linear import pack
from literatim.models.screen import Screen
from literatim.models.whisper import DecoderCache, Whisper
from literatim.options import TranscribeOptions
from literatim.pipeline import shapes
from literatim.pipeline.lacking import explained
from literatim.pipeline.steps import FullStep, ScreenedStep
from literatim.text.tokenizer import WhisperTokenizer

SCREENED = 4_000_000  # entries of an output matrix from which the int8 screen is faster; the smaller ones stay in cache


class Engine:
    """A network with its tokenizer on one device. Not for two threads at once: the cache is shared."""

    def __init__(self, model: Whisper, tokenizer: WhisperTokenizer, generation_config: Mapping[str, Any]) -> None:
        self.model, self.tokenizer, self.generation_config = model, tokenizer, generation_config
        self.config = model.config
        self.device = model.decoder.positions.device
        if devices.packs_linear(self.device, model.decoder.positions.dtype):
            pack(model)
        self._cache: DecoderCache | None = None
        self._screen = self._make_screen()
        ids = list(tokenizer.languages.values())
        self._languages = torch.tensor(ids, dtype=torch.long, device=self.device)

    def features(self, samples: Tensor, seek: int, frames: int, peak: float) -> Tensor:
        """The window's log-mel (M, T), zeros after its `frames` as in openai/whisper; on the CPU, float32."""
        content = mel.normalise(mel.frames_of(samples, seek, frames, self.config.n_mels), peak)
        return torch.nn.functional.pad(content, (0, self.config.window_frames - frames))

    def rules(self, options: TranscribeOptions) -> Rules:
        """The rules that hold under these options."""
        tokenizer, stamps = self.tokenizer, None
        if not options.without_timestamps:
            initial = round(options.max_initial_timestamp / tokenizer.time_precision)
            begin = tokenizer.timestamp_begin
            stamps = (begin, tokenizer.timestamp_end, begin + initial + 1)
        suppress = tokenizer.suppress_tokens(options.suppress_tokens, self.generation_config)
        first = tokenizer.begin_suppress(self.generation_config)
        return Rules.make(self.config.vocab_size, tokenizer.eot, suppress, first, stamps, self.device)

    @torch.inference_mode()
    def listen(self, windows: Sequence[Tensor]) -> FullStep:
        """Encode windows (each (M, T)) into the cache: the step function that decodes them."""
        with explained(self.model, self.device):
            rows = shapes.rows(len(windows), self.device)
            cache = self._rows(rows)
            self._encode(torch.stack([*windows, *[windows[-1]] * (rows - len(windows))]), cache)
            return FullStep(self.model.decoder, cache, len(windows))

    def _encode(self, mel: Tensor, cache: DecoderCache) -> None:
        """(B, M, T) into the cache. On a CPU row by row: one window fills the cores, and its data their caches."""
        batch = mel.to(self.device, self.model.encoder.positions.dtype)
        size = 1 if self.device.type == "cpu" else len(batch)
        for start in range(0, len(batch), size):
            rows = slice(start, start + size)
            self.model.decoder.listen(self.model.encoder(batch[rows]), cache, rows)

    def _make_screen(self) -> Screen | None:
        """Where reading the output matrix is most of a step: on a CPU that multiplies int8 fast."""
        decoder = self.model.decoder
        weight = decoder.tokens.weight if decoder.head is None else decoder.head
        worth = weight.numel() >= SCREENED and devices.multiplies_int8(self.device)
        return Screen(weight, self.tokenizer.eot) if worth else None

    def _rows(self, rows: int) -> DecoderCache:
        """A cache of exactly `rows` rows, views of one that grows to the largest batch seen."""
        if self._cache is None or self._cache.batch < rows:
            self._cache = None  # free it before the larger one is made
            self._cache = self.model.decoder.allocate(rows)
        return self._cache.part(0, rows)

    @torch.inference_mode()
    def languages(self, step: FullStep) -> list[tuple[str, float]]:
        """Each row's likeliest language and its probability among the languages."""
        with explained(self.model, self.device):
            probabilities = detect_language(step, step.rows, self.tokenizer.sot, self._languages)
            best, index = (found.tolist()[: step.wanted] for found in probabilities.max(-1))
        codes = list(self.tokenizer.languages)
        return [(codes[at], p) for at, p in zip(index, best, strict=True)]

    @torch.inference_mode()
    def decode(self, step: FullStep, prompts: Sequence[Sequence[int]], rules: Rules, most: int | None) -> list[Decoded]:
        """Greedy decoding of the rows; by default half the context, as openai/whisper's `sample_len`."""
        context, filling = self.config.target_positions, step.rows - len(prompts)
        limits = [min(most or context // 2, context - len(prompt) + 1) for prompt in prompts]
        padded = [*prompts, *[prompts[-1]] * filling]
        width = shapes.prompt_width(max(map(len, prompts)), context, self.device)
        quiet = self.tokenizer.no_speech
        with explained(self.model, self.device):
            batch = Prompts.make(padded, self.tokenizer.sot, self.device, width)
            counts = torch.tensor([*limits, *[1] * filling], dtype=torch.int32)
            if self._screen is None:
                results = greedy(step, batch, rules, quiet, counts)
            else:
                screened = ScreenedStep(step, self._screen, rules.suppressed)
                results = greedy(screened, batch, rules, quiet, counts, screened.exact)
        if not all(math.isfinite(result.sum_logprob) for result in results):
            self._cache = None  # a NaN in it would spread even from positions that are masked
        return results[: len(prompts)]
