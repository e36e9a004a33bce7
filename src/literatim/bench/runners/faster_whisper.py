"""CTranslate2, which faster-whisper stands on, called without faster-whisper's own pipeline."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from literatim.bench.runners.base import Ids, Runner, Setting, Setup, Unmeasurable, convertible, once, prompt
from literatim.bench.windows import Windows


class FasterWhisper(Runner):
    """CTranslate2's Whisper.generate: greedy as its best, and the beam of 5 that faster-whisper uses unasked."""

    name, package = "faster-whisper", "ctranslate2"
    libraries = ("ctranslate2",)
    dtypes = ("float32", "float16", "bfloat16", "int8")
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("default", "beam 5", {"beam_size": 5}, roles=("default",)),
        Setting("best", "greedy", {"beam_size": 1}, roles=("best",)),
    )
    converts, uses_torch = True, False

    @classmethod
    def prepare(cls, folder: Path, dtype: str, setup: Setup) -> None:
        """By CTranslate2's converter for transformers' folders."""
        supported(dtype, setup)
        convertible(folder)
        converter = import_module("ctranslate2.converters").TransformersConverter(str(folder))
        once(setup.scratch / "ctranslate2", lambda path: converter.convert(str(path)))

    def _load(self) -> None:
        self._library = import_module("ctranslate2")
        config = convertible(self.folder)
        self._end = config["eos_token_id"]
        self.most_tokens = config["max_target_positions"] // 2
        device = self.setup.device
        self._model = self._library.models.Whisper(
            str(self.setup.scratch / "ctranslate2"),
            device.type,
            device_index=device.index or 0,
            compute_type=self.dtype,
            intra_threads=self.setup.threads,
            inter_threads=1,
        )
        self._prompt = prompt(self.folder)

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
            max_length=2 * tokens,
            suppress_tokens=[-1, self._end],
            **self.setting.options,
        )
        return [result.sequences_ids[0] for result in results]


def supported(dtype: str, setup: Setup) -> None:
    """Raise Unmeasurable where CTranslate2 has no such arithmetic on this device."""
    kind = setup.device.type
    if kind not in {"cpu", "cuda"}:
        raise Unmeasurable(f"CTranslate2 does not run on {kind}")
    if dtype not in import_module("ctranslate2").get_supported_compute_types(kind):
        raise Unmeasurable(f"CTranslate2 has no {dtype} on this {kind}")
