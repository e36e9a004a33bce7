"""Convolutions by the compiled kernels: right by float64, and each map the same to the last bit in any batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from literatim.models.convolution import Convolution
from literatim.models.native_convolution import NativeConvolution
from literatim.native import library
from literatim.native.library import Library
from native_levels import LEVELS, by_level, needed

pytestmark = needed
# Roundings of a result's sums, with room for the larger numbers of transformed tiles.
ERROR = {torch.float32: 1e-6, torch.bfloat16: 6e-3}
dtypes = st.sampled_from([torch.float32, torch.bfloat16])


@dataclass(frozen=True)
class Case:
    """Random filters, maps, and what is added."""

    weight: Tensor
    bias: Tensor
    x: Tensor
    kept: Tensor
    stride: int

    def reference(self, *, added: bool) -> Tensor:
        """In float64."""
        kernel = self.weight.shape[-1]
        parts = (self.x.double(), self.weight.double(), self.bias.double())
        found = F.conv2d(*parts, stride=self.stride, padding=kernel // 2)
        return F.relu(found + self.kept.double()) if added else found

    def native(self, kernels: Library, *, added: bool, rows: slice = slice(None)) -> Tensor:
        """By the kernels, of some maps, in room where something else was."""
        library.room(1 << 20).fill_(255)
        layer = NativeConvolution(self.weight, self.bias, self.stride, kernels)
        if not added:
            return layer(self.x[rows], relu=False)
        kept = self.kept[rows].clone(memory_format=torch.channels_last)
        return layer(self.x[rows].contiguous(memory_format=torch.channels_last), kept, relu=True)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Maps of one to some hundred pixels, of which tiles and groups of them are filled, and are not."""
    seed, dtype = draw(st.integers(0, 2**20)), draw(dtypes)
    kernel, stride = draw(st.sampled_from([(3, 1), (3, 1), (3, 2), (1, 1), (1, 2), (5, 1)]))
    inputs = draw(st.sampled_from([1, 7, 16, 32, 48, 160]))
    outputs = draw(st.sampled_from([16, 32, 48, 80, 144]))
    rows, height, width = draw(st.integers(1, 3)), draw(st.integers(1, 21)), draw(st.integers(1, 24))
    random = torch.Generator().manual_seed(seed)

    def some(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    weight = some(outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel * kernel)
    kept = some(rows, outputs, -(-height // stride), -(-width // stride))
    found = weight, some(outputs), some(rows, inputs, height, width), kept
    return Case(*(part.to(dtype) for part in found), stride)


@by_level
@settings(max_examples=25, deadline=None)
@given(case=cases(), added=st.booleans())
def test_right_by_float64(kernels: Library, case: Case, added: bool) -> None:
    found, wanted = case.native(kernels, added=added), case.reference(added=added)
    assert found.shape == wanted.shape
    assert (found - wanted).norm() <= ERROR[case.x.dtype] * case.reference(added=False).norm()


@settings(max_examples=40, deadline=None)
@given(case=cases(), added=st.booleans())
def test_the_same_bits_alone_by_any_threads_and_on_any_processor(case: Case, added: bool) -> None:
    torch.set_num_threads(2)
    wanted = case.native(LEVELS[0], added=added)
    for count, kernels in enumerate(LEVELS, 1):
        torch.set_num_threads(count)
        for row in range(len(wanted)):
            alone = case.native(kernels, added=added, rows=slice(row, row + 1))
            assert torch.equal(alone[0], wanted[row])


@pytest.mark.parametrize("stride", [1, 2])
def test_what_is_no_number_spreads_as_far_as_a_tile(stride: int) -> None:
    """It is never swallowed: not by ReLU, not at a map's edge; other maps do not see it."""
    layer = NativeConvolution(torch.ones(16, 16, 3, 3), torch.zeros(16), stride, LEVELS[0])
    x = torch.zeros(2, 16, 9, 9)
    x[0, 3, 8, 8] = torch.nan
    found = layer(x, relu=True)
    assert found[0, :, -1, -1].isnan().all()
    assert not found[0, :, :3, :3].isnan().any()
    assert not found[1].isnan().any()


@pytest.mark.parametrize("what", [{"padding": 0}, {"padding": 1, "dilation": 2}, {"padding": 1, "groups": 16}])
def test_others_are_left_to_torch(what: dict[str, int]) -> None:
    layer = Convolution(16, 16, 3, **what)
    layer.weight.data, layer.bias.data = torch.randn(layer.weight.shape), torch.randn(16)  # type: ignore[union-attr]
    x = torch.randn(1, 16, 8, 8)
    wanted = F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)  # type: ignore[arg-type]
    layer.pack(8, 8)
    assert torch.allclose(layer(x), wanted, atol=1e-5)
