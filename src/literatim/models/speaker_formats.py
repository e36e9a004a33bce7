"""The formats that speaker checkpoints come in, brought to one: batch norms fused, torch's layout, MLX's names.

Four are known: WeSpeaker's own (`avg_model.pt`: `seg_1`, batch norms, the training's `projection`, `module.` before
each name where several devices trained it), pyannote's (`resnet.` before each), the published MLX folder
(aufklarer/WeSpeaker-ResNet34-LM-MLX: fused, convolutions as [O, H, W, I]) and the same in torch's layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from literatim.errors import ModelFormatError
from literatim.models.speaker_config import EXPANSIONS, HALVINGS, STAGES, SpeakerConfig

_PREFIXES = re.compile(r"^(module\.|model\.|resnet\.)+")
# What training leaves in a file and no embedding needs: the classes of the voices, how often a batch norm was trained.
TRAINING = re.compile(r"(?:^|\.)(projection|loss_func)\.|\.num_batches_tracked$")
_RENAMED = ((r"^seg_1\.", "embedding."), (r"\.shortcut\.0\.", ".shortcut."), (r"\.shortcut\.1\.", ".shortcut.norm."))
_NORM = re.compile(r"(?:^|(?<=\.))bn(\d)\.")  # of the convolution with its number
_STATISTICS = ("weight", "bias", "running_mean", "running_var")
_EPSILON = 1e-5  # torch's, which WeSpeaker leaves as it is
LEAST_SHARE = 0.1  # of the variance that bands must explain
_OTHER = "this is no WeSpeaker ResNet with statistics pooling and one embedding layer"


@dataclass(frozen=True)
class SpeakerTensors:
    """A network's tensors under our names, as torch lays them out; `layout` is how they lay: `torch` or `mlx`."""

    config: SpeakerConfig
    tensors: dict[str, Tensor]
    layout: str


def is_speaker_like(names: Iterable[str]) -> bool:
    """Whether these could be the names of such a network's tensors: the first convolution, and the last product."""
    ours = {_PREFIXES.sub("", name) for name in names}
    return "conv1.weight" in ours and not ours.isdisjoint({"embedding.weight", "seg_1.weight", "layer1.0.conv1.weight"})


def standard(given: Mapping[str, Tensor], config: SpeakerConfig | None = None) -> SpeakerTensors:
    """A checkpoint's tensors in the one format, and the shape of its network, which they tell.

    Raises ModelFormatError naming the tensors that do not fit, or where `config` says another shape.
    """
    tensors, theirs = _renamed(given)
    layout = _layout(tensors)
    if layout == "mlx":
        tensors = {name: _permuted(tensor, (0, 3, 1, 2)) for name, tensor in tensors.items()}
    tensors = _fused(tensors, theirs)
    told = _told(tensors)
    if config is not None and config != told:
        raise ModelFormatError(f"config.json and the weights do not belong together: {_differences(config, told)}")
    _check(tensors, told, theirs)
    if _lies_by_bands(tensors["embedding.weight"], told):
        raise ModelFormatError(
            f"{theirs['embedding.weight']} has its columns band by band, where the network pools channel by channel: a "
            "conversion for another program has turned them, and every vector would be wrong; use the checkpoint that "
            "it was made from"
        )
    return SpeakerTensors(told, tensors, layout)


