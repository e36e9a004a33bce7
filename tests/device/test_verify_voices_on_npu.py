"""`verify` of a network for voices on the fake npu: a right device passes, a wrong one is caught and named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from literatim.cli.verify import verify as command
from literatim.errors import OptionError
from literatim.options import VerifyOptions
from literatim.verify import fake_npu, faults, run
from literatim.verify.end_to_end import Measured
from literatim.verify.page import page
from literatim.verify.report import from_dict, to_dict
from literatim.verify.types import FAIL, PASS
from literatim.verify.voices import VoiceSubject, end_to_end, material
from speaker_builders import random_speaker_folder

NPU = torch.device("npu", 0)
HOW = VerifyOptions(device="npu", dtype="float32", batch=3, precision="highest")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> run.Prepared:
    return run.prepare(random_speaker_folder(tmp_path_factory.mktemp("voices") / "model", 5), NPU, HOW)


def test_a_right_device_passes(prepared: run.Prepared) -> None:
    """A hundred vectors beside float64, with the scores of their pairs."""
    report = run.check(prepared, NPU, HOW)
    assert report.verdict.status == PASS, report.verdict
    found = report.end_to_end[0].vectors
    assert (found["samples"], found["not_finite"], found["scores_pairs"]) == (100, 0, 4950)
    assert 0 < found["relative_max"] < 1e-5
    assert found["cosine_min"] > 1 - 1e-10
    assert found["scores_eer"] == found["scores_eer_truth"]
    assert max(item.ratio for item in report.modules) > 0.3
    assert {item.grade for item in report.modules} == {"fp32"}


def test_the_truth_is_in_float64(prepared: run.Prepared) -> None:
    """And the network at work beside it in float32, on the same windows."""
    truth, floor = (prepared.golden.outputs[f"{name}/voices"] for name in ("truth", "plain"))
    assert truth.dtype == torch.float64
    assert not torch.equal(truth, truth.float().double())
    model = prepared.subject(torch.device("cpu")).model
    alone = torch.stack([model(clip.features.T[None].contiguous())[0] for clip in prepared.golden.clips[:3]])
    for found in (truth, floor):
        torch.testing.assert_close(found[:3].float(), alone, rtol=1e-4, atol=1e-4)


def test_every_place_of_the_network_is_watched(prepared: run.Prepared) -> None:
    """Each module with weights, and what has none; windows of different lengths, so that masks have work to do."""
    places = {item.name for item in run.check(prepared, NPU, HOW).modules}
    subject = prepared.subject(NPU)
    assert isinstance(subject, VoiceSubject)
    assert {name.rpartition(".")[0] for name, _ in subject.model.named_parameters()} <= places
    blocks = ("layer1.0", "layer2.0", "layer2.1", "layer3.0", "layer4.0")
    assert {f"{block}.{part}" for block in blocks for part in ("relu", "mul", "add")} <= places
    assert {"input", "conv1.relu", "conv1.mul", "pooling", "embedding"} <= places
    assert [clip.features.shape[1] for clip in prepared.golden.heard] == [200, 136, 172]


def test_recordings_of_ones_own_are_spread_over_evenly() -> None:
    """A hundred windows at most, however long they are; too short ones give none."""
    samples = torch.randn(300 * 16_000, generator=torch.Generator().manual_seed(0)).numpy()
    found = material(80, [samples, samples[: 5 * 16_000], samples[:16_000]], 3)
    names = [clip.name for clip in found]
    assert len([name for name in names if name.startswith("recording 0")]) == 30  # each fifth of 149
    assert names[-2:] == ["recording 1, 0 s", "recording 1, 2 s"]
    assert names[1] == "recording 0, 10 s"
    assert all(clip.speaker is None and clip.features.shape == (80, 200) for clip in found)
    with pytest.raises(OptionError, match="as long as two seconds"):
        material(80, [samples[:16_000]], 3)


def test_of_bundled_clips_each_is_heard_before_any_is_heard_again() -> None:
    """So that a hundred windows are of as many voices and texts as there are."""
    clips = [(clip.name.rpartition(",")[0], clip.speaker) for clip in material(80, (), 3)]
    names = [name for name, _ in clips]
    assert len(names) == 100
    once = names[: len(set(names))]
    assert len(set(once)) == len(once) < 100
    assert set(names[len(once) :]) < set(once)
    assert len({speaker for _, speaker in clips}) > 1


def test_pairs_are_of_those_whose_speakers_are_known() -> None:
    truth = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).double()
    measured = Measured(truth * 1.001, truth, truth)
    told = [end_to_end(measured, 0.0, speakers).vectors for speakers in ([None] * 4, ["a", None, "a", "b"])]
    assert not [name for name in told[0] if name.startswith("scores")]
    assert told[1]["scores_pairs"] == 3


CONVOLUTIONS = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.shortcut"]


@pytest.mark.parametrize("site", CONVOLUTIONS)
def test_what_strikes_once_is_found_where_it_struck(prepared: run.Prepared, site: str) -> None:
    sites = [entry.site for entry in prepared.golden.entries if entry.op == "conv2d"]
    with fake_npu.plant(faults.scaled("aten.convolution", 1.001, nth=sites.index(site))) as fault:
        report = run.check(prepared, NPU, HOW)
    assert fault.hits == 1
    assert report.verdict.status == FAIL
    assert report.verdict.suspects[0].module == site


@pytest.mark.parametrize(
    ("op", "parts"),
    [
        ("aten.addmm", ("embedding",)),
        ("aten.sqrt", ("pooling",)),
        ("aten.convolution", ("conv", "shortcut")),
        ("aten.add", ("add", "pooling")),  # there the epsilon
    ],
)
def test_a_kernel_that_is_wrong_everywhere_is_named(prepared: run.Prepared, op: str, parts: tuple[str, ...]) -> None:
    """By fifty millionths too large, at every place that uses it."""
    with fake_npu.plant(faults.scaled(op, 1 + 5e-5)) as fault:
        report = run.check(prepared, NPU, HOW)
    assert fault.hits
    assert report.verdict.status == FAIL
    bad = {item.name for item in report.modules if item.status == FAIL}
    assert all(any(part in name for part in parts) for name in bad)
    assert {part for part in parts if any(part in name for name in bad)} == set(parts)


def test_vectors_that_are_lost_are_told(prepared: run.Prepared) -> None:
    """By either rule, on the page, and in JSON that is read back."""
    with fake_npu.plant(faults.scaled("aten.addmm", float("nan"))):
        reports = [run.check(prepared, NPU, replace(HOW, rule=rule)) for rule in ("floor", "1pct")]
    assert all(report.verdict.status == FAIL for report in reports)
    assert "the vectors against fp64: 100 values are not finite" in reports[0].verdict.reasons
    again = from_dict(json.loads(json.dumps(to_dict(reports[0]))))
    assert again.end_to_end[0].vectors == reports[0].end_to_end[0].vectors
    assert "vectors not finite" in page(again)


def test_what_strikes_after_the_watched_runs_is_caught(prepared: run.Prepared) -> None:
    """In one of ten batches of vectors, and nowhere else."""
    with fake_npu.plant(faults.scaled("aten.addmm", 1.01, nth=2 + 4)) as fault:
        report = run.check(prepared, NPU, HOW)
    assert (fault.hits, fault.calls) == (1, 2 + 10)
    assert report.verdict.status == FAIL
    assert "vectors against fp64: one is off by 0.01 of its length" in report.verdict.reasons[0]


def test_the_rule_of_the_published_ports(prepared: run.Prepared) -> None:
    """A vector may be off by one percent: twice that is too much, a fiftieth is not."""
    how = replace(HOW, rule="1pct")
    for factor, status in ((1.0002, PASS), (1.02, FAIL)):
        with fake_npu.plant(faults.scaled("aten.addmm", factor)):
            assert run.check(prepared, NPU, how).verdict.status == status


@pytest.mark.slow
def test_other_dtypes_pass(prepared: run.Prepared) -> None:
    """In float16 and bfloat16, each held against the CPU's rounding; scores move by little."""
    for dtype in ("float16", "bfloat16"):
        how = replace(HOW, dtype=dtype, batch=2)
        report = run.check(run.prepare(prepared.folder, NPU, how), NPU, how)
        assert report.verdict.status == PASS, report.verdict
        assert report.end_to_end[0].vectors["cosine_min"] > 0.999


