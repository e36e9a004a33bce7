"""The catalogue of faults on a MedASR: each does what it says, where it says, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from literatim.models.medasr import Medasr
from literatim.models.medasr_checkpoint import load_medasr
from literatim.verify.planted.families import Family, family
from literatim.verify.planted.selftest import Plan, self_test
from medasr_builders import random_lasr_folder
from planted_builders import check_every_kind, check_every_place

NPU = torch.device("npu", 0)
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


@torch.inference_mode()
def work(network: Medasr) -> Tensor:
    """Three clips of unequal lengths, and the choice of their steps."""
    frames = torch.randn(3, 200, network.config.n_mels, generator=torch.Generator().manual_seed(0))
    steps = torch.tensor([47, 30, 40], dtype=torch.int32)
    logits = network((2 * frames).to(network.head.weight), steps.to(NPU))
    logits.argmax(-1)
    return logits.cpu()


def test_every_place_is_reached(network: Medasr, checkpoint: Family) -> None:
    check_every_place(lambda: work(network), checkpoint)


def test_every_kind_changes_its_place_and_is_gone_after(network: Medasr, dtype: str, checkpoint: Family) -> None:
    assert check_every_kind(lambda: work(network), checkpoint, dtype) >= {*KNOWN}


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
