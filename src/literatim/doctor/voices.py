"""Voices on a device: whether its vectors of speakers are the CPU's, and tell two speakers apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from literatim.doctor import work
from literatim.doctor.child import Answer, Look, ask
from literatim.doctor.findings import FAIL, OK, WARN, Finding

WHAT, MODEL = "voices", "demo-speaker"
SAME, SHORT = 0.9999, 0.999  # cosines to the CPU's vectors at least: in float32, and in the device's own dtype


def reference(look: Look) -> Answer:
    """The CPU's vectors, from a process that loads no accelerator's package."""
    return ask(WHAT, "cpu", MODEL, work.SAME, look=look.with_variables(**work.WITHOUT_PLUGINS))


def on_cpu(answer: Answer) -> Finding:
    """A voice must be nearer to itself than to another one."""
    if answer.result is None:
        return Finding("cpu", WHAT, FAIL, f"{MODEL} does not run: {answer.trouble}", _mend("cpu"))
    run = answer.result["runs"][work.SAME]
    one, again, other = run["vectors"]
    same, different = cosine(one, again), cosine(one, other)
    text = f"{_took(answer.result, run)}: cosine {same:.2f} of one voice, {different:.2f} of two"
    if not same > different:
        return Finding("cpu", WHAT, FAIL, f"{MODEL} takes two voices for each other: {text}", _mend("cpu"))
    return Finding("cpu", WHAT, OK, text)


def on_device(device: str, cpu: Answer, look: Look) -> Finding:
    """The same on a device: in float32 the vectors must be the CPU's; in its own dtype it is only told."""
    kind = device.partition(":")[0]
    answer = ask(WHAT, device, MODEL, work.SAME, "auto", look=look)
    if answer.result is None:
        mend = work.WAIT if answer.late else _mend(device)
        return Finding(kind, WHAT, FAIL, f"{MODEL} does not run: {answer.trouble}", mend)
    run, own = answer.result["runs"][work.SAME], answer.result["runs"]["auto"]
    took = f"{_took(answer.result, run)} in {work.SAME} and {own['seconds']:.1f} s in {own['dtype']}"
    if cpu.result is None:
        return Finding(kind, WHAT, WARN, f"{took}; the CPU gave no vectors to compare with", f"see {WHAT} of the CPU")
    wanted = cpu.result["runs"][work.SAME]["vectors"]
    near, nearly = _nearness(run["vectors"], wanted), _nearness(own["vectors"], wanted)
    if not near >= SAME:
        text = f"the vectors are not the CPU's in float32: cosine {near:.5f}, wanted {SAME}"
        return Finding(kind, WHAT, FAIL, text, work.WRONG)
    if not nearly >= SHORT:
        text = f"{took}; the vectors are the CPU's in float32, and in {own['dtype']} at cosine {nearly:.4f}"
        return Finding(kind, WHAT, WARN, text, "`--dtype float32` where scores count")
    return Finding(kind, WHAT, OK, f"{took}; cosine to the CPU's {near:.6f} and {nearly:.6f}")


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Of two vectors of unit length; NaN where a number is none."""
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def _nearness(found: Sequence[Sequence[float]], wanted: Sequence[Sequence[float]]) -> float:
    """The least cosine of any vector to its own; NaN where one is."""
    cosines = [cosine(*pair) for pair in zip(found, wanted, strict=True)]
    return math.nan if any(map(math.isnan, cosines)) else min(cosines)


def _mend(device: str) -> str:
    return f"`literatim compare --model {MODEL} --device {device} ONE OTHER` shows the whole error"


def _took(said: dict[str, Any], run: dict[str, Any]) -> str:
    return f"{said['audio_seconds']:.0f} s of {said['recording']} in {run['seconds']:.1f} s"
