"""What is verified: a model of a family, loaded into a dtype on a device, and the work that it is watched at.

A further family is one more class like `WhisperSubject`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from literatim.decode.pace import Pace
from literatim.decode.rows import Row
from literatim.models.checkpoint import load_whisper
from literatim.models.folder import read_folder
from literatim.models.whisper import Whisper
from literatim.options import TranscribeOptions
from literatim.pipeline.assistant import load_assistant
from literatim.pipeline.engine import Engine
from literatim.text.tokenizer import WhisperTokenizer
from literatim.verify.sites import WhisperSites
from literatim.verify.watch import Pretend, Seer, Watch

CPU = torch.device("cpu")
Mark = Callable[[str, tuple[int, ...]], None]
"""Told of each stage of the work and of the clips whose rows take part in it, in the order of the rows."""


def nobody(_stage: str, _clips: tuple[int, ...]) -> None:
    """A `Mark` that does nothing."""


@dataclass(frozen=True)
class Clip:
    """One window of sound: `features` (M, T) float32, the prompt to decode it with, and its words where known.

    `most` bounds the new tokens, None is the model's own bound; `speaker` is who speaks, where that matters.
    """

    name: str
    features: Tensor
    prompt: tuple[int, ...]
    most: int | None = None
    words: str | None = None
    speaker: str | None = None


@dataclass(frozen=True)
class Said:
    """What came out for one clip; of a draft, how many tokens it proposed and how many of them were right."""

    tokens: tuple[int, ...]
    text: str
    proposed: int = 0
    accepted: int = 0


class Sites(Protocol):
    """Says which place of the network a call belongs to; for one run, since it remembers where the run is."""

    def __call__(self, op: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The place's name."""

    def close(self) -> None:
        """Leave the network as it was."""


class Watchable(ABC):
    """A subject whose work can be watched. `wide`: its weights, of `dtype`, are held in float64."""

    device: torch.device
    dtype: torch.dtype
    wide: bool

    @abstractmethod
    def work(self, clips: list[Clip], mark: Mark = nobody, steps: int | None = None) -> list[Said]:
        """Its work on all clips, as one batch."""

    @abstractmethod
    def sites(self) -> Sites:
        """Names of the places, for one run."""

    def watch(self, seer: Seer, clips: list[Clip], mark: Mark = nobody, steps: int | None = None) -> list[Said]:
        """`work`, with every operation handed to `seer`; on the CPU under an accelerator's name."""
        sites = self.sites()
        watch = Watch(seer, sites, self.device == CPU, self.dtype if self.wide else None)

        def both(stage: str, rows: tuple[int, ...]) -> None:
            watch.stage = stage
            mark(stage, rows)

        try:
            with watch:
                return self.work(clips, both, steps)
        finally:
            sites.close()


class WhisperSubject(Watchable):
    """A Whisper with the engine that runs it."""

    def __init__(
        self, folder: Path, dtype: torch.dtype, device: torch.device, *, wide: bool = False, own_way: bool = False
    ) -> None:
        """`wide`: hold the weights of `dtype` in float64, for the truth; `own_way`: as transcription runs on a CPU.

        Both are for the CPU, which otherwise takes the way of accelerators.
        """
        self.folder, self.device, self.dtype, self.wide = folder, device, dtype, wide
        self._found = read_folder(folder)
        model = load_whisper(folder, dtype, device)
        if device == CPU and not own_way:
            model.to(torch.float64 if wide else dtype)  # float16 is loaded in float32 there
        self.model: Whisper = model
        self.tokenizer = WhisperTokenizer.from_folder(folder, self._found.generation_config, self._found.config)
        with Pretend() if device == CPU and not own_way else nullcontext():
            self.engine = Engine(model, self.tokenizer, self._found.generation_config)

    def beside(self, name: str, folder: Path, proposals: int) -> WhisperSubject:
        """The same model with the draft in `folder`, which proposes so many tokens in every round."""
        other = copy.copy(self)
        assistant = load_assistant(folder, name, self.folder, self.model, self.tokenizer)
        other.engine = self.engine.accompanied(assistant, Pace(proposals))
        return other

    @property
    def config(self) -> Any:
        """The network's shape."""
        return self.model.config

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return self.tokenizer.eot

    @property
    def special(self) -> dict[int, str]:
        """Names of the tokens that stand for no text."""
        return {token: name for name, token in self.tokenizer.vocabulary.added.items()}

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return self.tokenizer.decode(tokens)

    @property
    def timestamps(self) -> bool:
        """Whether the model writes times."""
        return self.tokenizer.timestamp_begin != self.tokenizer.timestamp_end

    def work(self, clips: list[Clip], mark: Mark = nobody, steps: int | None = None) -> list[Said]:
        """Hear and write all clips as one batch, as transcription does: encoder, language, prompts, then steps.

        After `steps` of them the work is left, and nothing is said.
        """
        engine = self.engine
        everyone = tuple(range(len(clips)))
        mark("encoder", everyone)
        engine.listen([clip.features for clip in clips])
        mark("language", everyone)
        if self.tokenizer.languages:
            engine.languages(len(clips))
        mark("prompt", everyone)
        options = TranscribeOptions(without_timestamps=not self.timestamps)
        batch = engine.batch(engine.rules(options))
        requests = [engine.request(clip.prompt, clip.most, owner=at) for at, clip in enumerate(clips)]
        said: dict[int, Said] = {}
        with engine.at_work():
            batch.admit(requests, 0, engine.width([clip.prompt for clip in clips]))
            step = 0
            while batch.rows and step != steps:
                said |= {row.request.owner: self._said(row) for row in batch.rows if row.finished}
                step += 1
                mark(f"step {step}", tuple(row.request.owner for row in batch.rows if not row.finished))
                batch.close()
                if batch.rows:
                    mark(f"step {step}", tuple(row.request.owner for row in batch.rows))
                    batch.round()
        if batch.rows:
            return []
        return [said[at] for at in everyone]

    def _said(self, row: Row) -> Said:
        text = self.tokenizer.decode(row.said).strip()
        return Said(tuple(row.said), text, row.proposed, row.accepted)

    def sites(self) -> WhisperSites:
        """Names of the places, for one run."""
        return WhisperSites(self.model)
