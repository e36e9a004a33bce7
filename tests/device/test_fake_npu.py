"""The fake npu itself: it computes what the CPU does, refuses what it is told to, and can be made wrong."""

from __future__ import annotations

import gc
import importlib.util
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from literatim.errors import DependencyError
from literatim.verify import fake_npu, faults
from literatim.verify.fake_npu import OPS, SCALAR_TO_HOST, TO_DEVICE, TO_HOST, Call, calls

NPU = torch.device("npu", 0)
MODULE: Any = torch.get_device_module("npu")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _cached(x: Tensor) -> Tensor:
    """Rows of a cache written at places of their own, and a block of it read."""
    cache = x.new_zeros(2, 3, 6, 4)
    at = torch.tensor([[1, 2], [3, 4]], device=x.device)
    cache[torch.arange(2, device=x.device)[:, None], :, at] = x[:2, :2, :3].transpose(1, 2).transpose(1, 2)
    return cache[:, :, :5]


def _masked(x: Tensor) -> Tensor:
    ids = torch.arange(4, dtype=torch.int32, device=x.device)
    x[:, :, 0].fill_(0.5)
    return x.masked_fill_(ids < 2, -math.inf).logsumexp(-1)


def _attention(x: Tensor) -> Tensor:
    seen = torch.ones(3, 3, dtype=torch.bool, device=x.device).tril()
    return F.scaled_dot_product_attention(x, x, x, attn_mask=seen, scale=1.0)


OPERATIONS: dict[str, Callable[[Tensor], Any]] = {
    "linear": lambda x: F.linear(x, x[0, 0]),
    "matmul": lambda x: x @ x.transpose(-1, -2),
    "conv1d": lambda x: F.conv1d(x[0], x[0, :, :, :3], stride=2, padding=1),
    "conv2d": lambda x: F.conv2d(x, x[:, :, :2, :2], padding=1),
    "layer norm": lambda x: F.layer_norm(x, (4,)),
    "gelu, silu, glu": lambda x: F.glu(F.silu(F.gelu(x))),
    "attention": _attention,
    "cache": _cached,
    "in place": _masked,
    "embedding": lambda x: F.embedding(torch.tensor([[1, 0]], dtype=torch.int32, device=x.device), x[0, 0]),
    "choice": lambda x: torch.where(x > 0, x.argmax(-1, keepdim=True).to(torch.int32), 7),
    "topk": lambda x: tuple(x.topk(2)),
    "bool index": lambda x: x[x > 0],
    "gather": lambda x: x.gather(-1, torch.zeros(2, 3, 3, 1, dtype=torch.long, device=x.device)),
    "cat and chunk": lambda x: torch.cat(x.chunk(2, -1), 1),
    "half": lambda x: (x.half() @ x.half().transpose(-1, -2)).float(),
    "stft": lambda x: torch.stft(x.flatten(), 8, return_complex=True, window=torch.ones(8, device=x.device)),
    "out=": lambda x: torch.mul(x, 2, out=x.new_empty(0)),
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_it_computes_what_the_cpu_does(name: str, inference: bool) -> None:
    with torch.inference_mode(inference):
        expected = OPERATIONS[name](random(2, 3, 3, 4))
        found = OPERATIONS[name](random(2, 3, 3, 4).to(NPU))
    pairs = zip(*((x if isinstance(x, tuple) else (x,)) for x in (found, expected)), strict=True)
    for ours, theirs in pairs:
        assert ours.device == NPU
        assert ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride()
        torch.testing.assert_close(ours.cpu(), theirs, rtol=0, atol=2e-6)


def test_modules_move_and_learn() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 1))
    network(random(5, 4)).sum().backward()
    expected = [parameter.grad for parameter in network.parameters()]
    network.zero_grad()
    network.to(NPU)(random(5, 4).to(NPU)).sum().backward()
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        assert parameter.device == NPU
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad.cpu(), gradient, rtol=0, atol=1e-5)


