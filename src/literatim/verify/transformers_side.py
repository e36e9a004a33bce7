"""The process in which transformers runs for `independent`: `python -m literatim.verify.transformers_side FOLDER`.

FOLDER holds the question (in.json, in.safetensors) and receives the answer. No accelerator's backend is loaded: on a
host with torch_npu, transformers would otherwise change masks for computations on the CPU too. Exit status 0, or 1 with
the reason as the last line of standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from literatim.models.medasr_config import is_medasr

BACKENDS = ("torch_npu",)
# transformers' names within a layer, and ours
_PARTS = {
    "self_attn_layer_norm": "attention.norm",
    "self_attn.out_proj": "attention.out",
    "encoder_attn_layer_norm": "cross.norm",
    "encoder_attn.q_proj": "cross.q",
    "encoder_attn.out_proj": "cross.out",
    "final_layer_norm": "mlp.norm",
    "fc2": "mlp.fc2",
}


def main() -> None:
    """Entry of the process."""
    for name in BACKENDS:
        sys.modules[name] = None  # type: ignore[assignment]  # then it cannot be imported, and find_spec finds none
    try:
        answer(Path(sys.argv[1]))
    except Exception as error:  # whatever went wrong is this process's answer
        sys.stderr.write(f"\n{' '.join(f'{type(error).__name__}: {error}'.split())}\n")
        sys.exit(1)


def answer(place: Path) -> None:
    """Decode in float64, then give the chosen tokens to the network in float64 and in the dtype of the noise."""
    from safetensors.torch import load_file, save_file

    question = json.loads((place / "in.json").read_text(encoding="utf-8"))
    features = load_file(place / "in.safetensors")
    tokens: list[list[int]] = []
    if is_medasr(Path(question["folder"])):
        from literatim.verify.independent_medasr import answered

        sounds = [features[str(at)] for at in range(len(question["clips"]))]
        for dtype, said, kept in answered(question["folder"], sounds, ("float64", question["dtype"])):
            tokens = tokens or said
            save_file({name: tensor.contiguous() for name, tensor in kept.items()}, place / f"{dtype}.safetensors")
        _tell(place, tokens)
        return
    for dtype in ("float64", question["dtype"]):
        model = _load(question["folder"], dtype)
        if not tokens:
            tokens = [_decode(model, features[str(at)], question, clip) for at, clip in enumerate(question["clips"])]
        kept = {}
        for at, clip in enumerate(question["clips"]):
            _run(model, features[str(at)], at, clip["prompt"], tokens[at], question["vocabulary"], kept)
        save_file({name: tensor.contiguous() for name, tensor in kept.items()}, place / f"{dtype}.safetensors")
        del model
    _tell(place, tokens)


def _tell(place: Path, tokens: list[list[int]]) -> None:
    """What was said, and what this process had loaded."""
    versions = {name: import_module(name).__version__ for name in ("transformers", "torch")}
    loaded = [name for name in BACKENDS if sys.modules.get(name) is not None]
    (place / "out.json").write_text(json.dumps({"tokens": tokens, "versions": versions, "backends": loaded}))


def _load(folder: str, dtype: str) -> Any:
    """With plain attention, whose masks are added and never turned."""
    import torch

    transformers = import_module("transformers")
    kind, dtype_of = transformers.WhisperForConditionalGeneration, getattr(torch, dtype)
    return kind.from_pretrained(folder, dtype=dtype_of, attn_implementation="eager", local_files_only=True).eval()


def _decode(model: Any, features: Any, question: dict[str, Any], clip: dict[str, Any]) -> list[int]:
    """Greedy decoding after the clip's prompt: what is said, its end included where it came to one."""
    import torch

    context, prompt = model.config.max_target_positions, clip["prompt"]
    most = min(clip["most"] or context // 2, context - len(prompt))
    settings = model.generation_config
    settings.forced_decoder_ids = None
    with torch.inference_mode():
        made = model.generate(
            features[None].to(model.dtype),
            decoder_input_ids=torch.tensor([prompt]),
            return_timestamps=question["timestamps"],
            do_sample=False,
            num_beams=1,
            max_new_tokens=most,
            force_unique_generate_call=True,
        )
    said: list[int] = made[0].tolist()[len(prompt) :]
    end = settings.eos_token_id
    end = end[0] if isinstance(end, list) else end
    return said[: said.index(end) + 1] if end in said else said


def _run(
    model: Any, features: Any, clip: int, prompt: list[int], said: list[int], vocabulary: int, kept: dict[str, Any]
) -> None:
    """All of a clip at once, and what every place of the network gave."""
    import torch

    from literatim.verify.independent import kept_places

    tokens = torch.tensor([[*prompt, *said]])
    with torch.inference_mode(), kept_places(dict(_places(model)), clip, tokens.shape[1], kept):
        out = model(features[None].to(model.dtype), decoder_input_ids=tokens, use_cache=False)
    chosen = out.logits[0, len(prompt) - 1 :][: len(said), :vocabulary]
    kept[f"{clip}/decoder.logits"] = chosen.clone()


def _places(model: Any) -> Iterator[tuple[str, Any]]:
    """Its modules by our names."""
    for side in ("encoder", "decoder"):
        network = getattr(model.model, side)
        yield f"{side}.norm", network.layer_norm
        if side == "encoder":
            yield from (("encoder.conv1", network.conv1), ("encoder.conv2", network.conv2))
        for at, layer in enumerate(network.layers):
            yield f"{side}.layers.{at}", layer
            for name, module in layer.named_modules():
                if name in _PARTS:
                    yield f"{side}.layers.{at}.{_PARTS[name]}", module


if __name__ == "__main__":
    main()
