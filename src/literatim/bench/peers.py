"""The runners that are compared: each loads the same folder and decodes the same windows.

All do the same work: greedy, no timestamps, exactly so many new tokens a row (the end of text is forbidden), the
same prompt. Every name in NAMES has a class; one that cannot run here says why by Unmeasurable.
"""

from __future__ import annotations

import json
import shutil
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch

from literatim import device as devices
from literatim.api import load
from literatim.bench.windows import Windows
from literatim.options import TranscribeOptions

Ids = list[list[int]]
LANGUAGE = "en"


class Unmeasurable(Exception):
    """This runner cannot do what is asked, on this machine or at all; the message is the reason."""


@dataclass(frozen=True)
class Setup:
    """What all runners share; `scratch` is a folder for converted models."""

    device: torch.device
    threads: int
    scratch: Path


@dataclass(frozen=True)
class Turn:
    """One timed run of a batch, in seconds; features are computed before, or taken off."""

    encoder: float
    total: float


class Runner(ABC):
    """One program at one dtype."""

    name: ClassVar[str]
    package: ClassVar[str]
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float16", "bfloat16")
    most_rows: int | None = None  # that it decodes together
    most_tokens: int | None = None  # that it decodes of a window

    def __init__(self, folder: Path, dtype: str, setup: Setup) -> None:
        """Load; raises ImportError where a package is missing and Unmeasurable."""
        if dtype not in self.dtypes:
            raise Unmeasurable(f"{self.name} has no {dtype}")
        self.folder, self.dtype, self.setup = folder, dtype, setup
        self._load()

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


class Literatim(Runner):
    """Ours."""

    name, package = "literatim", "literatim"

    def _load(self) -> None:
        self._engine = load(self.folder, device=str(self.setup.device), dtype=self.dtype)._engine
        tokenizer = self._engine.tokenizer
        options = TranscribeOptions(without_timestamps=True, suppress_tokens=f"-1,{tokenizer.eot}")
        self._rules = self._engine.rules(options)
        self._prompt = tokenizer.prompt(LANGUAGE, "transcribe", False)

    @torch.inference_mode()
    def encode(self, windows: Windows) -> None:
        """The network's encoder; the keys and values made of its states belong to the decoder's time."""
        encoder = self._engine.model.encoder
        features = windows.features.to(self.setup.device, encoder.positions.dtype)
        for part in torch.split(features, 1 if self.setup.device.type == "cpu" else len(features)):  # as Engine does it
            encoder(part)

    def run(self, windows: Windows, tokens: int) -> Ids:
        """As the pipeline does it."""
        step = self._engine.listen(list(windows.features))
        rows = self._engine.decode(step, [self._prompt] * len(windows), self._rules, tokens)
        return [list(row.tokens) for row in rows]


class Transformers(Runner):
    """transformers' generate with fused attention."""

    name, package = "transformers", "transformers"

    def _load(self) -> None:
        kind = import_module("transformers").WhisperForConditionalGeneration
        dtype = getattr(torch, self.dtype)
        model = kind.from_pretrained(self.folder, dtype=dtype, attn_implementation="sdpa", local_files_only=True)
        self._model = model.to(self.setup.device).eval()
        self._dtype = dtype

    @torch.inference_mode()
    def encode(self, windows: Windows) -> None:
        """The encoder module."""
        self._model.get_encoder()(windows.features.to(self.setup.device, self._dtype))

    @torch.inference_mode()
    def run(self, windows: Windows, tokens: int) -> Ids:
        """`min_new_tokens` forbids the end of text until `max_new_tokens`."""
        output = self._model.generate(
            windows.features.to(self.setup.device, self._dtype),
            language=LANGUAGE,
            task="transcribe",
            return_timestamps=False,
            do_sample=False,
            num_beams=1,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
        )
        # a row that it cut short, as it does after timestamps, is filled up with the end of text
        end = self._model.generation_config.eos_token_id
        rows: Ids = output[:, -tokens:].tolist()
        return [row[: row.index(end)] if end in row else row for row in rows]


class FasterWhisper(Runner):
    """CTranslate2, which faster-whisper stands on, called without faster-whisper's own pipeline."""

    name, package = "faster-whisper", "ctranslate2"
    dtypes = ("float32", "float16", "bfloat16", "int8")

    def _load(self) -> None:
        library = import_module("ctranslate2")
        kind = self.setup.device.type
        if kind not in {"cpu", "cuda"}:
            raise Unmeasurable(f"CTranslate2 does not run on {kind}")
        if self.dtype not in library.get_supported_compute_types(kind):
            raise Unmeasurable(f"CTranslate2 has no {self.dtype} on this {kind}")
        config = _convertible(self.folder)
        converter = import_module("ctranslate2.converters").TransformersConverter(str(self.folder))
        converted = _once(self.setup.scratch / "ctranslate2", lambda path: converter.convert(str(path)))
        self._library, self._end = library, config["eos_token_id"]
        self.most_tokens = config["max_target_positions"] // 2
        threads = self.setup.threads
        self._model = library.models.Whisper(
            str(converted), kind, compute_type=self.dtype, intra_threads=threads, inter_threads=1
        )
        self._prompt = _prompt(self.folder)

    def _features(self, windows: Windows) -> Any:
        return self._library.StorageView.from_array(windows.features.numpy())

    def encode(self, windows: Windows) -> None:
        """The encoder; the states are fetched to the CPU so that it has certainly finished."""
        self._model.encode(self._features(windows), to_cpu=True)

    def run(self, windows: Windows, tokens: int) -> Ids:
        """Its own list of suppressed tokens and the end of text; half of `max_length` is what it generates."""
        results = self._model.generate(
            self._features(windows),
            [self._prompt] * len(windows),
            beam_size=1,
            max_length=2 * tokens,
            suppress_tokens=[-1, self._end],
        )
        return [result.sequences_ids[0] for result in results]


