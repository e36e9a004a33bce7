"""Named plans that produce a published table again, and the published figures, which are shown beside ours.

Figures of another machine, stack and input: they say what is published, and their ratio to ours says little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_ASCEND = "an Ascend port of whisper-tiny published in 2026; where, we could not confirm"
_FASTER = "https://github.com/SYSTRAN/faster-whisper#benchmark"
_FASTER_SECONDS = 13 * 60.0  # "13 minutes of audio" in its README


@dataclass(frozen=True)
class Published:
    """One row of a published table; None is what it does not say."""

    system: str
    device: str
    dtype: str
    batch: int
    source: str
    setting: str | None = None
    tokens: int | None = None
    latency_ms: float | None = None  # mean, of a batch
    samples_per_s: float | None = None
    rtfx: float | None = None
    memory_mb: float | None = None
    memory: str | None = None  # which memory that is


@dataclass(frozen=True)
class Preset:
    """Options that are used where none are given, what is published, and what to know about the comparison."""

    shape: str
    options: dict[str, Any]
    published: tuple[Published, ...]
    note: str


def _ascend(dtype: str, batch: int, latency: float, rate: float, memory: float) -> Published:
    return Published(
        system="transformers 4.57.6 with torch-npu 2.9.0.post1, CANN 8.5.1",
        device="Ascend 910B4",
        dtype=dtype,
        batch=batch,
        source=_ASCEND,
        latency_ms=latency,
        samples_per_s=rate,
        memory_mb=memory,
        memory="device",
    )


def _readme(system: str, dtype: str, batch: int, seconds: float, memory: float) -> Published:
    return Published(
        system=system,
        device="Intel Core i7-12700K, 8 threads",
        dtype=dtype,
        batch=batch,
        source=_FASTER,
        setting="beam 5",
        rtfx=_FASTER_SECONDS / seconds,
        memory_mb=memory,
        memory="host, peak",
    )


PRESETS = {
    "whisper-tiny": Preset(
        shape="tiny",
        options={"dtypes": ("float32", "float16", "bfloat16"), "batches": (1, 4), "peers": ("transformers",)},
        published=(
            _ascend("float32", 1, 105.37, 9.49, 145.4),
            _ascend("float32", 4, 108.63, 36.82, 148.2),
            _ascend("float16", 1, 107.35, 9.32, 74.0),
            _ascend("float16", 4, 109.50, 36.53, 75.4),
            _ascend("bfloat16", 1, 103.57, 9.65, 73.1),
            _ascend("bfloat16", 4, 108.73, 36.79, 74.5),
        ),
        note="The published table does not say how many tokens were decoded: its latency cannot be compared with one "
        "of so many tokens. On Ascend convolutions run in HF32 unless --precision highest is given.",
    ),
    "whisper-base": Preset(
        shape="base",
        options={"dtypes": ("float32", "bfloat16"), "batches": (1, 8)},
        published=(),
        note="No published table of this size is known to us; the plan is that of the peers' sizes.",
    ),
    "whisper-small": Preset(
        shape="small",
        options={"dtypes": ("float32", "int8"), "batches": (1, 8), "settings": "both"},
        published=(
            _readme("openai/whisper", "float32", 1, 6 * 60 + 58, 2335),
            _readme("whisper.cpp", "float32", 1, 2 * 60 + 5, 1049),
            _readme("whisper.cpp with OpenVINO", "float32", 1, 60 + 45, 1642),
            _readme("faster-whisper", "float32", 1, 2 * 60 + 37, 2257),
            _readme("faster-whisper", "float32", 8, 60 + 6, 4230),
            _readme("faster-whisper", "int8", 1, 60 + 42, 1477),
            _readme("faster-whisper", "int8", 8, 51, 3608),
        ),
        note="The published times are of whole programs on 13 minutes of speech, features and fallbacks included; "
        "ours are of single windows with a fixed number of tokens.",
    ),
}