@pytest.mark.slow
def test_a_saved_reference_serves_elsewhere(prepared: run.Prepared, tmp_path: Path) -> None:
    """A few positions of each result are kept: it passes where the device is right, fails where it is wrong."""
    how = replace(HOW, save_golden=str(tmp_path / "golden"))
    run.prepare(prepared.folder, NPU, how).golden.save(tmp_path / "golden")
    prepared.golden.save(tmp_path / "whole")
    few, whole = (sum(file.stat().st_size for file in (tmp_path / name).iterdir()) for name in ("golden", "whole"))
    assert few < 0.8 * whole
    read = run.prepare(prepared.folder, NPU, replace(HOW, golden=str(tmp_path / "golden")))
    assert run.check(read, NPU, HOW).verdict.status == PASS
    with fake_npu.plant(faults.scaled("aten.convolution", 1.001)):
        assert run.check(read, NPU, HOW).verdict.status == FAIL


@pytest.mark.parametrize("options", [{"assistant": "demo-draft"}, {"max_new_tokens": 4}, {"steps": 3}])
def test_what_needs_tokens_is_refused(prepared: run.Prepared, options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="says no tokens"):
        run.prepare(prepared.folder, NPU, replace(HOW, **options))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="transformers has no network for voices"):
        run.prepare(prepared.folder, NPU, replace(HOW, against="transformers"))


def test_the_command_says_it_in_a_line(prepared: run.Prepared) -> None:
    done = CliRunner().invoke(command, [str(prepared.folder), "--device", "npu", "--dtype", "float32", "--batch", "2"])
    assert done.exit_code == 0, done.output
    assert "against fp64: 100 vectors, least cosine 1.00000000" in done.output
    assert "scores of 4950 pairs change by" in done.output
