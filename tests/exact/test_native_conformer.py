"""A Conformer's compiled kernels: right by float64, the same bits on each level and by any number of threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from literatim.models.linear import pack
from literatim.models.medasr import Medasr, rotated
from literatim.models.medasr_checkpoint import load_medasr
from literatim.models.native_conformer import NativeConformer
from literatim.native import library
from literatim.native.library import Library
from literatim.pipeline.listener import Listener
from literatim.text.medasr import MedasrTokenizer
from medasr_builders import random_lasr, random_lasr_folder
from native_levels import LEVELS, by_level, needed

pytestmark = needed
CLOSE = 1e-4
CPU = torch.device("cpu")
SHAPES = [{}, {"num_attention_heads": 1}, {"hidden_size": 24, "num_attention_heads": 2, "head_dim": 6}]
SHAPES += [{"conv_kernel_size": 5, "convolution_bias": True, "attention_bias": True}, {"hidden_act": "gelu"}]
SHAPES += [{"subsampling_conv_stride": 3, "subsampling_conv_kernel_size": 3}, {"conv_kernel_size": 1}]


def attended(qkv: Tensor, turn: tuple[Tensor, Tensor], heads: int) -> Tensor:
    """By torch, in the dtype of `qkv`."""
    query, key, value = qkv[None].unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    query, key = rotated(query, turn), rotated(key, turn)
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    return (scores.softmax(-1) @ value)[0].transpose(0, 1).flatten(1)


def attention(steps: int, heads: int, channels: int, seed: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Queries, keys and values whose scores are far apart, and positions."""
    random = torch.Generator().manual_seed(seed)
    angles = 100 * torch.rand(steps, channels // 2, generator=random)
    return 2 * torch.randn(steps, 3 * heads * channels, generator=random), (angles.cos(), angles.sin())


class Layer:
    """A gated convolution by torch, in any dtype."""

    def __init__(self, width: int, kernel: int, bias: bool, seed: int) -> None:
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width, bias=bias).requires_grad_(False)
        self.norm = nn.BatchNorm1d(width).eval().requires_grad_(False)
        random = torch.Generator().manual_seed(seed)
        for tensor in (*self.depthwise.parameters(), *self.norm.parameters(), self.norm.running_mean):
            assert tensor is not None
            tensor.normal_(generator=random)
        assert self.norm.running_var is not None
        self.norm.running_var.uniform_(0.3, 3, generator=random)
        self.padding = (kernel - 1) // 2, kernel // 2
        self.random = random

    def truth(self, x: Tensor) -> Tensor:
        wide = F.pad(F.glu(x.double())[None].transpose(1, 2), self.padding)
        return F.silu(self.norm.double()(self.depthwise.double()(wide)))[0].T


@by_level
@settings(max_examples=25, deadline=None)
@given(steps=st.integers(1, 210), heads=st.integers(1, 5), half=st.integers(1, 40), seed=st.integers(0, 2**20))
def test_attention_is_as_near_to_float64_as_torch(
    kernels: Library, steps: int, heads: int, half: int, seed: int
) -> None:
    qkv, turn = attention(steps, heads, 2 * half, seed)
    truth = attended(qkv.double(), (turn[0].double(), turn[1].double()), heads)
    found, plain = NativeConformer(kernels).attend(qkv, turn, heads), attended(qkv, turn, heads)
    off, floor = ((each - truth).pow(2).mean().sqrt().item() for each in (found, plain))
    assert off <= 1.5 * floor + 2.0**-24 * truth.pow(2).mean().sqrt().item()


