"""Time on a device: measured by its own events where it has them, else by waiting for it before and after."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from literatim.device.backend import REFUSALS, ask, module_of

if TYPE_CHECKING:
    import torch


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given; nothing on the CPU."""
    if device.type == "cpu":
        return
    module = module_of(device.type)
    assert module is not None
    if device.type == "mps":  # one device, and its function takes none
        module.synchronize()
    else:
        module.synchronize(device)


class Stopwatch:
    """Seconds between `start` and `stop`: of the work given to `device` in between, all of it done.

    Events count from when the device begins, so that the queue before `start` is not measured; on the host's clock
    `start` waits for that queue first.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._events = _events(device)
        self._began: float | None = None

    @property
    def uses_events(self) -> bool:
        """Whether the device's own clock is read."""
        return self._events is not None

    def start(self) -> None:
        """Begin, or begin again."""
        if self._events is None:
            synchronize(self._device)
            self._began = time.perf_counter()
        else:
            self._events[0].record(ask(self._device.type, "current_stream", self._device))
            self._began = 0.0

    def stop(self) -> float:
        """Wait for the device; the seconds since `start`."""
        if self._began is None:
            raise RuntimeError("the stopwatch was not started; call start() before stop()")
        began, self._began = self._began, None
        if self._events is None:
            synchronize(self._device)
            return time.perf_counter() - began
        first, last = self._events
        last.record(ask(self._device.type, "current_stream", self._device))
        last.synchronize()
        return float(first.elapsed_time(last)) / 1000  # elapsed_time is in milliseconds


def _events(device: torch.device) -> tuple[Any, Any] | None:
    """Two events that keep time; None for the CPU and where a backend has no streams to record them in."""
    if device.type == "cpu" or ask(device.type, "current_stream", device) is None:
        return None
    module = module_of(device.type)
    assert module is not None
    try:
        return module.Event(enable_timing=True), module.Event(enable_timing=True)
    except REFUSALS:
        return None
