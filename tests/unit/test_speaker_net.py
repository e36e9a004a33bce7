"""The speaker network against WeSpeaker's arithmetic in float64, alone and in batches of any lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from literatim import device as devices
from literatim.models.speaker import IN_CACHES, SHORTEST, SpeakerNet, lengthened
from literatim.models.speaker_checkpoint import load_speaker_net, save_speaker
from literatim.models.speaker_config import SpeakerConfig
from literatim.models.speaker_formats import shapes, standard
from literatim.pipeline.voice import VoiceEncoder
from reference.wespeaker import embedding
from speaker_builders import DEEP, SMALL, random_speaker_folder, random_wespeaker

CPU = torch.device("cpu")
RESNET34 = SpeakerConfig()
WIDE = SpeakerConfig(embedding_dim=24, layers=(1, 2, 1, 1), channels=(16, 32, 48, 64))  # as the kernels want them
WIDE_DEEP = SpeakerConfig(
    n_mels=40, embedding_dim=16, layers=(2, 1, 1, 1), channels=(16, 16, 32, 48), block="bottleneck"
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def close(found: Tensor, wanted: Tensor) -> None:
    """To 1e-5 of the vector's largest value."""
    assert torch.isfinite(wanted).all()
    assert float((found.double() - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


@pytest.fixture(scope="module", params=[SMALL, DEEP], ids=["basic", "bottleneck"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SpeakerNet, dict[str, Tensor]]:
    """A network read from a folder, and the tensors it was made of."""
    config = request.param
    folder = random_speaker_folder(tmp_path_factory.mktemp("speaker"), 3, config)
    return load_speaker_net(folder, torch.float32, CPU), random_wespeaker(3, config)


@pytest.fixture(scope="module", params=[SMALL, DEEP, WIDE, WIDE_DEEP], ids=["small", "deep", "wide", "wide, deep"])
def packed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SpeakerNet, dict[str, Tensor]]:
    """As `pair`, its weights laid out for the CPU's kernels, where torch has some."""
    config = request.param
    folder = random_speaker_folder(tmp_path_factory.mktemp("packed"), 3, config)
    net = VoiceEncoder(load_speaker_net(folder, torch.float32, CPU)).model
    assert (net.embedding.weight is None) == devices.packs_linear(CPU, torch.float32)
    return net, random_wespeaker(3, config)


@pytest.mark.parametrize("frames", [9, 10, 15, 16, 17, 64, 149, 200])
def test_alone(pair: tuple[SpeakerNet, dict[str, Tensor]], frames: int) -> None:
    net, state = pair
    sound = noise(frames, net.config.n_mels, seed=frames)
    close(net(sound[None])[0], embedding(state, sound))


@pytest.mark.parametrize("frames", [9, 10, 15, 16, 17, 64, 149, 200])
def test_packed_alone(packed: tuple[SpeakerNet, dict[str, Tensor]], frames: int) -> None:
    net, state = packed
    sound = noise(frames, net.config.n_mels, seed=frames)
    close(net(sound[None])[0], embedding(state, sound))


def test_packed_in_batches(packed: tuple[SpeakerNet, dict[str, Tensor]]) -> None:
    """Of one length, more than stay in the caches, and filled up."""
    net, state = packed
    sounds = noise(5, IN_CACHES // 4, net.config.n_mels)
    for sound, vector in zip(sounds, net(sounds), strict=True):
        close(vector, embedding(state, sound))
    lengths = torch.tensor([9, 40, 77])
    for sound, length, vector in zip(sounds, lengths.tolist(), net(sounds[:3, :80], lengths), strict=False):
        close(vector, embedding(state, sound[:length]))


@pytest.mark.parametrize("frames", range(1, 17))
def test_short_sounds_alone_and_in_a_batch(pair: tuple[SpeakerNet, dict[str, Tensor]], frames: int) -> None:
    """Where WeSpeaker gives NaN, frames are repeated up to 16; from 9 on the published rule holds."""
    net, state = pair
    sound, longer = noise(frames, net.config.n_mels, seed=frames), noise(40, net.config.n_mels)
    assert bool(embedding(state, sound).isnan().any()) == (frames < SHORTEST)
    repeated = sound.repeat(16, 1)[:16] if frames < SHORTEST else sound
    wanted = embedding(state, repeated)
    close(net(sound[None])[0], wanted)
    row = lengthened(sound)
    batch = torch.full((2, 40, net.config.n_mels), torch.nan)
    batch[0, : len(row)], batch[1] = row, longer
    found = net(batch, torch.tensor([len(row), 40]))
    close(found[0], wanted)
    close(found[1], embedding(state, longer))


def test_what_fills_a_batch_up_changes_nothing(pair: tuple[SpeakerNet, dict[str, Tensor]]) -> None:
    """Rows of every length from 9 to 70 beside each other, with rubbish behind their ends."""
    net, _ = pair
    lengths = torch.arange(9, 71)
    batch = noise(62, 90, net.config.n_mels)
    found = net(batch, lengths)
    for row, length, vector in zip(batch, lengths.tolist(), found, strict=True):
        close(vector, net(row[None, :length])[0].double())
    rubbish = torch.where(torch.arange(90)[None, :, None] < lengths[:, None, None], batch, 1e4)
    assert torch.equal(net(rubbish, lengths), found)
    assert torch.equal(rubbish, torch.where(torch.arange(90)[None, :, None] < lengths[:, None, None], batch, 1e4))


def test_it_is_alive(pair: tuple[SpeakerNet, dict[str, Tensor]]) -> None:
    """Other sound gives another vector, and no tensor could be missing."""
    net, _ = pair
    sound = noise(2, 60, net.config.n_mels)
    first, second = net(sound)
    assert float(torch.cosine_similarity(first, second, dim=0)) < 0.999
    for name, parameter in net.named_parameters():
        kept = parameter.clone()
        parameter.zero_()
        assert float((net(sound)[0] - first).abs().max()) > 1e-4 * float(first.abs().max()), name
        parameter.copy_(kept)


def test_the_shape_of_the_published_network() -> None:
    """74 tensors, 6.63 million parameters, statistics of 5120."""
    with torch.device("meta"):
        net = SpeakerNet(RESNET34)
    assert {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()} == shapes(RESNET34)
    assert len(shapes(RESNET34)) == 74
    assert sum(parameter.numel() for parameter in net.parameters()) == 6_630_080
    assert RESNET34.pooled == 5120


# Blocks of each stage, as in wespeaker/models/resnet.py.
DEPTHS = {
    18: ((2, 2, 2, 2), "basic"),
    34: ((3, 4, 6, 3), "basic"),
    50: ((3, 4, 6, 3), "bottleneck"),
    101: ((3, 4, 23, 3), "bottleneck"),
    152: ((3, 8, 36, 3), "bottleneck"),
    221: ((6, 16, 48, 3), "bottleneck"),
    293: ((10, 20, 64, 3), "bottleneck"),
}


@pytest.mark.slow
@pytest.mark.parametrize("depth", DEPTHS)
def test_every_published_depth(depth: int, tmp_path: Path) -> None:
    """In its whole width, from a folder; packed it gives the same."""
    layers, block = DEPTHS[depth]
    config, last = SpeakerConfig(layers=layers, block=block), "bn2.weight" if block == "basic" else "bn3.weight"
    state = random_wespeaker(depth, config)
    for name in state:
        if name.endswith(last):  # else a hundred blocks would add up to more than float32 can square
            state[name] *= 0.3
    save_speaker(tmp_path, config, standard(state).tensors)
    net, sounds = load_speaker_net(tmp_path, torch.float32, CPU), noise(2, 100, config.n_mels, seed=depth)
    wanted = [embedding(state, sound) for sound in sounds]
    for plain, right in zip(net(sounds), wanted, strict=True):
        close(plain, right)
    for packed, right in zip(VoiceEncoder(net).model(sounds), wanted, strict=True):
        close(packed, right)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_numbers(tmp_path: Path, dtype: torch.dtype) -> None:
    """The same voice: float16 on a CPU is a rounding of the weights, bfloat16 of everything."""
    folder = random_speaker_folder(tmp_path, 5)
    sound = noise(3, 100, 80)
    wanted = load_speaker_net(folder, torch.float32, CPU)(sound)
    found = load_speaker_net(folder, dtype, CPU)(sound)
    assert found.dtype == torch.float32
    least = 0.9999 if dtype == torch.bfloat16 else 0.999999
    assert float(torch.cosine_similarity(found, wanted).min()) > least
    assert not torch.equal(found, wanted)