def test_devices_are_kept_apart() -> None:
    first, second = torch.ones(2, 2, device="npu:0"), torch.ones(2, 2, device="npu:1")
    assert (second * 2).device == torch.device("npu:1")
    with pytest.raises(RuntimeError, match=r"same device.*npu:0, npu:1"):
        first @ second
    with pytest.raises(RuntimeError, match=r"same device.*cpu, npu:1"):
        torch.ones(2, 2) @ second
    with pytest.raises(TypeError):
        second.numpy()
    with pytest.raises(RuntimeError, match="2 fake devices are there"):
        torch.ones(2, device="npu:2")
    assert second.add(torch.tensor(1.0)).cpu().tolist() == [[2, 2], [2, 2]]  # numbers may come from the CPU


def test_calls_are_counted_with_shapes_and_dtypes() -> None:
    x = torch.arange(6).to(NPU)
    assert calls(TO_DEVICE) == 1
    OPS.clear()
    y = x.view(2, 3)[1] > 4
    assert dict(OPS) == {
        Call("aten.gt", ((3,),), (torch.int64,), ((3,),)): 1
    }  # neither a view nor empty memory is work
    assert [bool(y.any()), *y.tolist()] == [True, False, False, True]
    assert (calls(SCALAR_TO_HOST), calls(TO_HOST), calls(TO_DEVICE)) == (1, 1, 0)
    F.scaled_dot_product_attention(*[random(1, 1, 2, 4).to(NPU)] * 3, attn_mask=torch.zeros(2, 2).to(NPU))
    (attention,) = (call for call in OPS if call.op == faults.ATTENTION)
    assert attention.dtypes[3] == torch.float32
    assert attention.shapes == (*[(1, 1, 2, 4)] * 3, (2, 2))


def test_a_shape_is_compiled_once() -> None:
    OPS.clear()
    for rows in (2, 2, 3, 2, 3):
        torch.ones(rows, device=NPU).exp()
    of_ones = {call for call in OPS if call.op == "aten.exp"}
    assert len(of_ones) == 2
    assert fake_npu.compiled_shapes() == len(OPS)


def test_an_unsupported_op_raises_as_torch_npu_does() -> None:
    x = torch.ones(2, 2, device=NPU)
    with (
        fake_npu.unsupported("aten.mm"),
        pytest.raises(RuntimeError, match=r"The operator 'aten::mm' .*TORCH_NPU_FALLBACK_CPU_DISABLE=1"),
    ):
        x @ x
    assert (x @ x).cpu().tolist() == [[2, 2], [2, 2]]
    with fake_npu.unsupported("aten.view"), pytest.raises(RuntimeError, match="aten::view"):
        x.view(4)


def test_memory_is_what_lives() -> None:
    gc.collect()
    before = MODULE.memory_allocated(1)
    MODULE.reset_peak_memory_stats(1)
    large = torch.zeros(1000, 256, device="npu:1")
    part = large[5:6]
    double = large * 2
    assert MODULE.memory_allocated("npu:1") - before == 2 * 1_024_000
    del large, double
    assert MODULE.memory_allocated(1) - before == 1_024_000  # the part keeps the whole
    del part
    assert MODULE.memory_allocated(1) == before
    assert MODULE.max_memory_allocated(1) - before == 2 * 1_024_000
    MODULE.reset_peak_memory_stats(1)
    assert MODULE.max_memory_allocated(1) == before
    free, total = MODULE.mem_get_info(1)
    assert total - free == before


def test_events_take_milliseconds() -> None:
    start, end = MODULE.Event(enable_timing=True), MODULE.Event(enable_timing=True)
    begun = time.perf_counter()
    start.record()
    torch.ones(64, 64, device=NPU).sum()
    end.record()
    assert 0 < start.elapsed_time(end) <= 1e3 * (time.perf_counter() - begun)
    with pytest.raises(RuntimeError, match="enable_timing"):
        MODULE.Event().elapsed_time(end)


