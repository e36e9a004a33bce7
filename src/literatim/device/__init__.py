"""Where tensors live: the only package that calls a backend (cuda, npu, mps, xpu) by name."""

from __future__ import annotations

from literatim.device.backend import KINDS
from literatim.device.choose import dtype_of, pick, several
from literatim.device.count import available
from literatim.device.describe import ENVIRONMENT, dtypes, multiplies_int8, name_of, packs_linear, threads, versions
from literatim.device.graphs import graphs, record, wants_graphs
from literatim.device.memory import Memory, host_memory, memory, reset_host_peak, reset_peak
from literatim.device.precision import precision, precision_flags
from literatim.device.shapes import bucket
from literatim.device.start import import_torch
from literatim.device.strict import forbid_fallbacks
from literatim.device.timing import Stopwatch, synchronize
from literatim.device.why import DeviceWarning, remarks, why_not

__all__ = [
    "ENVIRONMENT",
    "KINDS",
    "DeviceWarning",
    "Memory",
    "Stopwatch",
    "available",
    "bucket",
    "dtype_of",
    "dtypes",
    "forbid_fallbacks",
    "graphs",
    "host_memory",
    "import_torch",
    "memory",
    "multiplies_int8",
    "name_of",
    "packs_linear",
    "pick",
    "precision",
    "precision_flags",
    "record",
    "remarks",
    "reset_host_peak",
    "reset_peak",
    "several",
    "synchronize",
    "threads",
    "versions",
    "wants_graphs",
    "why_not",
]
