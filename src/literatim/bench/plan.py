"""What a run of `bench speed` measures, and on which model and sound."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from literatim import demo, hub
from literatim.audio import mel
from literatim.audio.decode import decode
from literatim.bench import shapes
from literatim.bench.manifest import Case, pair
from literatim.bench.windows import babble, cut
from literatim.errors import ModelFormatError, OptionError
from literatim.models.config import WhisperConfig
from literatim.models.folder import read_folder

DTYPES = ("float32", "float16", "bfloat16", "int8")
SETTINGS = ("best", "default", "both")
PROMPT_TOKENS = 4


@dataclass(frozen=True)
class Plan:
    """What is measured. Without a model it is `shape`: random weights, or the bundled model for `demo`.

    `assistant` is the draft of those runners that can use one.

    `seconds` bounds the time in which new rounds are begun, over all batches together; `timeout` the time in which a
    runner must answer one request.
    """

    model: str | None = None
    assistant: str | None = None
    shape: str | None = None
    preset: str | None = None
    batches: tuple[int, ...] = (1, 8)
    dtypes: tuple[str, ...] = ("float32", "bfloat16", "int8")
    peers: tuple[str, ...] = ()
    settings: str = "best"
    tokens: int = 100
    warmup: int = 1
    iterations: int = 5
    seconds: float | None = None
    timeout: float = 1800.0
    threads: int | None = None
    device: str = "cpu"
    precision: str = "default"
    audio: Path | None = None
    reference: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Subject:
    """The model that is measured: its folder, what it is called, and what its weights are."""

    folder: Path
    name: str
    weights: str  # random, bundled or given
    config: WhisperConfig
    assistant: Path | None = None

    @property
    def window_seconds(self) -> float:
        """Sound in a window."""
        return self.config.source_positions / 50

    @property
    def no_words(self) -> str:
        """Why there is no word error rate, where there is no recording with its words."""
        return "no WER: random weights" if self.weights == "random" else "no WER: no reference"


@dataclass(frozen=True)
class Sound:
    """What the windows are cut from; `decode_seconds` is what reading took, None where nothing was read."""

    what: str
    samples: NDArray[np.float32] | None = None  # (S,)
    decode_seconds: float | None = None

    def windows(self, rows: int, seconds: float, seed: int) -> NDArray[np.float32]:
        """Samples (rows, seconds * 16000)."""
        return babble(rows, seconds, seed) if self.samples is None else cut(self.samples, rows, seconds)

    def decode_ms(self, rows: int, seconds: float) -> float | None:
        """What reading the sound of a batch took, as its share of the whole recording."""
        if self.samples is None or self.decode_seconds is None:
            return None
        return 1000 * self.decode_seconds * rows * seconds * mel.SAMPLE_RATE / len(self.samples)


def check(plan: Plan) -> None:
    """Raise OptionError for what makes no sense together, before anything is made or downloaded."""
    if plan.model and plan.shape:
        raise OptionError(f"a MODEL ({plan.model}) and --shape {plan.shape} are both given; give one of them")
    if plan.reference is not None and plan.audio is None:
        raise OptionError("--reference holds the words of a recording; name the recording by --audio")
    if plan.assistant is not None and plan.model is None and plan.shape != "demo":
        raise OptionError("--assistant: random weights have no draft; name a MODEL, or use `literatim bench spec`")


def subject(plan: Plan, scratch: Path) -> Subject:
    """Find or make the model. Raises ModelNotFound, ModelFormatError or OptionError."""
    name = plan.model or plan.shape or "tiny"
    if plan.model or name == "demo":
        folder, weights = hub.resolve(name), "bundled" if name in hub.BUNDLED else "given"
    else:
        _room(name, shapes.SHAPES[name].context, plan.tokens)
        folder, weights = shapes.write(shapes.SHAPES[name], scratch / "model", plan.seed), "random"
    read = read_folder(folder)
    if read.model_type != "whisper":
        raise ModelFormatError(f"{name}: a model of type {read.model_type!r}; `bench speed` measures whisper")
    config = WhisperConfig.from_dict(read.config)
    _room(name, config.target_positions, plan.tokens)
    shown = name if weights != "given" or not Path(name).exists() else Path(name).resolve().name
    draft = hub.find_assistant(plan.assistant, name)
    return Subject(folder, shown, weights, config, None if draft is None else draft[1])


def _room(name: str, context: int, tokens: int) -> None:
    room = context - PROMPT_TOKENS
    if tokens > room:
        raise OptionError(f"--tokens {tokens}: the decoder of {name} has room for {room}")


def sound(plan: Plan, found: Subject) -> Sound:
    """The user's recording, else a bundled one for a model that knows words, else made-up sound."""
    if plan.audio is None and found.weights == "random":
        return Sound("made up")
    bundled = demo.recordings()
    if plan.audio is None and not bundled:
        return Sound("made up")
    file = plan.audio or bundled[0]
    start = time.perf_counter()
    samples = decode(file).samples[0]
    return Sound(file.name, samples, time.perf_counter() - start)


def clips(plan: Plan, found: Subject) -> list[Case]:
    """Recordings whose words are known: --audio with --reference, the bundled ones for the bundled model, or none.

    Raises AudioNotFound or OptionError for a reference that cannot be read.
    """
    if found.weights == "random":
        if plan.reference is not None:
            raise OptionError("--reference: random weights know no words; name a MODEL")
        return []
    if plan.audio is not None:
        return [] if plan.reference is None else [pair(plan.audio, plan.reference)]
    if found.weights != "bundled":
        return []
    files = [(file, file.with_suffix(".json")) for file in demo.recordings()]
    return [pair(file, words) for file, words in files if words.is_file()]
