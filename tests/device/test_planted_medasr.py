"""The catalogue of faults on a MedASR: each does what it says, where it says, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from literatim.models.medasr import Medasr
from literatim.models.medasr_checkpoint import load_medasr
from literatim.verify import fake_npu
from literatim.verify.planted.catalogue import EVERYWHERE, KINDS, Case, Kind
from literatim.verify.planted.families import Family, family
from literatim.verify.planted.selftest import Plan, self_test
from medasr_builders import random_lasr_folder

NPU = torch.device("npu", 0)
HIT_EVERYWHERE = {"flipped bit": 5.0}
LARGEST = {"wrong eps": 0.1, "coarse inputs": 7, "coarse weights": 4, "coarse sums": 7, "saturation": 0.2}
LARGEST |= {"coarse rotation": 7, **HIT_EVERYWHERE}
KNOWN = ("SiLU in pieces", "batch statistics", "exchanged gate", "filling left in", "rotation off by one", "no mask")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_lasr_folder(tmp_path_factory.mktemp("planted"), 5)


@pytest.fixture(scope="module", params=["float32", "bfloat16", "float16"])
def dtype(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def network(folder: Path, dtype: str) -> Medasr:
    return load_medasr(folder, getattr(torch, dtype), NPU)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Family:
    return family(folder)


def kinds(found: Family) -> list[Kind]:
    return [kind for kind in KINDS if kind.at in {EVERYWHERE, *found.places}]


@torch.inference_mode()
def work(network: Medasr) -> Tensor:
    """Three clips of unequal lengths, and the choice of their steps."""
    frames = torch.randn(3, 200, network.config.n_mels, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([47, 30, 40], dtype=torch.int32)
    logits = network((2 * frames).to(network.head.weight), steps.to(NPU))
    logits.argmax(-1)
    return logits.cpu()


def test_every_place_is_reached(network: Medasr, checkpoint: Family) -> None:
    follow, seen = checkpoint.sites(), set()

    class Look:
        def around(self, op: str, compute: Callable[..., Tensor], /, *args: Tensor, **kwargs: Tensor) -> Tensor:
            seen.add(follow.of(op, args))
            return compute(*args, **kwargs)

    with fake_npu.plant(Look()):
        work(network)
    wanted = {site for sites in checkpoint.places.values() for site in sites}
    assert wanted - seen == set()
    assert {name.rpartition(".")[0] for name in checkpoint.parameters} <= wanted


def test_every_kind_changes_its_place_and_is_gone_after(network: Medasr, dtype: str, checkpoint: Family) -> None:
    clean, names = work(network), set()
    for kind in kinds(checkpoint):
        site = None if kind.at == EVERYWHERE else checkpoint.places[kind.at][-1]
        magnitude = LARGEST.get(kind.name, kind.magnitudes[-1])
        strike = Case(kind, magnitude, min(2, kind.periods[0]), site, dtype, 0).strike(checkpoint.sites())
        with fake_npu.plant(strike):
            changed = work(network)
        assert strike.hits or dtype != "float32", kind.name
        assert strike.hit <= {site} or site is None, kind.name
        assert strike.effect.ratio > 8 or dtype != "float32", kind.name
        assert kind.at == "choice" or dtype != "float32" or not torch.equal(changed, clean), kind.name
        assert torch.equal(work(network), clean), kind.name
        names.add(kind.name)
    assert names >= {*KNOWN}


def test_the_self_test_catches_them(folder: Path) -> None:
    """A small share of it: what is far above rounding is caught and found, and right devices pass."""
    plan = Plan(dtypes=("float32", "bfloat16"), mixed=2, rows=2, share=0.05, seed=3)
    rows = self_test(str(folder), plan)["runs"]
    faults, clean = ([row for row in rows if ("kind" in row) is planted] for planted in (True, False))
    assert len(faults) >= 8
    assert len(clean) >= 2
    for row in faults:
        if row["hits"] and (row["ratio"] is None or row["ratio"] > 100):
            assert row["caught"], row
            assert row["located"], row
    assert [row for row in clean if row["status"] == "fail"] == []