class OpenVino(Runner):
    """OpenVINO GenAI's WhisperPipeline on a model exported by optimum-intel.

    bfloat16 is float32 weights computed in bfloat16; int8 is 8-bit weights computed in bfloat16 where the CPU can.
    """

    name, package = "openvino", "openvino-genai"
    dtypes = ("float32", "bfloat16", "int8")
    most_rows = 1

    def _load(self) -> None:
        genai, core = import_module("openvino_genai"), import_module("openvino").Core()
        if self.setup.device.type != "cpu":
            raise Unmeasurable("measured on the CPU only")
        can_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if self.dtype == "bfloat16" and not can_bf16:
            raise Unmeasurable("OpenVINO has no bfloat16 on this CPU")
        _convertible(self.folder)
        folder = _once(self.setup.scratch / "openvino", partial(_export, self.folder))
        if self.dtype == "int8":
            folder = _once(self.setup.scratch / "openvino-int8", partial(_eight_bits, folder))
        precision = "f32" if self.dtype == "float32" or not can_bf16 else "bf16"
        hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": self.setup.threads}
        self._genai, self._pipeline = genai, genai.WhisperPipeline(str(folder), "CPU", **hints)

    def encode(self, windows: Windows) -> None:
        """Not callable alone: its own measurement is taken."""
        raise NotImplementedError

    def _options(self, tokens: int) -> Any:
        options = self._pipeline.get_generation_config()
        options.language, options.task, options.return_timestamps = f"<|{LANGUAGE}|>", "transcribe", False
        options.min_new_tokens = options.max_new_tokens = tokens
        options.suppress_tokens = [*options.suppress_tokens, options.eos_token_id]
        return options

    def run(self, windows: Windows, tokens: int) -> Ids:
        """The pipeline returns text alone; the ids are what it streams."""
        streamed = _streamer(self._genai)
        self._pipeline.generate(windows.samples[0].tolist(), self._options(tokens), streamed)
        return [streamed.ids]

    def turn(self, windows: Windows, tokens: int) -> Turn:
        """Without a streamer; its own time for the features is taken off."""
        options, samples = self._options(tokens), windows.samples[0].tolist()
        start = time.perf_counter()
        result = self._pipeline.generate(samples, options)
        seconds = time.perf_counter() - start
        metrics = result.perf_metrics
        if metrics.get_num_generated_tokens() != tokens:
            raise Unmeasurable(f"it decoded {metrics.get_num_generated_tokens()} tokens instead of {tokens}")
        encoder = metrics.get_encode_inference_duration().mean / 1000
        return Turn(encoder, seconds - metrics.get_features_extraction_duration().mean / 1000)


PEERS: dict[str, type[Runner]] = {kind.name: kind for kind in (Transformers, FasterWhisper, OpenVino)}


def _prompt(folder: Path) -> list[int]:
    """Start, language, task, no timestamps."""
    facts = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    start, language = facts["decoder_start_token_id"], facts["lang_to_id"][f"<|{LANGUAGE}|>"]
    return [start, language, facts["task_to_id"]["transcribe"], facts["no_timestamps_token_id"]]


def _once(target: Path, make: Callable[[Path], object]) -> Path:
    """`target`, made by `make` unless it is there; a failure leaves nothing behind that looks finished."""
    if not target.is_dir():
        unfinished = target.with_name(f"{target.name}-unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(target)
    return target


def _convertible(folder: Path) -> dict[str, Any]:
    """config.json of a model with windows of 30 s, the only ones that both converters take."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config["max_source_positions"] != 1500:
        raise Unmeasurable(f"its converter takes 30 s windows, not {config['max_source_positions'] / 50:g} s")
    return config


def _export(folder: Path, target: Path) -> None:
    """By optimum-intel, from a local folder and without the network."""
    export = import_module("optimum.exporters.openvino").main_export
    task = "automatic-speech-recognition-with-past"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracer has dozens, meant for optimum's authors
        export(str(folder), str(target), task=task, library_name="transformers", convert_tokenizer=True)


def _eight_bits(exported: Path, target: Path) -> None:
    """A copy with 8-bit weights, asymmetric by channel: what optimum-intel's `--weight-format int8` makes."""
    openvino, nncf = import_module("openvino"), import_module("nncf")
    shutil.copytree(exported, target, ignore=shutil.ignore_patterns("openvino_*coder_model.*"))
    for side in ("encoder", "decoder"):
        name = f"openvino_{side}_model.xml"
        model = openvino.Core().read_model(exported / name)
        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
        openvino.save_model(model, target / name, compress_to_fp16=False)


def _streamer(genai: Any) -> Any:
    """An object of OpenVINO's streamer class that keeps the ids."""

    class Keep(genai.StreamerBase):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.ids: list[int] = []

        def write(self, token: int | list[int]) -> Any:
            self.ids += [token] if isinstance(token, int) else token
            return genai.StreamingStatus.RUNNING

        def end(self) -> None:
            """Nothing is held back."""

    return Keep()
