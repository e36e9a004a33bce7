"""transformers as the independent implementation: what it makes of the same sound, beside what our network does.

It runs in a process of its own that never loads an accelerator's backend (`transformers_side`), in float64 for the
truth and in the dtype for its noise. It decodes by itself; both networks are then given the tokens that it chose, and
every block's output is compared, in the order of the work. On a CPU, where the device is its own noise floor, this is
the gate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from literatim.errors import DependencyError, LiteratimError
from literatim.models.whisper import DecoderLayer, EncoderLayer, Whisper
from literatim.pipeline.steps import Steps
from literatim.verify.end_to_end import TRANSFORMERS, Measured, end_to_end
from literatim.verify.figures import Errors, errors
from literatim.verify.grades import OF_DTYPE, acceptable, grade
from literatim.verify.subject import Clip
from literatim.verify.tokens import Decode, Judge
from literatim.verify.tokens import compare as compare_tokens
from literatim.verify.types import EndToEnd

CHILD = "literatim.verify.transformers_side"
FRAMES = 128  # encoder steps of a block that are kept, evenly spread
# what a block adds to the residual stream, and what it reads, in our names
PARTS = ("attention.norm", "attention.out", "cross.norm", "cross.q", "cross.out", "mlp.norm", "mlp.fc2")
ENDS = ("encoder.norm", "decoder.logits")  # kept in whole: the encoder's states, and the logits


@dataclass(frozen=True)
class Answer:
    """What transformers said of clips: its tokens without prompt, and tensors (K or S, D) by clip and place.

    `truth` is in float64, `floor` the same in `dtype`; `about` has the versions and what the process had loaded.
    """

    dtype: str

    tokens: tuple[tuple[int, ...], ...]
    truth: Mapping[str, Tensor]
    floor: Mapping[str, Tensor]
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """One place of the network beside the independent one: our error, and its own in the same dtype."""

    clip: int
    name: str
    dtype: str
    found: Errors
    floor: Errors

    @property
    def grade(self) -> str:
        """The size of the error by name; that of float32 should be fp32."""
        return grade(self.found.relative_rms, self.floor.relative_rms, self.dtype, bad=self.found.not_finite)


def ask(folder: Path, clips: Sequence[Clip], timestamps: bool, vocabulary: int, dtype: str = "float32") -> Answer:
    """What transformers makes of the clips with the checkpoint in `folder`, by greedy decoding in float64.

    `vocabulary` is the number of tokens, `dtype` that of its noise. Raises DependencyError where transformers is not
    installed, and LiteratimError with its last words where its process fails.
    """
    with tempfile.TemporaryDirectory(prefix="literatim-") as made:
        place = Path(made)
        sounds = {str(at): clip.features.float().contiguous() for at, clip in enumerate(clips)}
        save_file(sounds, place / "in.safetensors")
        question = {
            "folder": str(folder.resolve()),
            "timestamps": timestamps,
            "vocabulary": vocabulary,
            "dtype": dtype,
            "clips": [{"prompt": list(clip.prompt), "most": clip.most} for clip in clips],
        }
        (place / "in.json").write_text(json.dumps(question), encoding="utf-8")
        _run(place)
        about = json.loads((place / "out.json").read_text(encoding="utf-8"))
        truth, floor = (load_file(place / f"{name}.safetensors") for name in ("float64", dtype))
    return Answer(dtype, tuple(tuple(row) for row in about.pop("tokens")), truth, floor, about)


def required() -> None:
    """DependencyError where transformers is not installed, which this process must not import."""
    if find_spec("transformers") is None:
        raise DependencyError(
            "comparing with the independent implementation needs transformers; install it with: "
            "pip install 'literatim[verify]', or leave it out with --against self"
        )


def environment() -> dict[str, str]:
    """Variables for a process that must not load an accelerator's backend, nor use the network."""
    kept = {name: value for name, value in os.environ.items() if name != "TORCH_TRANSFER_TO_NPU"}
    return {**kept, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def _run(place: Path) -> None:
    command = [sys.executable, "-m", CHILD, str(place)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    raise LiteratimError(
        f"transformers could not run the model (exit status {done.returncode}): {last}; "
        "run it by itself, or leave it out with --against self"
    )


@torch.inference_mode()
def replay(model: Whisper, clips: Sequence[Clip], answer: Answer, steps: Steps | None = None) -> dict[str, Tensor]:
    """The same places of our network, given the tokens that transformers chose; on the CPU, in the network's dtype.

    `steps` is what decodes, as the engine has it, if not the network's modules: of it only the ends are seen.
    """
    kept: dict[str, Tensor] = {}
    like, decoder = model.decoder.positions, steps or model.decoder
    for clip, sound in enumerate(clips):
        tokens = torch.tensor([[*sound.prompt, *answer.tokens[clip]]], dtype=torch.int32, device=like.device)
        with kept_places(_modules(model), clip, tokens.shape[1], kept):
            states = model.encoder(sound.features[None].to(like.device, like.dtype))
            cache = decoder.allocate(1)
            decoder.listen(states, cache)
            lengths = torch.zeros(1, dtype=torch.int32, device=like.device)
            hidden = decoder(tokens, lengths, cache, tokens.shape[1])
        chosen = hidden[0, len(sound.prompt) - 1 :][: len(answer.tokens[clip])]
        kept[f"{clip}/decoder.norm"] = spread_out(hidden[0]).cpu()
        kept[f"{clip}/decoder.logits"] = decoder.logits(chosen).cpu()
    return kept


def compare(found: Mapping[str, Tensor], answer: Answer) -> list[Place]:
    """Every place that both have, in the order of the work."""
    places = []
    for key, tensor in found.items():
        clip, _, name = key.partition("/")
        if tensor.numel() and key in answer.truth:
            true = answer.truth[key]
            places.append(Place(int(clip), name, answer.dtype, errors(tensor, true), errors(answer.floor[key], true)))
    return places


def first_apart(places: Sequence[Place]) -> Place | None:
    """Where our network first does something else, the errors before it being the dtype's; None where it does not."""
    return next((place for place in places if not acceptable(place.grade, OF_DTYPE[place.dtype])), None)


def against_transformers(
    found: Mapping[str, Tensor],
    answer: Answer,
    clips: Sequence[Clip],
    said: Sequence[Sequence[int]],
    decode: Decode,
    end: int,
    special: Mapping[int, str] | None = None,
) -> EndToEnd:
    """The published figures, and `said`, what our engine chose for each clip, beside what transformers chose.

    `end` is the token that ends a text, which `said` is without; `decode` and `special` are as in `tokens.compare`.
    """

    def whole(name: str) -> Measured:
        keys = [f"{clip}/{name}" for clip in range(len(clips))]
        return Measured(*(torch.cat([some[key] for key in keys]) for some in (found, answer.floor, answer.truth)))

    tokens = [
        compare_tokens(
            clip.name,
            [token for token in answer.tokens[at] if token != end],
            said[at],
            end=end,
            decode=decode,
            special=special,
            judge=Judge(answer.truth[f"{at}/decoder.logits"], answer.floor[f"{at}/decoder.logits"]),
            truth=clip.words,
        )
        for at, clip in enumerate(clips)
    ]
    return end_to_end(TRANSFORMERS, whole("encoder.norm"), whole("decoder.logits"), tokens)


@contextmanager
def kept_places(modules: Mapping[str, nn.Module], clip: int, tokens: int, kept: dict[str, Tensor]) -> Iterator[None]:
    """Within it the outputs of `modules` (name to module) are put into `kept`, each as rows (K or S, D).

    Of the decoder's outputs the first `tokens` rows count: more are computed to fill a block. Convolutions are (B, D,
    T).
    """

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            rows = output[0] if isinstance(output, tuple) else output
            rows = rows[0] if rows.dim() == 3 else rows
            rows = rows.T if ".conv" in name else rows
            rows = rows[:tokens] if name.startswith("decoder.") else rows
            kept[f"{clip}/{name}"] = rows.cpu() if name in ENDS else spread_out(rows).cpu()

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def spread_out(rows: Tensor) -> Tensor:
    """At most FRAMES of the rows, evenly spread."""
    return rows[:: -(-len(rows) // FRAMES)].clone()


def _modules(model: Whisper) -> dict[str, nn.Module]:
    wanted = {"encoder.conv1", "encoder.conv2", "encoder.norm", "decoder.norm"}
    return {
        name: module
        for name, module in model.named_modules()
        if name in wanted or isinstance(module, (EncoderLayer, DecoderLayer)) or name.endswith(PARTS)
    }