def as_mlx(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the one format with convolutions as MLX has them, [O, H, W, I]."""
    return {name: _permuted(tensor, (0, 2, 3, 1)) for name, tensor in tensors.items()}


def shapes(config: SpeakerConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a network."""
    wide, expansion = config.channels[0], EXPANSIONS[config.block]
    out = _affine("conv1", wide, 1, 3, 3)
    entering = wide
    for stage, (blocks, channels) in enumerate(zip(config.layers, config.channels, strict=True), 1):
        for number in range(blocks):
            here, leaving = f"layer{stage}.{number}", channels * expansion
            sizes = (3, 3) if config.block == "basic" else (1, 3, 1)
            widths = [entering, *[channels] * (len(sizes) - 1), leaving]
            for index, size in enumerate(sizes):
                out |= _affine(f"{here}.conv{index + 1}", widths[index + 1], widths[index], size, size)
            if entering != leaving or (stage > 1 and number == 0):
                out |= _affine(f"{here}.shortcut", leaving, entering, 1, 1)
            entering = leaving
    return out | _affine("embedding", config.embedding_dim, config.pooled)


def _affine(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _renamed(given: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors under our names, a batch norm as `.norm.` of its convolution; and what each is called in the file."""
    tensors: dict[str, Tensor] = {}
    theirs: dict[str, str] = {}
    for name, tensor in given.items():
        ours = _PREFIXES.sub("", name)
        if TRAINING.search(ours):
            continue
        for pattern, ours_is in _RENAMED:
            ours = re.sub(pattern, ours_is, ours)
        ours = _NORM.sub(r"conv\1.norm.", ours)
        if ours in tensors:
            raise ModelFormatError(f"the weights hold {theirs[ours]} and {name}, two tensors for one place")
        tensors[ours], theirs[ours] = tensor, name
    return tensors, theirs


def _layout(tensors: Mapping[str, Tensor]) -> str:
    first = tensors.get("conv1.weight")
    if first is None:
        raise ModelFormatError(f"the weights lack conv1.weight and hold {_some(list(tensors))}: {_OTHER}")
    shape = tuple(first.shape)
    if shape[1:] == (1, 3, 3):
        return "torch"
    if shape[1:] == (3, 3, 1):
        return "mlx"
    raise ModelFormatError(f"conv1.weight has the shape {shape}; [O, 1, 3, 3] is needed, or MLX's [O, 3, 3, 1]")


def _permuted(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
    return tensor.permute(axes).contiguous() if tensor.dim() == 4 else tensor


def _fused(tensors: Mapping[str, Tensor], theirs: Mapping[str, str]) -> dict[str, Tensor]:
    """Each batch norm, where there is one, in the weight and bias of its convolution; computed in float64."""
    out = {name: tensor for name, tensor in tensors.items() if ".norm." not in name}
    for module in dict.fromkeys(name.partition(".norm.")[0] for name in tensors if ".norm." in name):
        parts = {leaf: tensors.get(f"{module}.norm.{leaf}") for leaf in _STATISTICS}
        weight, bias = tensors.get(f"{module}.weight"), tensors.get(f"{module}.bias")
        if bias is not None:
            raise ModelFormatError(
                f"the weights hold {theirs[f'{module}.bias']} beside a batch norm; WeSpeaker's convolutions have no "
                "bias of their own, so one of the two is not what it says"
            )
        there = {leaf: part.double() for leaf, part in parts.items() if part is not None}
        if weight is None or len(there) < len(parts):
            norm = next(theirs[f"{module}.norm.{leaf}"].rpartition(".")[0] for leaf in there)
            lacking = [f"{norm}.{leaf}" for leaf in parts if leaf not in there]
            raise ModelFormatError(f"the weights lack {_some(lacking or [f'{module}.weight'])}; download them again")
        factor = there["weight"] / (there["running_var"] + _EPSILON).sqrt()
        out[f"{module}.weight"] = (weight.double() * factor[:, None, None, None]).to(weight.dtype)
        out[f"{module}.bias"] = (there["bias"] - there["running_mean"] * factor).to(weight.dtype)
    return out


def _told(tensors: Mapping[str, Tensor]) -> SpeakerConfig:
    """The shape of the network that the tensors are of; ModelFormatError where they are of none."""
    layers, channels = [], []
    for stage in range(1, STAGES + 1):
        numbers = {int(match[1]) for name in tensors if (match := re.match(rf"layer{stage}\.(\d+)\.", name))}
        first = tensors.get(f"layer{stage}.0.conv1.weight")
        if first is None:
            raise ModelFormatError(f"the weights lack layer{stage}.0.conv1.weight: {_OTHER}")
        layers.append(len(numbers))
        channels.append(first.shape[0])
    matrix = tensors.get("embedding.weight")
    if matrix is None or matrix.dim() != 2:
        raise ModelFormatError(f"the weights lack embedding.weight, WeSpeaker's seg_1.weight: {_OTHER}")
    block = "bottleneck" if "layer1.0.conv3.weight" in tensors else "basic"
    config = SpeakerConfig(
        embedding_dim=matrix.shape[0], layers=tuple(layers), channels=tuple(channels), block=block, n_mels=1 << HALVINGS
    )
    bands, rest = divmod(matrix.shape[1], config.pooled)
    if rest or not bands:
        raise ModelFormatError(
            f"embedding.weight has the shape {tuple(matrix.shape)}; after {channels[-1]} channels, means and "
            f"deviations of whole bands are a multiple of {config.pooled}: {_OTHER}"
        )
    return replace(config, n_mels=bands << HALVINGS)


def _check(tensors: Mapping[str, Tensor], config: SpeakerConfig, theirs: Mapping[str, str]) -> None:
    wanted = shapes(config)
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise ModelFormatError(f"the weights lack {_some(missing)}; the download is incomplete, or {_OTHER}")
    extra = [theirs.get(name, name) for name in tensors if name not in wanted]
    if extra:
        raise ModelFormatError(f"the weights hold {_some(extra)}: {_OTHER}")
    wrong = [
        f"{theirs.get(name, name)} {tuple(tensors[name].shape)} instead of {shape}"
        for name, shape in wanted.items()
        if tuple(tensors[name].shape) != shape
    ]
    if wrong:
        raise ModelFormatError(f"the weights do not belong together: {_some(wrong)}")
    broken = [name for name in wanted if not torch.isfinite(tensors[name]).all()]
    if broken:
        raise ModelFormatError(f"{_some(broken)} hold infinite or undefined values; download the model again")


def _lies_by_bands(matrix: Tensor, config: SpeakerConfig) -> bool:
    """Whether the columns of (E, 2 C M) are turned: means, then deviations, of all channels of one band after another.

    Both orders have one shape. How long columns are differs from band to band: of the variance of their logarithms the
    bands explain 0.59 and 0.34 in demo-speaker, and 0.001 and 0.009 as if it were turned; by chance it is 0.01.
    """
    bands = config.n_mels >> HALVINGS
    lengths = matrix.float().norm(dim=0).clamp(min=1e-20).log().view(2, -1)  # (2, C M)
    lengths = lengths - lengths.mean(1, keepdim=True)
    both = lengths.square().mean() + 1e-20
    straight = lengths.view(2, -1, bands).mean(1).square().mean() / both
    turned = lengths.view(2, bands, -1).mean(2).square().mean() / both
    least = LEAST_SHARE + 3 * (bands - 1) / (lengths.shape[1] - 1)  # few channels explain much by chance
    return bool(turned > least and turned > 2 * straight)


def _differences(said: SpeakerConfig, told: SpeakerConfig) -> str:
    names = [name for name in vars(told) if getattr(said, name) != getattr(told, name)]
    return ", ".join(f"{name} is {getattr(said, name)} there and {getattr(told, name)} here" for name in names)


def _some(names: list[str]) -> str:
    """Up to five of the names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
