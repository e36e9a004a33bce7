"""Random models, random drafts and random batches, for what speculation must not change: the exact tests and the hunt.

Models are tiny and their weights random, so that near-ties are frequent. What the plain loop says of a row alone is
computed once per row and kept.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from literatim.decode.noise import Noise
from literatim.decode.pace import Pace
from literatim.decode.rows import Decoded
from literatim.decode.speculative import decode
from literatim.models.checkpoint import load_whisper
from literatim.models.draft import Draft
from literatim.models.folder import read_folder
from literatim.models.native_screen import NativeScreen
from literatim.models.screen import Screen
from literatim.models.whisper import Whisper
from literatim.native import library
from literatim.options import TranscribeOptions
from literatim.pipeline.assistant import Assistant, load_assistant
from literatim.pipeline.engine import Engine
from literatim.pipeline.ids import Ids
from literatim.text.tokenizer import WhisperTokenizer
from whisper_builders import random_whisper_folder

WINDOWS, PROMPTS = 8, 6  # to choose from, of each model
BASE: dict[str, Any] = {
    "max_source_positions": 40,
    "max_target_positions": 44,
    "encoder_layers": 1,
    "decoder_layers": 1,
}
# seeds and gains of the end of text with which rows are short and long, of many lengths
FAMILIES: dict[str, dict[str, Any]] = {
    "two layers": {"seed": 4, "end_gain": 2.2, "encoder_layers": 2, "decoder_layers": 2},
    "more bands": {"seed": 5, "end_gain": 2.2, "encoder_layers": 2, "num_mel_bins": 128, "max_target_positions": 52},
    "odd heads": {
        "seed": 5,
        "end_gain": 2.2,
        "d_model": 30,
        "encoder_attention_heads": 5,
        "decoder_attention_heads": 3,
    },
    "one head": {"seed": 5, "end_gain": 3.0, "d_model": 40, "encoder_attention_heads": 1, "decoder_attention_heads": 1},
    "ends early": {"seed": 0, "end_gain": 3.0, "decoder_layers": 2},
    "three languages": {"seed": 400, "end_gain": 4.5, "decoder_layers": 3, "languages": ("en", "nl", "de")},
    "own output": {"seed": 3, "end_gain": 2.2, "max_target_positions": 41},
    "long text": {"seed": 1, "end_gain": 2.2, "max_target_positions": 84},
    "screened": {"seed": 5, "end_gain": 1.7},
}
DRAFTS: dict[str, float] = {"same": 0.0, "near": 0.03, "middling": 0.1, "far": 0.3, "few ids": 0.03}  # noise on weights
OTHERS = ("one layer", "own ears")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Item:
    """A row: which window and prompt, and how it is sampled."""

    window: int
    prompt: int
    temperature: float = 0.0
    key: int = 0

    @property
    def most(self) -> int | None:
        """How much it may say: mostly as much as there is room for."""
        return (None, 200, 200, 5, None, 200, 1, 9)[(self.window + self.prompt) % 8]


@dataclass(frozen=True)
class Case:
    """A batch; round by round `proposals` are made, from the first again after the last."""

    family: str
    dtype: str
    draft: str
    timestamps: bool
    proposals: tuple[int, ...]
    items: tuple[Item, ...]

    @classmethod
    def random(cls, seed: int, kind: tuple[str, str, str] | None = None) -> Case:
        """Whatever the seed gives; `kind` is a family, a dtype and a draft, else they are drawn too."""
        dice = random.Random(seed)
        drawn = dice.choice(list(FAMILIES)), dice.choice(list(DTYPES)), dice.choice([*DRAFTS, *OTHERS])
        rows = dice.choice([1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 8, 11, 16, 32])
        counts = [dice.choice([1, 1, 2, 2, 3, 4, 5, 6, 8, 12, 16])]
        if dice.random() < 0.25:
            counts = [dice.randint(0, 16) * dice.randint(0, 1) for _ in range(7)]
        hot = dice.random() < 0.4
        return cls(
            *(kind or drawn),
            dice.random() < 0.6,
            tuple(counts),
            tuple(_item(dice, hot) for _ in range(rows)),
        )

    def smaller(self) -> Iterator[Case]:
        """Simpler ones, the simplest first."""
        for at in range(len(self.items)):
            if len(self.items) > 1:
                yield replace(self, items=(*self.items[:at], *self.items[at + 1 :]))
        for at, count in enumerate(self.proposals):
            if len(self.proposals) > 1:
                yield replace(self, proposals=(*self.proposals[:at], *self.proposals[at + 1 :]))
            if count > 1:
                yield replace(self, proposals=(*self.proposals[:at], count - 1, *self.proposals[at + 1 :]))


def _item(dice: random.Random, hot: bool) -> Item:
    temperature = dice.choice([0.0, 0.3, 1.0]) if hot else 0.0
    key = dice.randrange(2) if temperature else 0
    return Item(dice.randrange(WINDOWS), dice.randrange(PROMPTS), temperature, key)


def smallest(case: Case, fails: Callable[[Case], bool]) -> Case:
    """A failing case none of whose `smaller` ones fails."""
    while True:
        following = next((other for other in case.smaller() if fails(other)), None)
        if following is None:
            return case
        case = following


class Cycle(Pace):
    """So many proposals, round by round."""

    def __init__(self, counts: tuple[int, ...]) -> None:
        super().__init__()
        self._counts, self._round = counts, 0

    def proposals(self, rows: int, most: int) -> int:
        count = self._counts[self._round % len(self._counts)]
        self._round += 1
        return max(0, min(count, most))

    def drafts(self, rows: int) -> bool:
        return self._counts[0] > 0


@dataclass
class Model:
    """A random network of a family, its drafts, and what it says of each row alone."""

    family: str
    dtype: str
    root: Path
    assistants: dict[str, Assistant] = field(default_factory=dict)
    alone: dict[tuple[bool, Item], Decoded] = field(default_factory=dict)

    @cached_property
    def folder(self) -> Path:
        folder = self.root / self.family
        return folder if folder.exists() else random_whisper_folder(folder, **BASE | FAMILIES[self.family])

    @cached_property
    def engine(self) -> Engine:
        found, whisper = read_folder(self.folder), self._load()
        tokenizer = WhisperTokenizer.from_folder(self.folder, found.generation_config, found.config)
        engine = Engine(whisper, tokenizer, found.generation_config)
        if self.family == "screened":
            kernels, weight = library.find(), whisper.decoder.tokens.weight
            native = kernels is not None and kernels.choose is not None
            engine._screen = NativeScreen(weight, tokenizer.eot, kernels) if native else Screen(weight, tokenizer.eot)
        return engine

    def _load(self) -> Whisper:
        whisper = load_whisper(self.folder, DTYPES[self.dtype], CPU)
        if self.family == "own output":
            turned = whisper.decoder.tokens.weight.roll(1, 1)
            whisper.decoder.head = torch.nn.Parameter(turned, requires_grad=False)
        return whisper

    @cached_property
    def windows(self) -> list[tuple[Tensor, Tensor]]:
        """Features of 80 and of 128 bands (M, T), each window at its own loudness."""
        noise, frames = torch.Generator().manual_seed(5), self.engine.config.window_frames
        made = [(0.5 + 0.2 * at) * torch.randn(128, frames, generator=noise) for at in range(WINDOWS)]
        return [(window[:80], window) for window in made]

    def prompt(self, number: int, timestamps: bool) -> list[int]:
        """Languages, tasks and texts before, of several lengths."""
        known, context = self.engine.tokenizer, self.engine.config.target_positions
        nl, en = (list(known.prompt(code, "transcribe", timestamps)) for code in ("nl", "en"))
        translate = list(known.prompt("nl", "translate", timestamps))
        words = [known.startofprev or 0, *(65 + (7 * at) % 26 for at in range(context // 2 - 1))]
        return [en, nl, translate, [*words[:2], *nl], [*words[:9], *translate], [*words, *en]][number]

    def plain(self, item: Item, timestamps: bool) -> Decoded:
        """One row alone, no draft."""
        if (timestamps, item) not in self.alone:
            self.engine.assistant = None
            self.alone[timestamps, item] = self._decode((item,), timestamps, Pace())[0]
        return self.alone[timestamps, item]

    def speculative(self, case: Case) -> list[Decoded]:
        """All rows of the case in one batch, with its draft."""
        self.engine.assistant = self.assistant(case.draft)
        return self._decode(case.items, case.timestamps, Cycle(case.proposals))

    def _decode(self, items: tuple[Item, ...], timestamps: bool, pace: Pace) -> list[Decoded]:
        engine, wide = self.engine, int(self.engine.config.n_mels == 128)
        assistant, engine.pace = engine.assistant, pace
        other = wide if assistant is None or assistant.n_mels is None else int(assistant.n_mels == 128)
        engine.listen([[self.windows[item.window][wide], self.windows[item.window][other]] for item in items])
        noises = [
            Noise(item.key, bytes([item.window]), 0, item.temperature) if item.temperature else None for item in items
        ]
        rules = engine.rules(TranscribeOptions(without_timestamps=not timestamps))
        prompts = [self.prompt(item.prompt, timestamps) for item in items]
        rows = zip(prompts, items, noises, strict=True)
        requests = [engine.request(prompt, item.most, noise) for prompt, item, noise in rows]
        with engine.at_work():
            return decode(engine.batch(rules), requests, engine.width(prompts))

    def assistant(self, name: str) -> Assistant:
        if name not in self.assistants:
            made = self._whole(name) if name in OTHERS else self._noisy(name)
            if self.family == "screened":
                made.screen_by(self.engine._screen, self.engine.tokenizer.eot)
            self.assistants[name] = made
        return self.assistants[name]

    def _noisy(self, name: str) -> Assistant:
        """The main model's own decoder with noise on its weights."""
        whisper, noise = self._load(), torch.Generator().manual_seed(len(name))
        for parameter in whisper.decoder.parameters():
            wave = torch.randn(parameter.shape, generator=noise) * parameter.float().std() * DRAFTS[name]
            parameter.add_(wave.to(parameter.dtype))
        ids, eot = Ids(), self.engine.tokenizer.eot
        if name == "few ids":
            ids = Ids.subset(torch.arange(0, eot, 3), eot, whisper.config.vocab_size)
        return Assistant(
            Draft(whisper.decoder, None, whisper.config, None, True, "made so"), name, self.engine.model, ids
        )

    def _whole(self, name: str) -> Assistant:
        """Another network: one layer beside the same encoder, or one with other ears, another width and vocabulary."""
        sizes = BASE | FAMILIES[self.family]
        folder = self.root / f"{self.family}, {name}"
        if name == "one layer":
            sizes |= {"decoder_layers": 1, "decoder_ffn_dim": 20}
        else:
            bands = 208 - sizes.get("num_mel_bins", 80)
            others = {"d_model": 24, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_layers": 1}
            sizes |= {**others, "num_mel_bins": bands, "languages": ("en", "fr", "nl"), "max_target_positions": 144}
        if not folder.exists():
            random_whisper_folder(folder, **sizes | {"seed": 401})
        if name == "own ears":
            return load_assistant(folder, name, self.folder, self.engine.model, self.engine.tokenizer)
        whisper = load_whisper(folder, DTYPES[self.dtype], CPU)
        draft = Draft(whisper.decoder, None, whisper.config, None, True, "made so")
        return Assistant(draft, name, self.engine.model, Ids())


class Models:
    """Every family in every dtype, made when asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: dict[tuple[str, str], Model] = {}
        self.seen: Counter[str] = Counter()  # of what the cases were made of

    def of(self, case: Case) -> Model:
        """The case's."""
        key = (case.family, case.dtype)
        if key not in self._made:
            self._made[key] = Model(case.family, case.dtype, self._root)
        return self._made[key]

    def differences(self, case: Case) -> list[str]:
        """What is not the plain loop's, to the last bit: for each row that differs, how."""
        model, found = self.of(case), []
        results = model.speculative(case)
        for row, (item, result) in enumerate(zip(case.items, results, strict=True)):
            plain = model.plain(item, case.timestamps)
            self._count(item, result)
            for name in ("tokens", "sum_logprob", "no_speech_prob"):
                ours, theirs = getattr(result, name), getattr(plain, name)
                if ours != theirs:
                    found.append(f"row {row}: {name} {ours} instead of {theirs}")
        return found

    def _count(self, item: Item, result: Decoded) -> None:
        done = result.speculation
        assert done is not None
        self.seen["rows"] += 1
        self.seen["proposed"] += done.proposed
        self.seen["accepted"] += done.accepted
        self.seen["sampled rows"] += item.temperature > 0
        self.seen["tokens"] += len(result.tokens)
