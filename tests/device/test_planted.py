"""The catalogue of faults and the variations of right devices: each does what it says, where it says, and no more."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from literatim.models.checkpoint import load_whisper
from literatim.models.whisper import Whisper
from literatim.verify import fake_npu
from literatim.verify.planted import kernels
from literatim.verify.planted.catalogue import EVERYWHERE, KINDS, Case, Kind, cases
from literatim.verify.planted.curves import alarms, power, share
from literatim.verify.planted.families import family, places_of_whisper
from literatim.verify.planted.numbers import quantised, rounded
from literatim.verify.planted.sites import Sites
from literatim.verify.planted.strike import Strike
from literatim.verify.planted.variations import Variation, mixed, singly
from planted_builders import check_every_place
from whisper_builders import random_whisper_folder

CPU, NPU = torch.device("cpu"), torch.device("npu", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_whisper_folder(tmp_path_factory.mktemp("planted"), 5)


@pytest.fixture(scope="module")
def network(folder: Path) -> Whisper:
    return load_whisper(folder, torch.float32, NPU)


@pytest.fixture(scope="module")
def parameters(folder: Path) -> dict[str, Tensor]:
    return dict(load_whisper(folder, torch.float32, CPU).named_parameters())


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def work(network: Whisper, rows: int = 3) -> Tensor:
    """What a transcription asks of a device: sound, prompts of unequal lengths, steps, rules and choices."""
    network = network.eval()
    decoder, config = network.decoder, network.config
    sound = network.encoder(random(rows, config.n_mels, config.window_frames).to(network.encoder.positions))
    cache = decoder.allocate(rows)
    decoder.listen(sound, cache)
    lengths = torch.tensor([5, 3, 4][:rows], dtype=torch.int32, device=NPU)
    tokens = torch.randint(0, config.vocab_size, (rows, 5), generator=torch.Generator().manual_seed(1))
    hidden = decoder(tokens.to(torch.int32).to(NPU), torch.zeros_like(lengths), cache, 5)
    rules = torch.zeros(config.vocab_size)
    rules[7] = -math.inf
    said = []
    for _ in range(5):
        logits = decoder.logits(hidden[:, -1])
        logits += rules.to(NPU)
        choice = logits.argmax(-1)
        said.append(logits.cpu())
        hidden = decoder(choice.to(torch.int32)[:, None], lengths, cache, 16)
        lengths = lengths + 1
    return torch.stack(said)


def strike(network: Whisper, case: Case, parameters: dict[str, Tensor]) -> tuple[Strike, Tensor]:
    planted = case.strike(Sites(parameters))
    with fake_npu.plant(planted):
        return planted, work(network)


def case_of(kind: Kind, site: str | None, magnitude: float, period: int = 1) -> Case:
    return Case(kind, magnitude, period, site, "float32", 0)


_LAYERS: Any = SimpleNamespace(encoder_layers=1, decoder_layers=1)
WHISPERS = [kind for kind in KINDS if kind.at in {EVERYWHERE, *places_of_whisper(_LAYERS)}]


def test_there_are_kinds_enough_each_with_a_name_of_its_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert len(WHISPERS) == 53  # as docs/verify.md says


def test_every_place_is_reached(network: Whisper, folder: Path) -> None:
    check_every_place(lambda: work(network), family(folder))


@pytest.mark.parametrize("kind", WHISPERS, ids=lambda kind: kind.name)
def test_a_fault_changes_its_place_and_is_gone_after(
    kind: Kind, network: Whisper, parameters: dict[str, Tensor]
) -> None:
    clean = work(network)
    largest = {"wrong eps": 0.1, "coarse inputs": 7, "coarse weights": 4, "coarse sums": 7, "saturation": 0.2}
    magnitude = largest.get(kind.name, kind.magnitudes[-1])
    if kind.name == "wrong embedding":
        magnitude = 0
    if kind.name == "flipped bit":
        magnitude = 5
    site = None if kind.at == "everywhere" else places_of_whisper(network.config)[kind.at][-1]
    found, changed = strike(network, case_of(kind, site, magnitude, min(2, kind.periods[0])), parameters)
    assert found.hits
    assert found.hit == {site} or site is None
    assert found.effect.ratio > 8
    assert not torch.equal(changed, clean)
    assert torch.equal(work(network), clean)


def test_sums_of_whole_numbers_are_no_rules(parameters: dict[str, Tensor]) -> None:
    sites = Sites(parameters)
    embedding = parameters["decoder.tokens.weight"]
    assert sites.of("aten.mm", (random(2, len(embedding[0])), embedding.t())) == "decoder.logits"
    places_of_text = torch.tensor([[3], [4]], dtype=torch.int32)
    assert sites.of("aten.add", (places_of_text, places_of_text)) is None
    assert sites.of("aten.add", (random(2, 5), random(5))) == "decoder.rules"


def test_the_effect_is_the_magnitude(network: Whisper, parameters: dict[str, Tensor]) -> None:
    scaled = next(kind for kind in KINDS if kind.name == "scaled product")
    for amount in (1e-4, 1e-2):
        found, _ = strike(network, case_of(scaled, "encoder.layers.1.mlp.fc2", amount), parameters)
        assert found.effect.relative == pytest.approx(amount, rel=1e-2)
    nothing, changed = strike(network, case_of(scaled, "encoder.layers.1.mlp.fc2", 0.0), parameters)
    assert (nothing.hits, nothing.effect.ratio) == (0, 0.0)
    assert torch.equal(changed, work(network))


def test_a_fault_now_and_then(network: Whisper, parameters: dict[str, Tensor]) -> None:
    stale = next(kind for kind in KINDS if kind.name == "stale cache row")
    found, _ = strike(network, case_of(stale, "decoder.layers.1.attention.cache", 1, period=3), parameters)
    assert (found.calls, found.hits) == (6, 2)


def test_cases_are_drawn_alike(network: Whisper) -> None:
    first, second = (cases(places_of_whisper(network.config), "float32", repeats=2) for _ in range(2))
    assert first == second
    assert {case.kind.name for case in first} == {kind.name for kind in WHISPERS}
    assert len({case.name for case in first}) > 200


@pytest.mark.parametrize("variation", singly(), ids=lambda variation: variation.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_right_device_is_as_near_the_truth_as_the_cpu(
    variation: Variation, dtype: torch.dtype, folder: Path, network: Whisper
) -> None:
    """On the CPU a float64 network is the truth, and the fake npu without a variation its own noise."""
    ours = load_whisper(folder, dtype, NPU)
    truth = _encoded(load_whisper(folder, dtype, CPU).double())
    noise = float((_encoded(ours) - truth).norm())
    with variation.planted():
        found = _encoded(ours)
    assert float((found - truth).norm()) < 3 * noise


@torch.inference_mode()
def _encoded(network: Whisper) -> Tensor:
    sound = random(2, network.config.n_mels, network.config.window_frames).bfloat16()
    states: Tensor = network.encoder(sound.to(network.encoder.positions))
    return states.cpu().double()


def test_variations_do_differ(network: Whisper) -> None:
    plain = _encoded(network)
    for variation in (Variation(products="blocks of 8"), Variation(attention="plain"), Variation(norm="one pass")):
        with variation.planted():
            assert not torch.equal(_encoded(network), plain)
    with Variation(products="in a race").planted():
        assert not torch.equal(_encoded(network), _encoded(network))


def test_mixed_devices_are_many_and_the_same_each_time() -> None:
    assert mixed(80) == mixed(80)
    assert len({variation.name for variation in mixed(80)}) > 70


@pytest.mark.parametrize("name", [name for name in kernels.PRODUCTS if name != kernels.AS_THE_CPU])
def test_another_order_of_summation(name: str) -> None:
    left, right = random(40, 96), random(96, 24, seed=1)
    product = kernels.PRODUCTS[name]
    assert product is not None
    exact = left.double() @ right.double()
    assert float((product(left, right) - exact).norm() / exact.norm()) < 5e-7


def test_rounding_keeps_the_bits_it_is_told_to() -> None:
    for bits, dtype in ((7, torch.bfloat16), (10, torch.float16)):
        values = random(1000)
        assert torch.equal(rounded(values, bits), values.to(dtype).float())
    weight = quantised(random(16, 5), 4, dim=1)
    for column in weight.T:
        assert len(column.abs().unique()) <= 8


def test_an_interval_is_wilsons() -> None:
    # Brown, Cai and DasGupta, "Interval estimation for a binomial proportion" (2001), give the formula; 7 of 10 by hand
    z, p, n = 1.959964, 0.7, 10
    middle, half = (p + z * z / 20) / (1 + z * z / 10), z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / 400)
    assert share(7, 10)["low"] == pytest.approx(middle - half, abs=1e-4)
    assert share(7, 10)["high"] == pytest.approx(middle + half, abs=1e-4)
    assert share(0, 200)["low"] == 0
    assert share(0, 200)["high"] == pytest.approx(0.0188, abs=1e-4)
    assert share(0, 0)["share"] is None


def test_what_is_above_the_noise_counts() -> None:
    row = {"kind": "a", "magnitude": 1.0, "period": 1, "dtype": "float32", "unit": "", "hits": 1}
    rows = [
        {**row, "ratio": 100.0, "caught": True, "located": True},
        {**row, "ratio": None, "caught": True, "located": False},  # not finite
        {**row, "ratio": 5.0, "caught": False, "located": False},
        {**row, "ratio": 3.0, "caught": False, "located": False},
        {**row, "ratio": 0.0, "hits": 0, "caught": False, "located": False},
    ]
    found = power(rows)
    assert (found["runs"], found["never_struck"]) == (5, 1)
    assert [found["above_the_noise"][what]["hits"] for what in ("caught", "located")] == [2, 1]
    assert found["above_the_noise"]["caught"]["n"] == 3
    assert [bin["caught"]["n"] for bin in found["by_size"]["float32"]] == [1, 1, 1, 1]
    clean = [{"dtype": "float32", "status": status} for status in ("pass", "warn", "fail", "pass")]
    assert alarms(clean)["failed"]["share"] == alarms(clean)["warned"]["share"] == 0.25
