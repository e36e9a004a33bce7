"""Inside a child: a second of matrix products, and a few seconds of speech turned into text."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from literatim.doctor.probe import causes

if TYPE_CHECKING:
    import torch

SECONDS_IN_ALL = 1.0  # of timed products, shared by the dtypes
SPEECH_SECONDS = 8.0  # of the first bundled recording
SAMPLING_RATE = 16_000
SIZES = (128, 256, 512, 1024, 2048, 4096, 8192)
PRODUCTS = 4  # the size is raised while at least as many products of the next one fit in a dtype's share
GROWTH = 8  # twice the size is eight times the work
MOST_PRODUCTS = 1000  # queued at once on a device that multiplies faster than it is asked to


def matmul(name: str) -> dict[str, Any]:
    """Operations per second of square products by dtype: rough, one size, nothing else asked of the device."""
    from literatim import device as known

    device = known.pick(name)
    names = known.dtypes(device)
    rates: dict[str, float] = {}
    errors: dict[str, list[str]] = {}
    for dtype in names:
        try:
            rates[dtype] = _rate(device, dtype, SECONDS_IN_ALL / len(names))
        except Exception as error:  # a dtype that does not multiply here is a finding, the others still count
            errors[dtype] = causes(error)
    return {"rates": rates, "errors": errors}


def _rate(device: torch.device, dtype: str, share: float) -> float:
    """Floating-point operations per second, at the largest size of which several products fit in `share` s."""
    import torch

    for size in SIZES:
        square = torch.rand(size, size).to(device, getattr(torch, dtype))  # (size, size)
        _seconds(square, 1)  # the first product of a shape chooses or compiles a kernel
        once = _seconds(square, 1)
        if once * GROWTH * PRODUCTS > share:
            break
    times = max(1, min(MOST_PRODUCTS, int(share / once)))
    return 2.0 * size**3 * times / _seconds(square, times)


def _seconds(square: torch.Tensor, times: int) -> float:
    """How long so many products of a matrix with itself take on its device."""
    from literatim import device as known

    known.synchronize(square.device)
    began = time.perf_counter()
    for _ in range(times):
        square @ square
    known.synchronize(square.device)
    return time.perf_counter() - began


def speech(name: str, model: str, kind: str, *dtypes: str) -> dict[str, Any]:
    """A bundled model's text of the start of the first bundled recording of a kind on a device, once for each dtype.

    `load` and `seconds` are times in s; the first transcription includes whatever a device compiles first.
    """
    from literatim import demo
    from literatim.audio.decode import decode

    recordings = demo.recordings(kind)
    if not recordings:
        raise FileNotFoundError(f"none of the bundled {kind} is in this installation; reinstall literatim")
    samples = decode(recordings[0]).samples[0][: int(SPEECH_SECONDS * SAMPLING_RATE)]
    found = {"recording": recordings[0].name, "audio_seconds": len(samples) / SAMPLING_RATE}
    return {**found, "runs": {dtype: _run(model, name, dtype, samples) for dtype in dtypes}}


def _run(bundled: str, name: str, dtype: str, samples: Any) -> dict[str, Any]:
    import literatim

    began = time.perf_counter()
    model = literatim.load(bundled, device=name, dtype=dtype)
    loaded = time.perf_counter()
    text = model.transcribe(samples, sampling_rate=SAMPLING_RATE).text
    done = time.perf_counter()
    ran_in = str(model.dtype).removeprefix("torch.")
    return {"dtype": ran_in, "load": loaded - began, "seconds": done - loaded, "text": text}


def voices(name: str, model: str, *dtypes: str) -> dict[str, Any]:
    """A bundled network's vectors of two stretches of one speaker and of one of another, once for each dtype."""
    from literatim import demo
    from literatim.audio.decode import decode

    recording = demo.recording_path("meeting")
    samples = decode(recording).samples[0]
    told = json.loads(recording.with_suffix(".json").read_text("utf-8"))["segments"]
    spans: dict[str, list[tuple[float, float]]] = {}
    for item in told:
        spans.setdefault(item["speaker"], []).append((item["start"], item["end"]))
    one, other = (sorted(found, key=lambda span: span[0] - span[1]) for found in list(spans.values())[:2])
    sounds = [samples[round(a * SAMPLING_RATE) : round(b * SAMPLING_RATE)] for a, b in (*one[:2], other[0])]
    seconds = sum(map(len, sounds)) / SAMPLING_RATE
    runs = {dtype: _vectors(model, name, dtype, sounds) for dtype in dtypes}
    return {"recording": recording.name, "audio_seconds": seconds, "runs": runs}


def _vectors(bundled: str, name: str, dtype: str, sounds: list[Any]) -> dict[str, Any]:
    import literatim

    began = time.perf_counter()
    model = literatim.load_speaker(bundled, device=name, dtype=dtype)
    loaded = time.perf_counter()
    found = [model.embed(sound, sampling_rate=SAMPLING_RATE).normalised.tolist() for sound in sounds]
    done = time.perf_counter()
    ran_in = str(model.dtype).removeprefix("torch.")
    return {"dtype": ran_in, "load": loaded - began, "seconds": done - loaded, "vectors": found}
