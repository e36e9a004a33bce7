"""verify's independent implementation of MedASR: the same network in float64, and where another one first differs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from literatim.models.medasr import Medasr
from literatim.models.medasr_checkpoint import load_medasr
from literatim.verify import material
from literatim.verify.independent import Answer, ask, compare, first_apart
from literatim.verify.independent_medasr import replay
from literatim.verify.run import verify
from literatim.verify.subject import Clip
from literatim.verify.types import PASS
from medasr_builders import random_lasr_folder


@dataclass(frozen=True)
class Case:
    folder: Path
    model: Medasr
    clips: list[Clip]
    answer: Answer


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A network of two layers, and two clips of different lengths."""
    folder = random_lasr_folder(tmp_path_factory.mktemp("model"), 12)
    clips = material.clips(folder, (), 2)
    model = load_medasr(folder, torch.float32, torch.device("cpu"))
    return Case(folder, model, clips, ask(folder, clips, False, model.config.vocab_size))


def test_the_networks_are_one_in_float64(case: Case) -> None:
    """To rounding in float64 at all places but the logits, which ours gives in float32."""
    wide = copy.deepcopy(case.model).double()
    places = compare(replay(wide, case.clips), case.answer)
    assert {place.clip for place in places} == {0, 1}
    names = {place.name for place in places}
    assert {"encoder.subsampler.conv_1", "encoder.layers.1", "encoder.layers.0.norm_before", "encoder.norm"} <= names
    # four of the subsampler, a block with seven places inside it each, the end, the logits
    assert len(places) == 2 * (4 + 2 * 8 + 1 + 1)
    assert max(place.found.relative_rms for place in places if place.name != "decoder.logits") < 1e-12
    assert len({token for row in case.answer.tokens for token in row}) > 5


def test_ours_is_right_in_float32(case: Case) -> None:
    """Nothing is further away than rounding."""
    assert first_apart(compare(replay(case.model, case.clips), case.answer)) is None


@pytest.mark.parametrize(
    ("parameter", "place"),
    [
        ("encoder.subsampler.conv_1.weight", "encoder.subsampler.conv_1"),
        ("encoder.layers.1.attention.qkv.weight", "encoder.layers.1.attention.out"),
        ("encoder.layers.0.convolution.norm.weight", "encoder.layers.0.norm_before"),
        ("head.weight", "decoder.logits"),
    ],
)
def test_the_first_place_that_differs_is_named(case: Case, parameter: str, place: str) -> None:
    """Of a network with one weight a thousandth too large."""
    other = copy.deepcopy(case.model)
    other.get_parameter(parameter).mul_(1.001)
    found = first_apart(compare(replay(other, case.clips), case.answer))
    assert found is not None
    assert found.name == place


def test_the_cpu_passes_beside_transformers(case: Case) -> None:
    """The whole command, as transcription runs it on a CPU."""
    report = verify(case.folder, device="cpu", dtype="float32", batch=2)
    assert report.verdict.status == PASS, report.verdict
    assert [item.against for item in report.end_to_end] == ["fp64", "transformers"]
    assert all(token.same for item in report.end_to_end for token in item.tokens)
