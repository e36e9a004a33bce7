"""The int8 screen never changes the winner: against the full product, and through whole decodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import literatim
from literatim import device as devices
from literatim.models.screen import Screen
from whisper_builders import random_whisper_folder

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(not devices.multiplies_int8(CPU), reason="this CPU or torch has no fast int8 product")


@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 9),
    text=st.integers(20, 700),
    width=st.sampled_from([8, 24, 64, 192]),
    outlier=st.sampled_from([1.0, 30.0]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(max_examples=200, deadline=None)
def test_winner_and_its_logit_are_those_of_the_full_product(
    seed: int, rows: int, text: int, width: int, outlier: float, dtype: torch.dtype
) -> None:
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(text + 30, width, generator=random)
    weight[seed % text] *= outlier
    weight[(seed // 7) % text] = weight[(seed // 3) % text] * 1.001  # rivals
    hidden = torch.randn(rows, width, generator=random) * 3
    weight, hidden = weight.to(dtype), hidden.to(dtype)
    allowed = torch.where(torch.rand(text + 30, generator=random) < 0.2, -torch.inf, 0.0)
    allowed[0] = 0
    full = (hidden.double() @ weight.double().T) + allowed
    screened = Screen(weight, text).logits(hidden, allowed)
    best = screened[:, :text].argmax(-1)
    top = full[:, :text].amax(-1)
    scale = full[full.isfinite()].std()
    chosen = full.gather(1, best[:, None])[:, 0]
    assert (top - chosen <= 1e-5 * scale).all()
    assert ((screened.gather(1, best[:, None])[:, 0] - chosen).abs() <= 1e-4 * scale).all()
    rest = (hidden.double() @ weight.double().T)[:, text:]
    assert ((screened[:, text:] - rest).abs() <= 1e-4 * scale).all()


@pytest.mark.parametrize("width", [24, 64, 384, 1280])
def test_a_row_is_the_same_among_any_others(width: int) -> None:
    random = torch.Generator().manual_seed(width)
    screen = Screen(torch.randn(630, width, generator=random), 600)
    hidden, allowed = torch.randn(40, width, generator=random) * 3, torch.zeros(630)
    whole = screen.logits(hidden, allowed)
    for rows in range(1, 41):
        assert torch.equal(screen.logits(hidden[:rows], allowed), whole[:rows])
        assert torch.equal(screen.logits(hidden[40 - rows :], allowed), whole[40 - rows :])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("seed", range(4))
def test_transcripts_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, dtype: str) -> None:
    folder = random_whisper_folder(tmp_path, seed)
    samples = np.random.default_rng(seed).standard_normal(16_000 * 9).astype(np.float32) * 0.1
    plain = literatim.load(folder, device="cpu", dtype=dtype)
    monkeypatch.setattr("literatim.pipeline.engine.SCREENED", 0)
    monkeypatch.setattr("literatim.device.multiplies_int8", lambda device: True)
    screened = literatim.load(folder, device="cpu", dtype=dtype)
    assert plain._engine._screen is None
    assert screened._engine._screen is not None
    expected, found = (model.transcribe(samples) for model in (plain, screened))
    assert len(expected.segments) > 1
    if dtype == "float32":  # in bfloat16 the full product is rounded to 8 bits, and the screened one is not
        assert [s.tokens for s in found.segments] == [s.tokens for s in expected.segments]
        assert [s.avg_logprob for s in found.segments] == pytest.approx(
            [s.avg_logprob for s in expected.segments], abs=1e-5
        )
    assert [s.tokens for s in screened.transcribe(samples).segments] == [s.tokens for s in found.segments]
