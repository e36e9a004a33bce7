"""What every runner does: load a folder, decode windows, and say how long it took.

All do the same work: no timestamps, exactly so many new tokens a row (the end of text is forbidden), the same prompt.
A runner lives in a process of its own and may need another environment than ours, so that this file and the runners'
files import torch, numpy and little else.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any, ClassVar

import torch

from literatim import device as devices
from literatim.bench.windows import Windows

Ids = list[list[int]]
LANGUAGE = "en"


class Unmeasurable(Exception):
    """This runner cannot do what is asked, on this machine or at all; the message is the reason."""


@dataclass(frozen=True)
class Setting:
    """One way to run a program. `roles`: whether it is the program's default, its best, or both."""

    name: str
    what: str
    options: Mapping[str, Any] = field(default_factory=dict)
    roles: tuple[str, ...] = ("default", "best")
    dtypes: tuple[str, ...] | None = None  # None: all of the runner's


@dataclass(frozen=True)
class Setup:
    """What all runners share: `scratch` is a folder for converted models, `assistant` one with a draft."""

    device: torch.device
    threads: int
    scratch: Path
    assistant: Path | None = None


@dataclass(frozen=True)
class Turn:
    """One timed run of a batch, in seconds. `encoder` and `total` hold no features; `stages` are parts of the work."""

    encoder: float
    total: float
    stages: Mapping[str, float] = field(default_factory=dict)


class Runner(ABC):
    """One program at one dtype and one setting."""

    name: ClassVar[str]
    package: ClassVar[str]  # the distribution whose version is shown
    libraries: ClassVar[tuple[str, ...]] = ()  # modules that are imported before loading is timed
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float16", "bfloat16")
    settings: ClassVar[tuple[Setting, ...]] = (Setting("default", "greedy"),)
    converts: ClassVar[bool] = False  # whether `prepare` has anything to do
    uses_torch: ClassVar[bool] = True  # whether torch's counters see its device memory
    most_rows: int | None = None  # that it decodes together
    most_tokens: int | None = None  # that it decodes of a window

    def __init__(self, folder: Path, dtype: str, setup: Setup, setting: Setting | None = None) -> None:
        """Load; raises ImportError where a package is missing and Unmeasurable."""
        if dtype not in self.dtypes:
            raise Unmeasurable(f"{self.name} has no {dtype}")
        self.folder, self.dtype, self.setup = folder, dtype, setup
        self.setting = setting or self.settings[0]
        self._load()

    @classmethod
    def prepare(cls, folder: Path, dtype: str, setup: Setup) -> None:
        """Convert the folder for this program, before anything is timed; asked of those with `converts` alone."""
        raise NotImplementedError

    @abstractmethod
    def _load(self) -> None:
        """Bring the model into memory."""

    @abstractmethod
    def encode(self, windows: Windows) -> None:
        """The encoder alone."""

    @abstractmethod
    def run(self, windows: Windows, tokens: int) -> Ids:
        """A whole window, encoder included; the ids of the `tokens` new tokens of each row."""

    def turn(self, windows: Windows, tokens: int) -> Turn:
        """Both of them by the clock."""
        start = time.perf_counter()
        self.encode(windows)
        devices.synchronize(self.setup.device)
        middle = time.perf_counter()
        self.run(windows, tokens)
        devices.synchronize(self.setup.device)
        return Turn(middle - start, time.perf_counter() - middle)

    def shapes(self) -> dict[str, int] | None:
        """How many distinct shapes each module was given so far; None where that cannot be seen."""
        return None

    def transcribe(self, audio: Path, language: str | None) -> str:
        """The words of a recording, for the word error rate; by default Unmeasurable."""
        raise Unmeasurable(f"{self.name} is measured on single windows only ({audio.name}, {language})")


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """One of a folder's JSON files; Unmeasurable where it is missing."""
    file = folder / name
    if not file.is_file():
        raise Unmeasurable(f"the model's folder has no {name}")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def is_multilingual(folder: Path) -> bool:
    """Whether the model's prompt names a language."""
    return bool(read_json(folder, "generation_config.json").get("is_multilingual", True))


def prompt(folder: Path) -> list[int]:
    """Start, language, task, no timestamps; English-only models have neither language nor task."""
    facts = read_json(folder, "generation_config.json")
    start, end = facts["decoder_start_token_id"], facts["no_timestamps_token_id"]
    if not is_multilingual(folder):
        return [start, end]
    return [start, facts["lang_to_id"][f"<|{LANGUAGE}|>"], facts["task_to_id"]["transcribe"], end]


def once(target: Path, make: Callable[[Path], object]) -> Path:
    """`target`, made by `make` unless it is there; a failure leaves nothing behind that looks finished."""
    if not target.is_dir():
        unfinished = target.with_name(f"{target.name}-unfinished")
        rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(target)
    return target


def convertible(folder: Path) -> dict[str, Any]:
    """config.json of a model with windows of 30 s, the only ones that the converters of others take."""
    config = read_json(folder, "config.json")
    if config["max_source_positions"] != 1500:
        raise Unmeasurable(f"its converter takes 30 s windows, not {config['max_source_positions'] / 50:g} s")
    return config
