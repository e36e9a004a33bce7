"""`verify` of a MedASR on the fake npu: a device that is right passes, one that is wrong is caught and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from literatim.errors import OptionError
from literatim.options import VerifyOptions
from literatim.verify import fake_npu, faults, run
from literatim.verify.medasr import MedasrSubject
from literatim.verify.types import FAIL, PASS
from medasr_builders import random_lasr_folder

NPU = torch.device("npu", 0)
HOW = VerifyOptions(device="npu", dtype="float32", batch=3, precision="highest", against="self")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> run.Prepared:
    return run.prepare(random_lasr_folder(tmp_path_factory.mktemp("medasr"), 5), NPU, HOW)


def test_a_right_device_passes(prepared: run.Prepared) -> None:
    """Every step says the same; clips of different lengths were compared with something that moves."""
    report = run.check(prepared, NPU, HOW)
    assert report.verdict.status == PASS, report.verdict
    tokens = report.end_to_end[0].tokens
    assert [token.same for token in tokens] == [True] * 3
    assert len({len(token.device) for token in tokens}) == 3
    assert all(token.device_text for token in tokens)
    assert max(item.ratio for item in report.modules) > 0.3
    assert {item.grade for item in report.modules} == {"fp32"}


def test_every_place_of_the_network_is_watched(prepared: run.Prepared) -> None:
    """Each module with weights, and what has none: products, sums, masks, positions, the choice."""
    places = {item.name for item in run.check(prepared, NPU, HOW).modules}
    subject = prepared.subject(NPU)
    assert isinstance(subject, MedasrSubject)
    assert {name.rpartition(".")[0] for name, _ in subject.model.named_parameters()} <= places
    parts = ("attention.product", "attention.addcmul", "convolution.glu", "convolution.masked_fill", "first.silu")
    parts += ("convolution.add_", "second.add_", "first.mul_")
    assert {f"encoder.layers.{layer}.{part}" for layer in range(2) for part in parts} <= places
    assert {"encoder.mask", "encoder.rotation", "encoder.subsampler.conv_0.relu", "head", "head.choice"} <= places


def _products(prepared: run.Prepared) -> list[str]:
    """The places of the plain products, in order: each is one mm of the device."""
    others = ("dense_0", "dense_1", "head", "convolution.leave")  # with a bias, or over turned axes
    linears = [entry.site for entry in prepared.golden.entries if entry.op == "linear"]
    return [site for site in linears if not site.endswith(others)]


@pytest.mark.parametrize("site", ["encoder.layers.0.attention.qkv", "encoder.layers.1.second.linear2"])
def test_what_strikes_once_is_found_where_it_struck(prepared: run.Prepared, site: str) -> None:
    """In one call of many, and in the first of the two runs alone."""
    with fake_npu.plant(faults.scaled("aten.mm", 1.001, nth=_products(prepared).index(site))) as fault:
        report = run.check(prepared, NPU, HOW)
    assert fault.hits == 1
    assert report.verdict.status == FAIL
    assert report.verdict.suspects[0].module == site


def test_a_mask_that_is_forgotten_is_found_in_the_product(prepared: run.Prepared) -> None:
    """Clips are filled up to one width, so that it has work to do."""
    with fake_npu.plant(faults.unmasked()):
        report = run.check(prepared, NPU, HOW)
    assert report.verdict.status == FAIL
    products = {f"encoder.layers.{layer}.attention.product" for layer in range(2)}
    assert {item.name for item in report.modules if item.status == FAIL} <= products
    assert report.verdict.suspects[0].module in products


@pytest.mark.parametrize(
    ("op", "part"),
    [
        ("aten.silu", "silu"),
        ("aten.glu", "convolution.glu"),
        ("aten.convolution", "conv"),
        ("aten.addcmul", "attention.addcmul"),
    ],
)
def test_a_kernel_that_is_wrong_everywhere_is_named(prepared: run.Prepared, op: str, part: str) -> None:
    """By a hundred thousandth too large, at every place that uses it."""
    with fake_npu.plant(faults.scaled(op, 1 + 2e-5)) as fault:
        report = run.check(prepared, NPU, HOW)
    assert fault.hits
    assert report.verdict.status == FAIL
    bad = {item.name for item in report.modules if item.status == FAIL}
    assert bad
    assert all(part in name for name in bad)


def test_other_dtypes_pass(prepared: run.Prepared) -> None:
    """In float16 and bfloat16, each held against the CPU's rounding."""
    for dtype in ("float16", "bfloat16"):
        how = replace(HOW, dtype=dtype, batch=2)
        report = run.check(run.prepare(prepared.folder, NPU, how), NPU, how)
        assert report.verdict.status == PASS, report.verdict


def test_a_saved_reference_serves_elsewhere(prepared: run.Prepared, tmp_path: Path) -> None:
    """A few positions of each result are kept: it passes where the device is right, fails where it is wrong."""
    how = replace(HOW, save_golden=str(tmp_path / "golden"))
    run.prepare(prepared.folder, NPU, how).golden.save(tmp_path / "golden")
    read = run.prepare(prepared.folder, NPU, replace(HOW, golden=str(tmp_path / "golden")))
    assert run.check(read, NPU, HOW).verdict.status == PASS
    with fake_npu.plant(faults.scaled("aten.mm", 1.001)):
        assert run.check(read, NPU, HOW).verdict.status == FAIL


@pytest.mark.parametrize("options", [{"assistant": "demo-draft"}, {"max_new_tokens": 4}, {"steps": 3}])
def test_what_needs_a_decoder_is_refused(prepared: run.Prepared, options: dict[str, object]) -> None:
    """In words."""
    with pytest.raises(OptionError, match="all tokens of a clip at once"):
        run.prepare(prepared.folder, NPU, replace(HOW, **options))  # type: ignore[arg-type]
