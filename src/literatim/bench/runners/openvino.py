"""OpenVINO GenAI's WhisperPipeline on a model exported by optimum-intel."""

from __future__ import annotations

import shutil
import time
import warnings
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from literatim.bench.runners.base import (
    LANGUAGE,
    Ids,
    Runner,
    Setting,
    Setup,
    Turn,
    Unmeasurable,
    convertible,
    is_multilingual,
    once,
)
from literatim.bench.windows import Windows


class OpenVino(Runner):
    """WhisperPipeline; bfloat16 is float32 weights computed in bfloat16.

    int8 is 8-bit weights, computed in bfloat16 where the CPU can. By default, as for those who give no hint, OpenVINO
    chooses the precision itself: bfloat16 where the CPU has it.
    """

    name, package = "openvino", "openvino-genai"
    libraries = ("openvino", "openvino_genai")
    dtypes = ("float32", "bfloat16", "int8")
    settings = (
        Setting(
            "default", "no precision hint, greedy", {"hint": False}, roles=("default",), dtypes=("float32", "int8")
        ),
        Setting("best", "precision hint of the dtype, greedy", {"hint": True}, roles=("best",)),
    )
    converts, uses_torch = True, False
    most_rows = 1

    @classmethod
    def prepare(cls, folder: Path, dtype: str, setup: Setup) -> None:
        """Export by optimum-intel, and 8-bit weights by NNCF."""
        import_module("openvino_genai")
        if setup.device.type != "cpu":
            raise Unmeasurable("measured on the CPU only")
        if dtype == "bfloat16" and not _can_bf16():
            raise Unmeasurable("OpenVINO has no bfloat16 on this CPU")
        convertible(folder)
        exported = once(setup.scratch / "openvino", partial(_export, folder))
        if dtype == "int8":
            once(setup.scratch / "openvino-int8", partial(_eight_bits, exported))

    def _load(self) -> None:
        self._genai = import_module("openvino_genai")
        hints: dict[str, Any] = {"INFERENCE_NUM_THREADS": self.setup.threads}
        if self.setting.options["hint"]:
            hints["INFERENCE_PRECISION_HINT"] = "f32" if self.dtype == "float32" or not _can_bf16() else "bf16"
        folder = self.setup.scratch / ("openvino-int8" if self.dtype == "int8" else "openvino")
        self._pipeline = self._genai.WhisperPipeline(str(folder), "CPU", **hints)

    def encode(self, windows: Windows) -> None:
        """Not callable alone: its own measurement is taken."""
        raise NotImplementedError

    def _options(self, tokens: int) -> Any:
        options = self._pipeline.get_generation_config()
        if is_multilingual(self.folder):
            options.language, options.task = f"<|{LANGUAGE}|>", "transcribe"
        options.return_timestamps = False
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


def _can_bf16() -> bool:
    return "BF16" in import_module("openvino").Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


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
