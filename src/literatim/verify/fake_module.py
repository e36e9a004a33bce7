"""The module `torch.npu` of the fake device: the part of torch_npu's names that a device layer needs.

Its defaults are those under which a device layer has work to do: kernels compiled just in time and private formats, as
on the Atlas training and inference series, and convolutions in HF32, as on all of them
(https://www.hiascend.com/document, "torch_npu.npu.set_compile_mode", "conv.allow_hf32").
"""

from __future__ import annotations

import time
import types
from typing import Any

import torch

from literatim.verify.fake_memory import KIND, LEDGER

TOTAL = 32 << 30  # bytes; nothing is refused when they are used up


class Flags:
    """Switches that are attributes, as `torch.npu.conv.allow_hf32`."""

    def __init__(self, **values: bool) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> bool:
        raise AttributeError(f"the fake npu has no switch {name}")


class Event:
    """A moment of the host's clock: the fake device does its work at once."""

    def __init__(self, enable_timing: bool = False, **_others: bool) -> None:
        self._timed, self._at = enable_timing, 0.0

    def record(self, _stream: Any = None) -> None:
        """Take the time."""
        self._at = time.perf_counter()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to a later one."""
        if not (self._timed and end_event._timed):
            raise RuntimeError("both events must be made with enable_timing=True")
        return 1e3 * (end_event._at - self._at)

    def query(self) -> bool:
        """Always done."""
        return True

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def wait(self, _stream: Any = None) -> None:
        """Nothing to wait for."""


class Stream:
    """A queue that is always empty."""

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.device, self.priority = device, priority

    def query(self) -> bool:
        """Always done."""
        return True

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def wait_event(self, _event: Event) -> None:
        """Nothing to wait for."""

    def wait_stream(self, _stream: Stream) -> None:
        """Nothing to wait for."""

    def record_event(self, event: Event | None = None) -> Event:
        """The event, recorded."""
        event = event or Event()
        event.record()
        return event


class FakeNpu(types.ModuleType):
    """`torch.npu`. Functions take a device, a number, a name or nothing, as those of torch_npu."""

    def __init__(self) -> None:
        super().__init__(f"torch.{KIND}")
        self.conv, self.matmul = Flags(allow_hf32=True), Flags(allow_hf32=False)
        self.config = Flags(allow_internal_format=True)
        self.Event, self.Stream = Event, Stream
        self._devices, self._current, self._jit_compile, self._name = 2, 0, True, "Fake NPU"

    def set_up(self, devices: int, name: str) -> None:
        """How many devices there seem to be, and what each is called."""
        self._devices, self._name = devices, name

    def index(self, device: Any = None) -> int:
        """The number of a device; RuntimeError where there is none of it."""
        given = torch.device(device) if isinstance(device, str) else device
        number = given.index if isinstance(given, torch.device) else given
        number = self._current if number is None else int(number)
        if not 0 <= number < self._devices:
            raise RuntimeError(f"Invalid device ID {number}: {self._devices} fake devices are there")
        return number

    def is_available(self) -> bool:
        """Whether there is a device."""
        return self._devices > 0

    def is_initialized(self) -> bool:
        """Always."""
        return True

    def init(self) -> None:
        """Nothing to do."""

    def _is_in_bad_fork(self) -> bool:
        return False

    def device_count(self) -> int:
        """How many there seem to be."""
        return self._devices

    def current_device(self) -> int:
        """The number that `set_device` chose."""
        return self._current

    def set_device(self, device: Any) -> None:
        """Choose the device that `npu` without a number means in this module's functions."""
        self._current = self.index(device)

    def synchronize(self, device: Any = None) -> None:
        """Nothing to wait for; refuses a device that is not there."""
        self.index(device)

    def current_stream(self, device: Any = None) -> Stream:
        """The one queue."""
        return Stream(self.index(device))

    default_stream = current_stream

    def get_device_name(self, device: Any = None) -> str:
        """What the device is called."""
        self.index(device)
        return self._name

    def get_device_properties(self, device: Any = None) -> types.SimpleNamespace:
        """Name and memory."""
        return types.SimpleNamespace(name=self.get_device_name(device), total_memory=TOTAL)

    def memory_allocated(self, device: Any = None) -> int:
        """Bytes of the tensors alive."""
        return LEDGER.live[self.index(device)]

    def max_memory_allocated(self, device: Any = None) -> int:
        """Their peak since the start or the last reset."""
        return LEDGER.peak[self.index(device)]

    memory_reserved, max_memory_reserved = memory_allocated, max_memory_allocated  # there is no allocator between

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        """The peak begins anew."""
        LEDGER.reset_peak(self.index(device))

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """Bytes free and in all."""
        return TOTAL - self.memory_allocated(device), TOTAL

    def empty_cache(self) -> None:
        """There is no cache."""

    def manual_seed(self, seed: int) -> None:
        """Random numbers are the CPU's."""
        torch.default_generator.manual_seed(seed)

    manual_seed_all = manual_seed

    def set_compile_mode(self, jit_compile: bool = False) -> None:
        """Remembered; there is nothing to compile."""
        self._jit_compile = jit_compile

    def is_jit_compile_false(self) -> bool:
        """Whether `set_compile_mode(jit_compile=False)` was called."""
        return not self._jit_compile

    def is_bf16_supported(self) -> bool:
        """As on Atlas A2 and A3."""
        return True

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        """As on Atlas A2 and A3."""
        return [torch.float16, torch.bfloat16]


NPU = FakeNpu()
