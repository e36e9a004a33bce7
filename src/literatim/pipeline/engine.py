"""One Whisper checkpoint, ready to work: features, encoder, cache, rules. What the loops above stand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from literatim.audio import mel
from literatim.decode.greedy import Decoded, Prompts, Step, detect_language, greedy
from literatim.decode.rules import Rules
from literatim.models.whisper import DecoderCache, Whisper
from literatim.options import TranscribeOptions
from literatim.text.tokenizer import WhisperTokenizer

CACHE_BLOCK = 64  # positions; attention looks at whole blocks, so that few shapes occur


class Engine:
    """A network with its tokenizer on one device. Not for two threads at once: the cache is shared."""

    def __init__(self, model: Whisper, tokenizer: WhisperTokenizer, generation_config: Mapping[str, Any]) -> None:
        self.model, self.tokenizer, self.generation_config = model, tokenizer, generation_config
        self.config = model.config
        self.device = model.decoder.positions.device
        self._cache: DecoderCache | None = None
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
    def listen(self, windows: Sequence[Tensor]) -> Step:
        """Encode windows (each (M, T)) into the cache: the step function that decodes them."""
        rows = len(windows)
        batch = torch.stack(list(windows)).to(self.device, self.model.encoder.positions.dtype)  # (B, M, T)
        cache = self._rows(rows)
        self.model.decoder.listen(self.model.encoder(batch), cache)

        def step(tokens: Tensor, lengths: Tensor, limit: int, wanted: Tensor) -> Tensor:
            bound = min(-(-limit // CACHE_BLOCK) * CACHE_BLOCK, cache.size)
            hidden = self.model.decoder(tokens, lengths, cache, bound)  # (B, K, D)
            if tokens.shape[1] > 1:
                hidden = hidden.gather(1, wanted[..., None].expand(-1, -1, hidden.shape[-1]))  # (B, P, D)
            return self.model.decoder.logits(hidden)

        return step

    def _rows(self, rows: int) -> DecoderCache:
        """A cache of exactly `rows` rows, views of one that grows to the largest batch seen."""
        if self._cache is None or self._cache.batch < rows:
            self._cache = None  # free it before the larger one is made
            self._cache = self.model.decoder.allocate(rows)
        return self._cache.first(rows)

    @torch.inference_mode()
    def languages(self, step: Step, rows: int) -> list[tuple[str, float]]:
        """Each row's likeliest language and its probability among the languages."""
        probabilities = detect_language(step, rows, self.tokenizer.sot, self._languages)
        best, index = probabilities.max(-1)
        codes = list(self.tokenizer.languages)
        return [(codes[at], float(p)) for at, p in zip(index.tolist(), best.tolist(), strict=True)]

    @torch.inference_mode()
    def decode(self, step: Step, prompts: Sequence[Sequence[int]], rules: Rules, most: int | None) -> list[Decoded]:
        """Greedy decoding of the rows; by default half the context, as openai/whisper's `sample_len`."""
        context = self.config.target_positions
        rows = [min(most or context // 2, context - len(prompt) + 1) for prompt in prompts]
        limits = torch.tensor(rows, device=self.device)
        batch = Prompts.make(prompts, self.tokenizer.sot, self.device)
        return greedy(step, batch, rules, self.tokenizer.no_speech, limits)
