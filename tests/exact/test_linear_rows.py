"""Packed linear layers: the same products, and a row's result does not depend on its neighbours."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from literatim import device as devices
from literatim.models.linear import Linear, Strided, pack

CPU = torch.device("cpu")
DTYPES = [dtype for dtype in (torch.float32, torch.bfloat16) if devices.packs_linear(CPU, dtype)]
pytestmark = pytest.mark.skipif(not DTYPES, reason="this CPU's torch has no oneDNN")
SHAPES = st.sampled_from(
    [(384, 384), (384, 1536), (1536, 384), (2048, 512), (3072, 768), (5120, 1280), (33, 50), (7, 3)]
)


def _layers(inputs: int, outputs: int, dtype: torch.dtype, seed: int) -> tuple[Linear, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs, generator=generator).to(dtype)
    bias = torch.randn(outputs, generator=generator).to(dtype)
    layer = Linear(inputs, outputs, dtype=dtype)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer.requires_grad_(False), weight, bias


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, dtype=st.sampled_from(DTYPES or [torch.float32]), rows=st.integers(1, 40), seed=st.integers(0, 9))
def test_a_row_is_the_same_among_any_others(shape: tuple[int, int], dtype: torch.dtype, rows: int, seed: int) -> None:
    layer, _, _ = _layers(*shape, dtype, seed)
    layer.pack()
    x = torch.randn(41, shape[0], generator=torch.Generator().manual_seed(seed + 1)).to(dtype)
    whole, fused = layer(x), layer.gelu(x)
    for start in (0, 41 - rows):
        part = slice(start, start + rows)
        assert torch.equal(layer(x[part]), whole[part])
        assert torch.equal(layer.gelu(x[part]), fused[part])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("lead", [(1,), (3,), (2, 1), (2, 5), (1, 1)])
def test_products_are_those_of_torch(dtype: torch.dtype, lead: tuple[int, ...]) -> None:
    layer, weight, bias = _layers(96, 200, dtype, 0)
    x = torch.randn(*lead, 96, generator=torch.Generator().manual_seed(1)).to(dtype)
    plain, curved = layer(x), layer.gelu(x)
    layer.pack()
    wanted = F.linear(x.double(), weight.double(), bias.double())
    unit = torch.finfo(dtype).eps * float(wanted.abs().max())
    for got, expected in (
        (plain, wanted),
        (layer(x), wanted),
        (curved, F.gelu(wanted)),
        (layer.gelu(x), F.gelu(wanted)),
    ):
        assert got.shape == (*lead, 200)
        assert got.dtype == dtype
        # float32 sums of 96 products err by a few units; bfloat16 results are rounded once more
        assert float((got.double() - expected).abs().max()) < 4 * unit


def test_a_view_with_gaps_is_multiplied_as_it_reads() -> None:
    layer, weight, bias = _layers(16, 8, torch.float32, 0)
    layer.pack()
    x = torch.randn(4, 32, generator=torch.Generator().manual_seed(2))[:, ::2]
    assert torch.allclose(layer(x), F.linear(x, weight, bias), atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 3),
    steps=st.integers(1, 30),
    more=st.integers(0, 3),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    bias=st.booleans(),
)
def test_convolutions_are_those_of_torch(
    dtype: torch.dtype, rows: int, steps: int, more: int, kernel: int, stride: int, bias: bool
) -> None:
    """Also where frames are left over behind the last step, and of a view."""
    layer, random = Strided(10, 12, kernel, stride, bias=bias), torch.Generator().manual_seed(steps)
    for parameter in layer.requires_grad_(False).to(dtype).parameters():
        parameter.normal_(generator=random)
    frames = (steps - 1) * stride + kernel + min(more, stride - 1)
    x = torch.randn(rows, 10, frames, generator=random).to(dtype)
    shift = layer.bias.double() if layer.bias is not None else None
    wanted = F.relu(F.conv1d(x.double(), layer.weight.double(), shift, stride)).transpose(1, 2)
    unit = torch.finfo(dtype).eps * max(1.0, float(wanted.max()))
    plain = layer.relu(x.transpose(1, 2))
    layer.pack()
    for found in (plain, layer.relu(x.transpose(1, 2)), layer.relu(x.transpose(1, 2).contiguous())):
        assert found.shape == (rows, steps, 12)
        assert float((found.double() - wanted).abs().max()) < 4 * unit
    assert layer.weight is None


def test_packing_keeps_no_second_copy() -> None:
    model = nn.Sequential(Linear(8, 8), nn.LayerNorm(8), Linear(8, 4, bias=False))
    random = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=random)  # as they come, they are memory that nobody has written
    x = torch.randn(3, 8, generator=random)
    before = model(x)
    pack(model)
    assert [name for name, _ in model.named_parameters()] == ["0.bias", "1.weight", "1.bias"]
    assert torch.allclose(model(x), before, atol=1e-5)
