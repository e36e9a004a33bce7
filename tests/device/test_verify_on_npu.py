"""`verify` on the fake npu: a device that is right passes, one that is wrong is caught, and the place is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import literatim
from literatim import hub
from literatim.cli.verify import verify
from literatim.decode.rows import Row
from literatim.errors import DeviceError, ModelFormatError, OptionError
from literatim.options import VerifyOptions
from literatim.verify import fake_npu, faults, run
from literatim.verify.golden import Golden
from literatim.verify.page import page
from literatim.verify.types import FAIL, PASS

NPU = torch.device("npu", 0)
HOW = VerifyOptions(
    device="npu", dtype="float32", batch=2, max_new_tokens=5, steps=2, precision="highest", save_golden="small"
)
CACHE_WRITES = "aten._index_put_impl_"


@pytest.fixture(scope="module")
def prepared() -> run.Prepared:
    return run.prepare("demo", NPU, HOW)


def test_a_right_device_passes(prepared: run.Prepared) -> None:
    report = run.check(prepared, NPU, HOW)
    assert report.verdict.status == PASS, report.verdict
    assert report.verdict.exit_code == 0
    assert [token.same for token in report.end_to_end[0].tokens] == [True, True]
    assert all(token.device_text for token in report.end_to_end[0].tokens)
    assert max(item.ratio for item in report.modules) > 0.3  # it is compared with something
    assert {item.grade for item in report.modules} == {"fp32"}


def test_every_place_of_the_network_is_watched(prepared: run.Prepared) -> None:
    places = {item.name for item in run.check(prepared, NPU, HOW).modules}
    model = prepared.subject(NPU).model
    with_weights = {name.rpartition(".")[0] for name, _ in model.named_parameters()} - {"encoder", "decoder"}
    assert with_weights <= places
    parts = ("attention.product", "attention.scale", "attention.add", "attention.cache", "cross.product", "cross.add")
    parts += ("cross.cache", "cross.scale", "mlp.gelu", "mlp.add")
    assert {f"decoder.layers.{layer}.{part}" for layer in range(4) for part in parts} <= places
    others = (
        "encoder.positions",
        "decoder.positions",
        "decoder.mask",
        "decoder.logits",
        "decoder.rules",
        "decoder.choice",
    )
    assert {"encoder.conv1.gelu", "encoder.conv2.gelu", *others} <= places


def _biased(prepared: run.Prepared) -> list[str]:
    """The places of the products with a bias, in order: each is one addmm of the device."""
    return [entry.site for entry in prepared.golden.entries if entry.op == "linear" and entry.site != "decoder.logits"]


@pytest.mark.parametrize("site", ["encoder.layers.2.mlp.fc1", "decoder.layers.1.cross.q", "decoder.layers.3.mlp.fc2"])
def test_what_strikes_once_is_found_where_it_struck(prepared: run.Prepared, site: str) -> None:
    """In one call of some hundred, and in the first of the two runs alone."""
    with fake_npu.plant(faults.scaled("aten.addmm", 1.001, nth=_biased(prepared).index(site))) as fault:
        report = run.check(prepared, NPU, HOW)
    assert fault.hits == 1
    assert report.verdict.status == FAIL
    assert report.verdict.suspects[0].module == site


def test_a_kernel_that_is_wrong_everywhere_is_named_in_every_place(prepared: run.Prepared) -> None:
    with fake_npu.plant(faults.scaled("aten.gelu", 1 + 1e-5)) as fault:
        report = run.check(prepared, NPU, HOW)
    assert fault.hits
    assert report.verdict.status == FAIL
    bad = {item.name for item in report.modules if item.status == FAIL}
    assert bad == {item.name for item in report.modules if item.op == "gelu"}
    assert report.verdict.suspects[0].module in bad


def test_a_mask_that_is_forgotten_is_found_in_the_product(prepared: run.Prepared) -> None:
    with fake_npu.plant(faults.unmasked()):
        report = run.check(prepared, NPU, HOW)
    suspect = report.verdict.suspects[0]
    assert suspect.module.endswith("attention.product")
    assert suspect.module.startswith("decoder.")
    assert suspect.grade == "broken"
    assert {item.name for item in report.modules if item.status == FAIL} <= {
        f"decoder.layers.{layer}.attention.product" for layer in range(4)
    }


def test_one_value_that_is_no_number_is_found(prepared: run.Prepared) -> None:
    with fake_npu.plant(faults.not_a_number("aten.gelu", nth=3)):
        report = run.check(prepared, NPU, HOW)
    assert report.verdict.suspects[0].module == "encoder.layers.1.mlp.gelu"
    assert "not finite" in report.verdict.suspects[0].evidence


def test_a_write_that_is_lost_is_found_in_the_cache(prepared: run.Prepared) -> None:
    """Nothing is computed wrong; the next step would read what was there before."""

    def keep(given: list[Any]) -> list[Any]:
        place = tuple(slice(None) if index is None else index for index in given[1])
        return [given[0], given[1], given[0][place].clone(), *given[3:]]

    lost = faults.Fault(frozenset({CACHE_WRITES}), inputs=keep)
    with fake_npu.plant(lost):
        report = run.check(prepared, NPU, HOW)
    assert lost.hits
    assert report.verdict.suspects[0].module.endswith("attention.cache")


def test_tf32_and_hf32_are_named_and_granted_where_they_are_the_devices_default(prepared: run.Prepared) -> None:
    with fake_npu.plant(faults.hf32()) as fault:
        granted = run.check(prepared, NPU, replace(HOW, precision="default"))
        switched_off = run.check(prepared, NPU, HOW)  # the fake obeys the switch, as an Ascend does
        demanded = run.check(prepared, NPU, replace(HOW, precision="default", expect="fp32"))
    assert fault.hits
    grades = {item.name: (item.grade, item.expected) for item in granted.modules}
    assert granted.verdict.status == PASS, granted.verdict
    assert grades["encoder.conv1"] == grades["encoder.conv2"] == ("tf32-hf32", "tf32-hf32")
    assert switched_off.verdict.status == PASS
    assert {item.grade for item in switched_off.modules} == {"fp32"}
    assert demanded.verdict.status == FAIL
    assert {suspect.module for suspect in demanded.verdict.suspects} == {"encoder.conv1", "encoder.conv2"}


def test_the_rule_of_the_published_ports_passes_what_the_floor_does_not(prepared: run.Prepared) -> None:
    with fake_npu.plant(faults.scaled("aten.addmm", 1.0001)):
        by_floor = run.check(prepared, NPU, HOW)
        by_percent = run.check(prepared, NPU, replace(HOW, rule="1pct"))
    assert by_floor.verdict.status == FAIL
    assert by_percent.verdict.status == PASS


def test_tokens_that_the_device_would_have_said_are_those_of_a_run_of_its_own(prepared: run.Prepared) -> None:
    with fake_npu.plant(faults.swapped_rows("aten.addmm")):
        report = run.check(prepared, NPU, HOW)
    first = report.end_to_end[0].tokens[0]
    assert not first.same
    assert first.reference[: first.first_difference] == first.device[: first.first_difference]
    assert first.device_text != first.reference_text
    assert any(first.clip in reason for reason in report.verdict.reasons)


def test_a_draft_must_change_no_token(prepared: run.Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the loop takes wrong tokens with a draft, the device alone is right and fails nevertheless."""
    with_draft = replace(prepared, assistant=("demo-draft", hub.resolve("demo-draft")))
    report = run.check(with_draft, NPU, HOW)
    (right,) = report.drafted
    assert report.verdict.status == PASS, report.verdict
    assert 0 < right.accepted <= right.proposed
    assert [token.device for token in right.tokens] == [token.device for token in report.end_to_end[0].tokens]

    def unchecked(row: Row, tokens: Sequence[int], hidden: Any, proposed: int, eot: int) -> tuple[int, int]:
        return taken(
            row, [max(tokens[0] - 1, 0), *tokens[1:]] if proposed and row.said else tokens, hidden, proposed, eot
        )

    taken = Row.take
    monkeypatch.setattr(Row, "take", unchecked)
    report = run.check(with_draft, NPU, HOW)
    assert report.verdict.status == FAIL
    assert [item.same for item in report.end_to_end[0].tokens] == [True, True]
    assert any("the device without demo-draft" in reason for reason in report.verdict.reasons)
    assert "the device without demo-draft" in page(report)