@by_level
@settings(max_examples=25, deadline=None)
@given(
    steps=st.integers(1, 140),
    width=st.integers(1, 70),
    kernel=st.integers(1, 40),
    bias=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_gated_convolutions_are_those_of_torch(
    kernels: Library, steps: int, width: int, kernel: int, bias: bool, seed: int
) -> None:
    layer = Layer(width, kernel, bias, seed)
    x = 3 * torch.randn(steps, 2 * width, generator=layer.random)
    found = NativeConformer(kernels).convolution(layer.depthwise, layer.norm, layer.padding[0])(x)
    truth = layer.truth(x)
    torch.testing.assert_close(found.double(), truth, atol=1e-5 * max(1.0, truth.abs().max().item()), rtol=0)


@settings(max_examples=15, deadline=None)
@given(steps=st.integers(1, 130), heads=st.integers(1, 3), half=st.integers(1, 20), seed=st.integers(0, 2**20))
def test_levels_threads_and_what_was_before_change_no_bit(steps: int, heads: int, half: int, seed: int) -> None:
    """Each level has memory of its own, in which another clip lay before."""
    qkv, turn = attention(steps, heads, 2 * half, seed)
    layer = Layer(heads * half, 1 + seed % 9, bool(seed % 2), seed)
    wide = torch.randn(steps, 2 * heads * half, generator=layer.random)
    found = []
    for kernels in LEVELS:
        native = NativeConformer(kernels)
        convolve = native.convolution(layer.depthwise, layer.norm, layer.padding[0])
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append((native.attend(qkv, turn, heads), convolve(wide)))
            native.attend(torch.full((150, 3 * heads * half * 2), torch.nan), attention(150, 1, 2 * half, 0)[1], heads)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@by_level
def test_what_is_no_number_stays_none(kernels: Library) -> None:
    """A step whose key is none is heard by every step; a gate or a value that is none reaches its kernel's steps."""
    native = NativeConformer(kernels)
    qkv, turn = attention(70, 2, 8, 0)
    qkv[66, 16:24] = torch.nan  # the first head's key
    found = native.attend(qkv, turn, 2)
    assert found[:, :8].isnan().all()
    assert not found[:, 8:].isnan().any()
    layer = Layer(20, 3, True, 0)
    x = torch.randn(30, 40, generator=layer.random)
    x[9, 3], x[20, 20 + 5] = torch.nan, torch.nan
    there = native.convolution(layer.depthwise, layer.norm, 1)(x).isnan().nonzero().tolist()
    assert there == [[8, 3], [9, 3], [10, 3], [19, 5], [20, 5], [21, 5]]


def test_two_recordings_at_once() -> None:
    """By one network from several threads, each with memory of its own."""
    native = NativeConformer(LEVELS[0])
    works = [attention(steps, 3, 16, steps) for steps in (90, 400)]
    alone = [native.attend(*work, 3) for work in works]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda at: native.attend(*works[at % 2], 3), range(200)))
    assert all(torch.equal(result, alone[at % 2]) for at, result in enumerate(found))


@pytest.fixture
def packed(tmp_path: Path) -> Medasr:
    """A network whose products are packed, as on a CPU."""
    random_lasr(7).save_pretrained(tmp_path)
    model = load_medasr(tmp_path, torch.float32, CPU)
    pack(model)
    return model


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # transformers'
@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_a_network_by_the_kernels_is_that_of_transformers(tmp_path: Path, number: int) -> None:
    """As it is heard on a CPU: products packed, clips alone."""
    theirs = random_lasr(number, **SHAPES[number])
    theirs.save_pretrained(tmp_path)
    ours = load_medasr(tmp_path, torch.float32, CPU)
    pack(ours)
    frames = 2 * torch.randn(1, 431, 128, generator=torch.Generator().manual_seed(number))
    wanted, plain = theirs(frames).logits, ours(frames)
    torch.testing.assert_close(plain, wanted, atol=CLOSE, rtol=0)
    for kernels in LEVELS:
        ours.use(kernels)
        torch.testing.assert_close(ours(frames), wanted, atol=CLOSE, rtol=0)
        assert not torch.equal(ours(frames), plain)  # they were used


def test_more_clips_than_one_go_the_plain_way(packed: Medasr) -> None:
    """And those with a mask."""
    frames = torch.randn(2, 90, 128, generator=torch.Generator().manual_seed(3))
    steps = torch.tensor([packed.config.steps(60), packed.config.steps(90)])
    plain = packed(frames, steps), packed(frames[:1], steps[:1])
    packed.use(LEVELS[0])
    for found, wanted in zip((packed(frames, steps), packed(frames[:1], steps[:1])), plain, strict=True):
        assert torch.equal(found, wanted)


def test_a_listener_takes_them_for_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are some."""
    random_lasr_folder(tmp_path, 5)

    def natives(dtype: torch.dtype) -> list[bool]:
        model = load_medasr(tmp_path, dtype, CPU)
        Listener(model, MedasrTokenizer.from_folder(tmp_path, 0))
        layers = list(model.encoder.layers)
        return [part.native is not None for layer in layers for part in (layer.attention, layer.convolution)]

    assert all(natives(torch.float32))
    assert not any(natives(torch.bfloat16))
    monkeypatch.setattr(library, "find", lambda: None)
    assert not any(natives(torch.float32))