def test_the_module_is_found_as_the_real_one_is() -> None:
    assert importlib.util.find_spec("torch_npu") is not None
    stub = importlib.import_module("torch_npu")
    assert stub.__version__ == torch.__version__.split("+")[0] + "+fake"
    assert stub.npu is MODULE
    assert MODULE.is_available()
    assert MODULE.device_count() == 2
    with pytest.raises(AttributeError, match="allow_hf23"):
        _ = MODULE.conv.allow_hf23


def test_an_old_torch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_npu, "_libraries", [])
    monkeypatch.delattr("torch.utils.backend_registration._setup_privateuseone_for_python_backend")
    with pytest.raises(DependencyError, match=r"needs torch 2\.10 or newer.*pip install"):
        fake_npu.install()


def _twice(fault: faults.Fault, operation: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The first and the second result of an operation under a fault."""
    with fake_npu.plant(fault):
        first, second = (operation(random(3, 4).to(NPU)).cpu() for _ in range(2))
    torch.testing.assert_close(operation(random(3, 4).to(NPU)).cpu(), operation(random(3, 4)))  # and gone
    return first, second


def test_a_scaled_result() -> None:
    expected = random(3, 4).exp()
    first, second = _twice(fault := faults.scaled("aten.exp", 1.5, nth=1), torch.exp)
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(second, 1.5 * expected)
    assert (fault.calls, fault.hits) == (2, 1)


def test_swapped_rows_and_no_numbers() -> None:
    expected = random(3, 4).exp()
    first, second = _twice(faults.swapped_rows("aten.exp"), torch.exp)
    assert torch.equal(first, expected[[1, 0, 2]])
    assert torch.equal(second, first)
    first, second = _twice(faults.not_a_number("aten.exp", nth=0), torch.exp)
    assert first.isnan().flatten().tolist() == [True] + [False] * 11
    torch.testing.assert_close(second, expected)


def test_a_fault_in_an_op_that_writes_into_its_argument() -> None:
    _, second = _twice(faults.scaled("aten.exp", 2.0), lambda x: x.exp_())
    torch.testing.assert_close(second, 2 * random(3, 4).exp())


def test_a_forgotten_mask() -> None:
    x = random(1, 1, 3, 4)
    seen = torch.ones(3, 3, dtype=torch.bool).tril()
    with fake_npu.plant(faults.unmasked()):
        found = F.scaled_dot_product_attention(*[x.to(NPU)] * 3, attn_mask=seen.to(NPU)).cpu()
    torch.testing.assert_close(found, F.scaled_dot_product_attention(x, x, x))


def test_hf32_keeps_ten_bits() -> None:
    bit = 2.0**-10
    values = torch.tensor([1.0, 1 + bit, 1 + bit / 2, 1 + 1.5 * bit, 1 + 0.51 * bit, -3e38, 0.0, -(1 + 2.4 * bit)])
    rounded = [1.0, 1 + bit, 1.0, 1 + 2 * bit, 1 + bit, faults.to_hf32(torch.tensor([-3e38])).item(), 0.0]
    assert faults.to_hf32(values).tolist() == [*rounded, -(1 + 2 * bit)]
    assert abs(rounded[5] / -3e38 - 1) <= bit / 2


def test_hf32_strikes_convolutions_while_it_is_allowed() -> None:
    x, weight = random(1, 4, 9), random(2, 4, 3, seed=1)
    exact = F.conv1d(x, weight)
    coarse = F.conv1d(faults.to_hf32(x), faults.to_hf32(weight))
    assert 1e-5 < float((coarse - exact).norm() / exact.norm()) < 1e-3
    with fake_npu.plant(faults.hf32()):
        torch.testing.assert_close(F.conv1d(x.to(NPU), weight.to(NPU)).cpu(), coarse)
        MODULE.conv.allow_hf32 = False
        try:
            torch.testing.assert_close(F.conv1d(x.to(NPU), weight.to(NPU)).cpu(), exact)
        finally:
            MODULE.conv.allow_hf32 = True
