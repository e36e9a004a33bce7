"""transformers without and with its assisted generation, one recording at a time, beside ours in `bench spec`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from literatim.bench.planted import HIGHEST, Flags, with_errors
from literatim.bench.runners.base import is_multilingual
from literatim.bench.spec_ways import Group, Run
from literatim.needs import quiet_transformers


@dataclass(frozen=True)
class Proposals:
    """How its draft is told to propose: its own defaults (20, fewer where the draft is unsure), or a fixed number."""

    fixed: int | None = None

    @property
    def what(self) -> str:
        """For the tables."""
        return "assisted, as it comes" if self.fixed is None else f"assisted, {self.fixed} proposals"

    def tell(self, assistant: Any) -> None:
        """Set them where it looks for them."""
        if self.fixed is not None:
            config = assistant.generation_config
            config.num_assistant_tokens, config.num_assistant_tokens_schedule = self.fixed, "constant"
            config.assistant_confidence_threshold = 0.0


@dataclass
class Assisted:
    """WhisperForConditionalGeneration in float32, with an assistant where `proposals` are given.

    `right` (rows, S), where the assistant's acceptance is planted, says which proposals are.
    """

    model: Any
    folder: Path
    assistant: Any = None
    proposals: Proposals | None = None
    right: Flags | None = None
    dtype: str = "float32"
    name: str = "transformers"
    package: str = "transformers"
    most_rows: int | None = 1
    _groups: Sequence[Group] = field(default_factory=list)
    _seconds: list[float] = field(default_factory=list)

    @property
    def drafted(self) -> bool:
        """Whether it is helped."""
        return self.proposals is not None

    @property
    def what(self) -> str:
        """For the tables."""
        return "plain" if self.proposals is None else self.proposals.what

    def begin(self, groups: Sequence[Group]) -> list[Run]:
        """Plant what the model itself says, where that is wanted, and decode once."""
        self._groups = groups
        if self.drafted and self.right is not None:
            for index, group in enumerate(groups):
                said = self._decode(index, None)[0].tolist()[len(group.prompts[0]) :]
                self.assistant.plant([*group.prompts[0], *with_errors(said, self.right[0].tolist())])
        return [self.run(index) for index in range(len(groups))]

    def run(self, index: int) -> Run:
        """By the clock, its encoder's part by hooks."""
        marks: list[float] = []
        hooks = [
            self.model.model.encoder.register_forward_pre_hook(lambda *_: marks.append(time.perf_counter())),
            self.model.model.encoder.register_forward_hook(lambda *_: marks.append(time.perf_counter())),
        ]
        start = time.perf_counter()
        try:
            made = self._decode(index, self.proposals)
        finally:
            for hook in hooks:
                hook.remove()
        total, encoder = time.perf_counter() - start, sum(marks[1::2]) - sum(marks[::2])
        end = self.model.generation_config.eos_token_id
        said = made[0].tolist()[len(self._groups[index].prompts[0]) :]
        return Run(encoder, total - encoder, [said[: said.index(end)] if end in said else said])

    @torch.inference_mode()
    def _decode(self, index: int, proposals: Proposals | None) -> torch.Tensor:
        group, how = self._groups[index], dict[str, Any]()
        if proposals is not None:
            proposals.tell(self.assistant)
            how["assistant_model"] = self.assistant
        if group.most is not None:
            how |= {"min_new_tokens": group.most, "max_new_tokens": group.most}
        if is_multilingual(self.folder):
            how |= {"language": group.languages[0], "task": "transcribe"}
        features = torch.stack(list(group.features))
        with quiet_transformers():
            made: torch.Tensor = self.model.generate(
                features, return_timestamps=False, do_sample=False, num_beams=1, force_unique_generate_call=True, **how
            )
        return made


def load(folder: Path) -> Any:
    """The main model."""
    return _read(import_module("transformers").WhisperForConditionalGeneration, folder)


def load_assistant(folder: Path) -> Any:
    """A decoder that shares the main model's encoder: distil-whisper's, or one that `literatim draft train` made."""
    return _read(import_module("transformers").WhisperForCausalLM, folder)


def planted_assistant(folder: Path, layers: int) -> Any:
    """Random weights of so many decoder layers; `plant(text)` says what it foretells after each position."""
    transformers = import_module("transformers")
    config = transformers.WhisperConfig.from_pretrained(folder, local_files_only=True)
    config.decoder_layers = layers
    config._attn_implementation = "sdpa"
    made: Any = transformers.WhisperForCausalLM(config).eval()
    forward, text = made.forward, list[int]()

    @wraps(forward)  # generate() looks at the names of its arguments
    def planted(input_ids: Any = None, past_key_values: Any = None, **others: Any) -> Any:
        before = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        out = forward(input_ids=input_ids, past_key_values=past_key_values, **others)
        for offset in range(-out.logits.shape[1], 0):
            following = before + input_ids.shape[1] + offset + 1
            if following < len(text):
                out.logits[0, offset, text[following]] = HIGHEST
        return out

    def plant(told: Sequence[int]) -> None:
        text[:] = told

    made.forward, made.plant = planted, plant
    return made


def _read(kind: Any, folder: Path) -> Any:
    with quiet_transformers():
        found = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True)
    return found.eval()