def test_a_golden_folder_verifies_where_transformers_cannot_be_imported(prepared: run.Prepared, tmp_path: Path) -> None:
    prepared.golden.save(tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 15e6
    code = """
import json, sys
sys.modules["transformers"] = None
from literatim.verify import fake_npu, faults
fake_npu.install()
import literatim
settings = {"device": "npu", "dtype": "float32", "golden": sys.argv[1], "precision": "highest"}
clean = literatim.verify("demo", **settings)
with fake_npu.plant(faults.scaled("aten.gelu", 1.001)):
    faulty = literatim.verify("demo", **settings)
print(json.dumps([clean.verdict.status, faulty.verdict.status, clean.reference["made"]]))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[:2] == [PASS, FAIL]
    assert str(tmp_path) not in done.stdout


def test_a_golden_folder_of_something_else_is_refused(prepared: run.Prepared, tmp_path: Path) -> None:
    golden = Golden({**prepared.golden.about, "model": {"sha256": "0"}}, prepared.golden.clips)
    golden.save(tmp_path)
    with pytest.raises(ModelFormatError, match="another model"):
        run.prepare("demo", NPU, replace(HOW, golden=str(tmp_path)))
    with pytest.raises(OptionError, match="--dtype float32"):
        run.prepare("demo", NPU, replace(HOW, golden=str(tmp_path), dtype="bfloat16"))
    with pytest.raises(ModelFormatError, match="save-golden"):
        run.prepare("demo", NPU, replace(HOW, golden=str(tmp_path / "none")))


def test_another_program_than_the_references_is_refused(prepared: run.Prepared) -> None:
    entries = [replace(prepared.golden.entries[0], site="encoder.nowhere"), *prepared.golden.entries[1:]]
    other = replace(prepared, golden=replace(prepared.golden, entries=entries))
    with pytest.raises(DeviceError, match=r"encoder\.nowhere"):
        run.check(other, NPU, HOW)


def test_an_operation_that_is_lacking_is_an_error_in_words(prepared: run.Prepared) -> None:
    with fake_npu.unsupported("aten.gelu"), pytest.raises(DeviceError, match="aten::gelu"):
        run.check(prepared, NPU, HOW)


@pytest.mark.parametrize(("fault", "code"), [(None, 0), (faults.scaled("aten.gelu", 1.001), 1)])
def test_the_commands_exit_code_and_files(
    prepared: run.Prepared, tmp_path: Path, fault: faults.Fault | None, code: int
) -> None:
    prepared.golden.save(tmp_path / "golden")
    options = ["--device", "npu", "--dtype", "float32", "--precision", "highest", "--golden", str(tmp_path / "golden")]
    with nullcontext() if fault is None else fake_npu.plant(fault):
        done = CliRunner().invoke(verify, ["demo", *options, "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == code, done.output
    report = json.loads(done.stdout)
    assert report["verdict"]["status"] == ("fail" if code else "pass")
    assert json.loads((tmp_path / "out" / "report.json").read_text("utf-8")) == report
    assert "<html" in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert str(tmp_path) not in done.stdout
    assert ("suspect:" in done.stderr) == bool(code)


def test_the_operation_inside_the_worst_call_is_shown(prepared: run.Prepared, tmp_path: Path) -> None:
    """A layer norm is three results of one kernel; what it is scaled by last is wrong, mean and deviation are not."""
    prepared.golden.save(tmp_path)
    options = {"device": "npu", "dtype": "float32", "precision": "highest", "golden": str(tmp_path)}
    with fake_npu.plant(faults.scaled("aten.addcmul", 1.001)):
        report = literatim.verify("demo", **options)
    assert report.verdict.suspects[0].module == report.zoom[0].module
    assert [call.op for call in report.zoom] == ["aten::native_layer_norm"] * 3
    assert [call.deviation.ratio > 8 for call in report.zoom] == [True, False, False]
    assert literatim.verify("demo", **options).zoom == ()
