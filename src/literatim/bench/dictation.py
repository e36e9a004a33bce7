"""MedASR beside transformers: a dictation at once and in windows, features included, in turns on the same sound."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from literatim import device as devices
from literatim import hub
from literatim.api import MedasrRecognizer, load
from literatim.audio.decode import SAMPLE_RATE, decode
from literatim.bench import stats
from literatim.bench.table import Table
from literatim.bench.windows import babble, cut
from literatim.errors import ModelFormatError
from literatim.needs import need, quiet_transformers
from literatim.provenance.fingerprint import fingerprint

CLIP, WINDOW = 43.8, 20.0  # seconds of the published clip, and of a window
DTYPES = ("float32", "float16", "bfloat16")
PIECES = 512
RELEASED: dict[str, Any] = {}  # transformers' defaults are the released model's
MICRO = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SHAPES: dict[str, dict[str, Any]] = {"medasr": RELEASED, "micro": MICRO}
PUBLISHED = {
    "system": "transformers 5.0.0 with torch-npu",
    "device": "Ascend 910",
    "what": f"{CLIP} s at once",
    "latency_ms": 22.29,
    "source": "an Ascend port of MedASR published in 2026; where, we could not confirm",
}
TIE = 1e-4  # logits of the same network by two programs are that near in float32: nearer ones are not told apart
Answer = list[list[int]]  # the likeliest id of each step, row by row
Runner = Callable[[NDArray[np.float32]], Answer]
Logits = Callable[[NDArray[np.float32]], torch.Tensor]  # (B, S, V)


@dataclass(frozen=True)
class Plan:
    """What is measured; without a model it is `shape` with random weights."""

    model: str | None = None
    shape: str = "medasr"
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    batch: int = 8
    rounds: int = 5
    device: str = "cpu"
    audio: Path | None = None
    seed: int = 0


def run(plan: Plan, scratch: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """The report. Raises ModelFormatError for another kind of model, DependencyError without transformers."""
    folder = write(SHAPES[plan.shape], scratch / "model", plan.seed) if plan.model is None else hub.resolve(plan.model)
    device = devices.pick(plan.device)
    samples = None if plan.audio is None else decode(plan.audio).samples[0]
    works = {f"{CLIP:g} s at once": _sound(samples, 1, CLIP, plan.seed)}
    works[f"{plan.batch} windows of {WINDOW:g} s"] = _sound(samples, plan.batch, WINDOW, plan.seed)
    results = []
    for dtype in plan.dtypes:
        tell(f"{dtype}: loading")
        ours, theirs = _ours(folder, dtype, device), _theirs(folder, dtype, device)
        for what, sound in works.items():
            tell(f"{dtype}, {what}")
            results.append({"dtype": dtype, "work": what, **_measured(ours, theirs, sound, plan.rounds)})
    _compare_with_float32(results)
    return {
        "kind": "literatim bench dictation",
        "model": plan.model or plan.shape,
        "weights": "random" if plan.model is None else "given",
        "sound": "made up" if plan.audio is None else plan.audio.name,
        "settings": {"rounds": plan.rounds, "batch": plan.batch, "device": str(device)},
        "results": results,
        "published": [PUBLISHED],
        "environment": fingerprint(plan.device, list(plan.dtypes), ("transformers",)),
    }


def table(report: Mapping[str, Any]) -> Table:
    """A line for each dtype and work."""
    rows = []
    for found in report["results"]:
        ours, theirs = (found["seconds"][name]["median"] for name in ("literatim", "transformers"))
        same, wide = found["ratio"], found["ratio_to_float32"]
        cells = [f"{1000 * ours:.1f}", f"{1000 * theirs:.1f}", _shown(same), "" if wide is None else _shown(wide)]
        rows.append((found["work"], found["dtype"], *cells, f"{100 * found['steps_equal']:.2f} %"))
    columns = ("work", "dtype", "ours, ms", "transformers, ms", "ratio", "by its float32", "steps alike")
    published = report["published"][0]
    notes = (
        "Medians, features included; ratios of medians with 95 % intervals. Steps alike: whose likeliest token is that",
        "of transformers in the same dtype. Weights are "
        + report["weights"]
        + "; the sound is "
        + report["sound"]
        + ".",
        *_ties(report),
        f"Published, on another machine: {published['what']} in {published['latency_ms']} ms ({published['device']}).",
    )
    return Table(f"{report['model']} beside transformers", columns, tuple(rows), notes, texts=2)


def differing(report: Mapping[str, Any]) -> list[str]:
    """A sentence for each work in which float32 said what transformers finds less likely by more than a TIE."""
    return [
        f"{found['work']}: {100 * (1 - found['steps_equal']):.2f} % of the steps are not transformers' in float32; its "
        f"logit of what ours says is up to {found['furthest']:.2g} lower"
        for found in report["results"]
        if found["dtype"] == "float32" and not found["furthest"] <= TIE  # nor where it is no number
    ]


def _ties(report: Mapping[str, Any]) -> list[str]:
    """What is to be said of steps in float32 that differ, and are no error."""
    return [
        f"{found['work']}, float32: where ours differs, transformers' logits of both are {found['furthest']:.1g} apart."
        for found in report["results"]
        if found["dtype"] == "float32" and found["steps_equal"] < 1 and found["furthest"] <= TIE
    ]


def write(encoder: Mapping[str, Any], folder: Path, seed: int = 0) -> Path:
    """A MedASR folder with random weights in this shape, and made-up pieces; returns `folder`."""
    transformers = need("transformers", "eval", "a random model")
    with quiet_transformers():
        config = transformers.LasrCTCConfig(vocab_size=PIECES, pad_token_id=0, encoder_config=dict(encoder))
        model = transformers.LasrForCTC(config).eval()
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if tensor.is_floating_point():
                    tensor.copy_(_values(name, tensor, random))
            extractor = transformers.LasrFeatureExtractor(feature_size=config.encoder_config.num_mel_bins)
            _enliven(model, extractor, seed)
        model.save_pretrained(folder)
        vocab = [(piece, 0.0) for piece in ("<epsilon>", "</s>", "<unk>", "▁")]
        vocab += [(f"▁w{number}", -1.0) for number in range(len(vocab), PIECES)]
        transformers.LasrTokenizer(pad_token="<epsilon>", vocab=vocab, extra_ids=0).save_pretrained(folder)
        extractor.save_pretrained(folder)
    return folder


def _enliven(model: Any, extractor: Any, seed: int) -> None:
    """Take from each token's logit what it is on average, which a random network's say most: then the sound decides."""
    sound = babble(1, CLIP, seed + 1)
    mel = extractor(list(sound), sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
    model.ctc_head.bias -= model(mel).logits.mean((0, 1))


def _values(name: str, like: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Weights of unit gain, and statistics of batch norms near those of such a network."""
    noise = torch.randn(like.shape, generator=random)
    if name.endswith("running_var") or ("norm" in name and name.endswith("weight")):
        return 1 + 0.2 * noise.abs()
    if like.dim() < 2:
        return 0.1 * noise
    spread: float = 1.5 * like[0].numel() ** -0.5
    return noise * spread


