"""What `bench spec` measures on: a model with its assistant and real words, or a shape with planted acceptance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from literatim import device as devices
from literatim import hub
from literatim.api import load
from literatim.bench import shapes, spec_clips
from literatim.bench.planted import PlantedAssistant, Trace
from literatim.bench.runners.base import LANGUAGE, Ids, read_json
from literatim.bench.spec_ways import Group, Ours
from literatim.bench.windows import Windows, babble
from literatim.errors import OptionError
from literatim.models.config import WhisperConfig
from literatim.models.folder import read_folder
from literatim.options import TranscribeOptions
from literatim.pipeline.engine import Engine
from literatim.text.tokenizer import WhisperTokenizer

DRAFT_LAYERS = {"tiny": 1, "base": 1, "small": 2, "large-v2": 2, "micro": 1}
DECODER_ALONE = ("large-v2",)  # an encoder of 635 million weights would say nothing of decoding
PREVIOUS = 4  # tokens of made-up text before each row's prompt where no sound tells the rows apart
WAVES = 3  # windows for a slot where no sound tells them apart: a slot that is free takes the next one
WORDS = 8192  # text ids that a planted draft proposes: a draft is trained to leave out rare ones


@dataclass(frozen=True)
class Plan:
    """What is measured: `model` with `assistant` on the bundled clips, or `shape` with planted acceptance.

    `seconds` bounds the time in which new rounds are begun, over all batches together. `words`: text ids that a planted
    draft proposes, 0 for all; `limit`: only the first so many clips.
    """

    model: str | None = None
    assistant: str | None = None
    shape: str | None = None
    acceptance: float = 0.8
    draft_layers: int | None = None
    limit: int | None = None
    words: int = WORDS
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    dtypes: tuple[str, ...] = ("float32",)
    tokens: int = 100
    num_assistant_tokens: int | None = None
    warmup: int = 2
    iterations: int = 5
    seconds: float | None = None
    timeout: float = 1800.0
    peers: tuple[str, ...] = ()
    threads: int | None = None
    device: str = "cpu"
    seed: int = 0


class Subject(ABC):
    """A model, its windows, and the two ways in which we decode them."""

    name: str
    weights: str  # random, bundled or given
    draft: str  # what it is called
    folder: Path | None  # None where nothing was written
    config: WhisperConfig
    clips: Sequence[spec_clips.Clip] = ()

    @abstractmethod
    def ways(self, dtype: str) -> tuple[Ours, Ours]:
        """Plain and with the draft, by one engine that is loaded now."""

    @abstractmethod
    def groups(self, batch: int) -> list[Group]:
        """All windows, so many together."""


class Words(Subject):
    """A model and its assistant on the bundled clips, decoded to their ends."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self.name = plan, plan.model or "demo"
        found = hub.find_assistant(plan.assistant or "auto", self.name)
        if found is None:
            raise OptionError(
                f"no assistant of {self.name} is on this disk; name one by --assistant, or give a --shape"
            )
        self.draft, self.draft_folder = found
        self.folder = hub.resolve(self.name)
        self.weights = "bundled" if self.name in hub.BUNDLED else "given"
        self.config = WhisperConfig.from_dict(read_folder(self.folder).config)
        self.clips = spec_clips.read(spec_clips.cases()[: plan.limit], self.config)
        self._rules = TranscribeOptions(without_timestamps=True)
        self._prompts: list[tuple[int, ...]] = []

    def ways(self, dtype: str) -> tuple[Ours, Ours]:
        """Both without timestamps, as the published experiment was."""
        plan = self._plan
        engine = load(self.name, assistant=self.draft, dtype=dtype, device=plan.device)._engine
        if not self._prompts:
            prompt = engine.tokenizer.prompt
            self._prompts = [tuple(prompt(clip.language, "transcribe", False)) for clip in self.clips]
        return _pair(engine, dtype, self._rules, self.draft, plan)

    def groups(self, batch: int) -> list[Group]:
        """The last one is filled up with the first clips."""
        order = np.resize(np.arange(len(self.clips)), -(-len(self.clips) // batch) * batch).reshape(-1, batch)
        return [
            Group(
                [self.clips[at].features for at in part],
                [self._prompts[at] for at in part],
                [self.clips[at].language for at in part],
                None,
            )
            for part in order.tolist()
        ]


class Shaped(Subject):
    """Random weights in a released shape, so many tokens a window, and a draft with planted acceptance."""

    weights = "random"

    def __init__(self, plan: Plan, scratch: Path) -> None:
        assert plan.shape is not None
        self._plan, self.name, self._scratch = plan, plan.shape, scratch
        self._shape = shapes.SHAPES[plan.shape]
        self._alone = plan.shape in DECODER_ALONE
        room = self._shape.context - 4 - (PREVIOUS + 1) * self._alone
        if plan.tokens > room:
            raise OptionError(f"--tokens {plan.tokens}: the decoder of {self.name} has room for {room}")
        self.layers = plan.draft_layers or DRAFT_LAYERS[self.name]
        if self.layers >= self._shape.layers:
            raise OptionError(f"--draft_layers {self.layers}: {self.name} has {self._shape.layers}; a draft has fewer")
        self.draft = f"{self.layers} of {self._shape.layers} layers, planted acceptance {plan.acceptance:g}"
        self._trace = Trace.bundled()
        self.folder = None if self._alone else shapes.write(self._shape, scratch / "model", plan.seed)
        self._prompt: tuple[int, ...] = ()
        self._batches: dict[int, Windows] = {}

    @property
    def hears(self) -> bool:
        """Whether there is an encoder."""
        return not self._alone

    def ways(self, dtype: str) -> tuple[Ours, Ours]:
        """Both with the end of text forbidden."""
        plan = self._plan
        engine = self._engine(dtype)
        self.config, eot = engine.config, engine.tokenizer.eot
        words = min(plan.words, eot) or None
        engine.assistant = PlantedAssistant(engine.model, self.layers, words, eot, plan.seed + 1)
        engine.assistant.screen_by(engine._screen, eot)
        self._prompt = tuple(engine.tokenizer.prompt(LANGUAGE, "transcribe", False))
        self._previous = engine.tokenizer.startofprev
        rules = TranscribeOptions(without_timestamps=True, suppress_tokens=f"-1,{eot}")
        return _pair(engine, dtype, rules, self.draft, plan, hears=self.hears)

    def _engine(self, dtype: str) -> Engine:
        if self.folder is not None:
            return load(self.folder, assistant="none", dtype=dtype, device=self._plan.device)._engine
        folder = shapes.write_tokenizer(self._shape, self._scratch / "tokenizer")
        device = devices.pick(self._plan.device)
        like = torch.empty(0, dtype=devices.dtype_of(dtype, device), device=device)
        model = shapes.decoder_alone(self._shape, like, self._plan.seed)
        generation = read_json(folder, "generation_config.json")
        return Engine(model, WhisperTokenizer.from_folder(folder, generation, {}), generation)

    def groups(self, batch: int) -> list[Group]:
        """One: the batch; of a decoder alone as many windows as fill the slots WAVES times."""
        if not self._alone:
            features = list(self.windows(batch).features)
            return [Group(features, [self._prompt] * batch, [LANGUAGE] * batch, self._plan.tokens)]
        random = np.random.default_rng(self._plan.seed)
        count = WAVES * batch
        told = random.integers(256, self._shape.text_tokens, size=(count, PREVIOUS)).tolist()
        prompts = [(self._previous or 0, *words, *self._prompt) for words in told]
        return [Group([], prompts, [LANGUAGE] * count, self._plan.tokens, batch)]

    def windows(self, batch: int) -> Windows:
        """Made-up sound."""
        if batch not in self._batches:
            sound = babble(batch, self._shape.window / 50, self._plan.seed)
            self._batches = {batch: Windows.make(sound, self.config.n_mels)}
        return self._batches[batch]

    def plant(self, ways: tuple[Ours, Ours], groups: Sequence[Group], said: Sequence[Ids]) -> None:
        """The draft foretells what was said, with errors."""
        assistant = ways[1].engine.assistant
        assert isinstance(assistant, PlantedAssistant)
        flags = self.flags(len(groups[0]))
        assistant.plant(groups[0].prompts, said[0], flags)

    def flags(self, rows: int) -> np.ndarray:
        """Which proposals are right, (rows, tokens)."""
        return self._trace.right(self._plan.acceptance, rows, self._plan.tokens, self._plan.seed)


def _pair(
    engine: Engine, dtype: str, options: TranscribeOptions, draft: str, plan: Plan, *, hears: bool = True
) -> tuple[Ours, Ours]:
    rules = engine.rules(options)
    plain = Ours(engine, rules, dtype, False, "plain", hears, warmup=1)
    return plain, Ours(engine, rules, dtype, True, draft, hears, plan.num_assistant_tokens, plan.warmup)
