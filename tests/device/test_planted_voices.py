"""The catalogue of faults on networks for voices: each does what it says, where it says, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from literatim.models.speaker import SpeakerNet
from literatim.models.speaker_checkpoint import load_speaker_net
from literatim.models.speaker_config import SpeakerConfig
from literatim.verify.planted.families import Family, family
from literatim.verify.planted.kernels import PRODUCTS, convolved
from literatim.verify.planted.selftest import Plan, self_test
from planted_builders import check_every_kind, check_every_place
from speaker_builders import random_speaker_folder

NPU = torch.device("npu", 0)
CONFIGS = {
    "basic": SpeakerConfig(embedding_dim=24, layers=(1, 2, 1, 1), channels=(6, 12, 16, 18)),
    "bottleneck": SpeakerConfig(embedding_dim=24, layers=(1, 1, 1, 2), channels=(4, 4, 8, 8), block="bottleneck"),
}
KNOWN = ("leaking ReLU", "frames unmasked", "mask of frames off", "variance of all", "wrong floor of the root")


@pytest.fixture(scope="module", params=CONFIGS)
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return random_speaker_folder(tmp_path_factory.mktemp("planted") / "model", 5, CONFIGS[request.param])


@pytest.fixture(scope="module", params=["float32", "bfloat16", "float16"])
def dtype(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def network(folder: Path, dtype: str) -> SpeakerNet:
    return load_speaker_net(folder, getattr(torch, dtype), NPU)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Family:
    return family(folder)


@torch.inference_mode()
def work(network: SpeakerNet) -> Tensor:
    """Three windows of unequal lengths."""
    frames = 2 * torch.randn(3, 96, 80, generator=torch.Generator().manual_seed(0))
    return network(frames.to(NPU), torch.tensor([96, 51, 72], dtype=torch.int32).to(NPU)).cpu()


def test_every_place_is_reached(network: SpeakerNet, checkpoint: Family) -> None:
    check_every_place(lambda: work(network), checkpoint)


def test_every_kind_changes_its_place_and_is_gone_after(network: SpeakerNet, dtype: str, checkpoint: Family) -> None:
    assert check_every_kind(lambda: work(network), checkpoint, dtype) >= {*KNOWN}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("taps", [(3, 3), (1, 1), (1, 3)])
@pytest.mark.parametrize("name", [name for name, product in PRODUCTS.items() if product is not None])
def test_other_convolutions_are_right(name: str, taps: tuple[int, int], stride: int) -> None:
    """Every way to sum gives what torch does, but for rounding."""
    random = torch.Generator().manual_seed(0)
    sound = torch.randn(2, 8, 10, 12, generator=random)
    weight = torch.randn(5, 8, *taps, generator=random)
    padding = [size // 2 for size in taps]
    product = PRODUCTS[name]
    assert product is not None
    found = convolved(product, sound, weight, [stride, stride], padding)
    wanted = F.conv2d(sound, weight, stride=stride, padding=padding)
    torch.testing.assert_close(found.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_the_self_test_catches_them(tmp_path: Path) -> None:
    """A small share of it: what is far above rounding is caught and found, and right devices pass."""
    folder = random_speaker_folder(tmp_path / "model", 5, CONFIGS["basic"])
    plan = Plan(dtypes=("float32", "bfloat16"), mixed=2, rows=2, share=0.06, seed=3)
    rows = self_test(str(folder), plan)["runs"]
    faults, clean = ([row for row in rows if ("kind" in row) is planted] for planted in (True, False))
    assert len(clean) >= 2
    always = [row for row in faults if row["hits"] and row["period"] == 1]  # what strikes once may hit a filling
    for row in always:
        if row["ratio"] is None or row["ratio"] > 100:
            assert row["caught"], row
            assert row["located"], row
    assert sum(row["caught"] for row in always) >= 2
    assert [row for row in clean if row["status"] == "fail"] == []