def _sound(samples: NDArray[np.float32] | None, rows: int, seconds: float, seed: int) -> NDArray[np.float32]:
    return babble(rows, seconds, seed) if samples is None else cut(samples, rows, seconds)


def _ours(folder: Path, dtype: str, device: torch.device) -> Runner:
    recognizer = load(folder, device=str(device), dtype=dtype)
    if not isinstance(recognizer, MedasrRecognizer):
        raise ModelFormatError(f"{folder} is not of MedASR, which `bench dictation` measures")
    listener = recognizer._listener

    def answer(sound: NDArray[np.float32]) -> Answer:
        return [steps.ids.tolist() for steps in listener.hear([torch.from_numpy(row) for row in sound])]

    return answer


def _theirs(folder: Path, dtype: str, device: torch.device) -> Logits:
    transformers = need("transformers", "eval", "comparing with transformers")
    with quiet_transformers():
        held = torch.float32 if device.type == "cpu" and dtype == "float16" else getattr(torch, dtype)
        model = transformers.LasrForCTC.from_pretrained(folder, dtype=held).to(device).eval()
        extractor = transformers.LasrFeatureExtractor.from_pretrained(folder)

    def logits(sound: NDArray[np.float32]) -> torch.Tensor:
        mel = extractor(list(sound), sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
        with torch.inference_mode():
            found: torch.Tensor = model(mel.to(device, held)).logits
        return found

    return logits


def _measured(ours: Runner, theirs: Logits, sound: NDArray[np.float32], rounds: int) -> dict[str, Any]:
    """Seconds of each round, in turns; the first, which may compile, is not counted."""

    def argmax(sound: NDArray[np.float32]) -> Answer:
        said: Answer = theirs(sound).argmax(-1).tolist()
        return said

    runners: dict[str, Runner] = {"literatim": ours, "transformers": argmax}
    compared = agreement(torch.tensor(ours(sound)), theirs(sound).float().cpu())
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            began = time.perf_counter()
            runner(sound)  # its answer is on the host: nothing is left to be waited for
            times[name].append(time.perf_counter() - began)
    return {
        "seconds": {name: {**stats.summary(found), "all": found} for name, found in times.items()},
        "ratio": stats.ratio_interval(*times.values()),
        **compared,
    }


def agreement(said: torch.Tensor, logits: torch.Tensor) -> dict[str, Any]:
    """Our ids (B, S) by another program's logits (B, S, V): `furthest` is how much less likely it finds one of ours."""
    best, likeliest = logits.max(-1)
    return {
        "steps": said.numel(),
        "steps_equal": int((said == likeliest).sum()) / said.numel(),
        "furthest": (best - logits.gather(-1, said[..., None])[..., 0]).max().item(),
        "tokens": len(set(said.flatten().tolist())),
    }


def _compare_with_float32(results: list[dict[str, Any]]) -> None:
    """Our time by that of transformers in float32, where that was measured."""
    wide = {found["work"]: found["seconds"]["transformers"]["all"] for found in results if found["dtype"] == "float32"}
    for found in results:
        there = wide.get(found["work"])
        ours = found["seconds"]["literatim"]["all"]
        found["ratio_to_float32"] = None if there is None else stats.ratio_interval(ours, there)


def _shown(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]"
