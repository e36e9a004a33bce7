"""One Whisper checkpoint, ready to work: features, encoder, cache, rules. What the loops above stand on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from literatim import device as devices
from literatim.audio import mel
from literatim.decode.guard import Guard
from literatim.decode.network import detect_language
from literatim.decode.noise import Noise
from literatim.decode.pace import AdaptivePace, Pace
from literatim.decode.rows import Decoded, Request
from literatim.decode.rules import Rules
from literatim.decode.speculative import Batch, Vocabulary, decode
from literatim.models.alignment_heads import alignment_heads
from literatim.models.linear import pack
from literatim.models.native_screen import AnyScreen, screen
from literatim.models.whisper import Encoder, Whisper
from literatim.options import TranscribeOptions
from literatim.pipeline import shapes
from literatim.pipeline.assistant import Assistant
from literatim.pipeline.lacking import explained
from literatim.pipeline.steps import Cache, CachedDecoder, fastest
from literatim.text.tokenizer import WhisperTokenizer

SCREENED = 4_000_000  # entries of an output matrix from which the int8 screen is faster; the smaller ones stay in cache


class Engine:
    """A network with its tokenizer and its assistant on one device. Not for two threads at once: they share a cache."""

    def __init__(
        self,
        model: Whisper,
        tokenizer: WhisperTokenizer,
        generation_config: Mapping[str, Any],
        assistant: Assistant | None = None,
    ) -> None:
        self.model, self.tokenizer, self.generation_config = model, tokenizer, generation_config
        self.config, self.assistant = model.config, assistant
        self.device = model.decoder.positions.device
        self.pace = Pace() if assistant is None else AdaptivePace(shapes.proposals(self.device))
        self.steps = fastest(model.decoder)
        self.heads, self.heads_remark = alignment_heads(generation_config, self.config)
        if devices.packs_linear(self.device, model.decoder.positions.dtype):
            pack(model)
        self._cache: Cache | None = None
        self._taken = False
        self._screen = self._make_screen()
        if assistant is not None:
            assistant.screen_by(self._screen, tokenizer.eot)

    @contextmanager
    def taken(self) -> Iterator[Engine]:
        """This engine for one run; where another run has it, one of the same networks with caches of its own."""
        if self._taken:
            other = copy.copy(self)
            other._cache = None
            other.assistant = None if self.assistant is None else self.assistant.beside()
            yield other
            return
        self._taken = True
        try:
            yield self
        finally:
            self._taken = False
            if self.assistant is not None:
                self.assistant.forget()  # what it holds for later may be large

    def accompanied(self, assistant: Assistant, pace: Pace) -> Engine:
        """The same network with this assistant instead of its own, and with caches of its own."""
        other = copy.copy(self)
        other._cache, other.assistant, other.pace = None, assistant, pace
        assistant.screen_by(self._screen, self.tokenizer.eot)
        return other

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Everything that touches the networks happens in here: no gradients, and errors of the device in words."""
        with torch.inference_mode(), explained(self.model, self.device):
            yield

    def features(self, samples: mel.Samples, seek: int, frames: int, peak: float) -> list[Tensor]:
        """The window's log-mel (M, T), zeros after its `frames` as in openai/whisper; on the CPU, float32.

        A second one follows for an assistant whose encoder takes another number of bands.
        """
        padding = (0, self.config.window_frames - frames)
        bands = [self.config.n_mels]
        if self.assistant is not None and self.assistant.n_mels not in {None, *bands}:
            bands.append(self.assistant.n_mels or 0)
        found = [mel.normalise(mel.frames_of(samples, seek, frames, count), peak) for count in bands]
        return [torch.nn.functional.pad(content, padding) for content in found]

    def rules(self, options: TranscribeOptions) -> Rules:
        """The rules that hold under these options."""
        tokenizer, stamps = self.tokenizer, None
        if not options.without_timestamps:
            initial = round(options.max_initial_timestamp / tokenizer.time_precision)
            begin = tokenizer.timestamp_begin
            stamps = (begin, tokenizer.timestamp_end, begin + initial + 1)
        suppress = tokenizer.suppress_tokens(options.suppress_tokens, self.generation_config)
        first = tokenizer.begin_suppress(self.generation_config)
        made = Rules.make(self.config.vocab_size, tokenizer.eot, suppress, first, stamps, self.device)
        return replace(made, guard=Guard(options.repetition_penalty, options.no_repeat_ngram_size))

    def reserve(self, rows: int) -> None:
        """Caches for so many rows at least; what was in them is lost where they must grow."""
        rows = shapes.rows(rows, self.device)
        if self._cache is None or self._cache.batch < rows:
            self._cache = None  # free it before the larger one is made
            self._cache = self.steps.allocate(rows)
        if self.assistant is not None:
            self.assistant.reserve(rows)

    def listen(self, windows: Sequence[Tensor | list[Tensor]], start: int = 0) -> None:
        """Encode windows, each as `features` makes it or its first (M, T) alone, into slots from `start` on."""
        if start == 0:
            self.reserve(len(windows))
        assert self._cache is not None
        both = [window if isinstance(window, list) else [window] for window in windows]
        with self.at_work():
            rows = shapes.rows(len(both), self.device) if start == 0 else len(both)
            both += [both[-1]] * (rows - len(both))
            mels = torch.stack([found[0] for found in both])
            for part in self._parts(rows):
                slots = slice(start + part.start, start + part.stop)
                states = self._encode(self.model.encoder, mels[part])
                self._cache.forget(slots)
                self.steps.listen(states, self._cache, slots)
                if self.assistant is not None:
                    self.assistant.listen(self._hear(self.assistant, states, both[part]), slots)

    def _hear(self, assistant: Assistant, states: Tensor, windows: list[list[Tensor]]) -> Callable[[], Tensor]:
        """What makes the encoder states that an assistant hears: the main model's, or those of its own encoder."""
        if assistant.encoder is None:
            return lambda: states
        return partial(self._encode, assistant.encoder, torch.stack([window[-1] for window in windows]))

    def _parts(self, rows: int) -> list[slice]:
        """Which of so many windows go through an encoder together.

        On a CPU one by one: one window fills the cores, and its data their caches; and what it gives cannot depend on
        its neighbours then.
        """
        size = 1 if self.device.type == "cpu" else rows
        return [slice(first, first + size) for first in range(0, rows, size)]

    def _encode(self, encoder: Encoder, mels: Tensor) -> Tensor:
        """Encoder states (B, S, D) of (B, M, T)."""
        states: Tensor = encoder(mels.to(self.device, encoder.positions.dtype))
        return states

    def _make_screen(self) -> AnyScreen | None:
        """Where reading the output matrix is most of a step: on a CPU that multiplies int8 fast."""
        decoder = self.model.decoder
        weight = decoder.tokens.weight if decoder.head is None else decoder.head
        return screen(weight, self.tokenizer.eot) if weight.numel() >= SCREENED else None

    def languages(self, rows: int, start: int = 0, among: Sequence[str] = ()) -> list[tuple[str, float]]:
        """The likeliest language of each window heard, and its probability among these languages, or among all."""
        known = self.tokenizer.languages
        codes = [code for code in known if not among or code in among]
        ids = torch.tensor([known[code] for code in codes], dtype=torch.long, device=self.device)
        with self.at_work():
            fed = shapes.rows(rows, self.device) if start == 0 else rows
            probabilities = detect_language(self._decoder(), start, fed, self.tokenizer.sot, ids)
            best, index = (found.tolist()[:rows] for found in probabilities.max(-1))
        return [(codes[at], p) for at, p in zip(index, best, strict=True)]

    def _decoder(self, allowed: Tensor | None = None) -> CachedDecoder:
        assert self._cache is not None, "listen first"
        return CachedDecoder(self.steps, self._cache, self._screen, allowed)

    def follow(self, slot: int, start: Sequence[int], text: Sequence[int]) -> tuple[Tensor, list[float]]:
        """How a text of N tokens after `start` sits in the sound of a slot.

        Scores (A, K, S) of the alignment heads, float32 on the CPU, before the softmax, K = len(start) + N + 1 with the
        end of text; and the probability of each text token among the text tokens. What is in the cache stays.
        """
        assert self._cache is not None, "listen first"
        tokenizer, fed = self.tokenizer, [*start, *text, self.tokenizer.eot]
        width = max(len(fed), shapes.prompt_width(len(fed), self.config.target_positions, self.device))
        tokens = torch.tensor([*fed, *[tokenizer.eot] * (width - len(fed))], dtype=torch.int32, device=self.device)
        with self.at_work():
            hidden, scores = self.steps.follow(tokens, self._cache.part(slot, 1), self.heads)
            before, after = len(start) - 1, len(hidden) - len(start) + 1 - len(text)
            if self.device.type == "cpu":  # elsewhere few shapes count for more
                hidden, before, after = hidden[before : len(hidden) - after], 0, 0
            logits = self.steps.logits(hidden)  # (K, V)
            logits[:, tokenizer.eot : tokenizer.timestamp_end] = -torch.inf  # words may have been added behind them
            chosen = torch.tensor([*[0] * before, *text, *[0] * after], device=self.device)[:, None]
            probabilities = (logits.gather(1, chosen)[:, 0] - logits.logsumexp(1)).exp().tolist()
            return scores.cpu()[:, : len(fed)], probabilities[before : before + len(text)]

    def batch(self, rules: Rules, drafted: bool = True) -> Batch:
        """An empty batch over the slots; `drafted`: with the assistant, if there is one."""
        vocabulary = Vocabulary(self.tokenizer.sot, self.tokenizer.no_speech)
        draft = None if self.assistant is None or not drafted else self.assistant.draft(rules)
        main, fill = self._decoder(rules.suppressed), partial(shapes.rows, device=self.device)
        return Batch(main, rules, vocabulary, self.device, draft, self.pace, fill)

    def request(
        self, prompt: Sequence[int], most: int | None, noise: Noise | None = None, owner: Any = None
    ) -> Request:
        """By default half the context may be said, as openai/whisper's `sample_len`."""
        context = self.config.target_positions
        return Request(prompt, min(most or context // 2, context - len(prompt) + 1), noise, owner)

    def width(self, prompts: Sequence[Sequence[int]]) -> int:
        """Positions that the prompts are padded to."""
        return shapes.prompt_width(max(map(len, prompts)), self.config.target_positions, self.device)

    def decode(
        self, prompts: Sequence[Sequence[int]], rules: Rules, most: int | None, noises: Sequence[Noise | None] = ()
    ) -> list[Decoded]:
        """Decode the windows heard last, from the first slot on, all to their ends."""
        noises = noises or [None] * len(prompts)
        requests = [self.request(prompt, most, noise) for prompt, noise in zip(prompts, noises, strict=True)]
        with self.at_work():
            return decode(self.batch(rules), requests, self.width(prompts))
