"""The two things that a device is for: products of matrices, and the same text as on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from literatim.doctor.child import Answer, Look, ask
from literatim.doctor.findings import FAIL, OK, WARN, Finding

SAME = "float32"  # the dtype in which a device must give the CPU's text
WITHOUT_PLUGINS = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}  # a plugin may change what runs on the CPU, too
WAIT = (
    "`literatim doctor --timeout 1200`: a first run may compile for minutes; if it hangs then too, restart the machine"
)
WRONG = "`--device cpu` until it is mended: restart the machine, then reinstall the driver and torch"
_PRODUCTS = "rough: 1 s in all, one size each"


@dataclass(frozen=True)
class Bundled:
    """A bundled model, the kind of bundled recording that it hears, and what the page calls that."""

    what: str
    model: str
    recordings: str


BUNDLED = (Bundled("end to end", "demo", "recordings"), Bundled("dictation", "demo-medical", "dictations"))


def matmul(device: str, look: Look) -> Finding:
    """How fast a device multiplies, by dtype."""
    kind = device.partition(":")[0]
    answer = ask("matmul", device, look=look)
    if answer.result is None:
        mend = _mend(BUNDLED[0], device)
        return Finding(kind, "matmul", FAIL, f"products of matrices fail: {answer.trouble}", mend)
    rates = _rates(answer.result["rates"])
    errors = [f"{dtype} fails ({said[-1]})" for dtype, said in answer.result["errors"].items()]
    if errors:
        text = "; ".join([*([rates] if rates else []), *errors])
        return Finding(kind, "matmul", WARN, text, "choose another with `--dtype`")
    return Finding(kind, "matmul", OK, f"{rates} ({_PRODUCTS})")


def reference(bundled: Bundled, look: Look) -> Answer:
    """The text that the CPU gives, in a process that loads no accelerator's package."""
    return _ask(bundled, "cpu", SAME, look=look.with_variables(**WITHOUT_PLUGINS))


def on_cpu(bundled: Bundled, answer: Answer) -> Finding:
    """A bundled model on the CPU: there must be text."""
    what, mend = bundled.what, _mend(bundled, "cpu")
    if answer.result is None:
        return Finding("cpu", what, FAIL, f"{bundled.model} does not run: {answer.trouble}", mend)
    run = answer.result["runs"][SAME]
    text = f'{_took(answer.result, run)}: "{_shown(run["text"])}"'
    if not run["text"].strip():
        return Finding("cpu", what, FAIL, f"{bundled.model} hears nothing in its own recording", mend)
    return Finding("cpu", what, OK, text)


def on_device(bundled: Bundled, device: str, cpu: Answer, look: Look) -> Finding:
    """The same on a device: in float32 the text must be the CPU's; in its own dtype it is only told."""
    kind, what = device.partition(":")[0], bundled.what
    answer = _ask(bundled, device, SAME, "auto", look=look)
    if answer.result is None:
        mend = WAIT if answer.late else _mend(bundled, device)
        return Finding(kind, what, FAIL, f"{bundled.model} does not run: {answer.trouble}", mend)
    run, own = answer.result["runs"][SAME], answer.result["runs"]["auto"]
    took = f"{_took(answer.result, run)} in {SAME} and {own['seconds']:.1f} s in {own['dtype']}"
    if cpu.result is None:
        text = f"{took}; the CPU gave no text to compare with"
        return Finding(kind, what, WARN, text, f"see {what} of the CPU")
    expected = cpu.result["runs"][SAME]["text"]
    if run["text"] != expected:
        text = f'the text differs from the CPU\'s in float32: "{_shown(run["text"])}" for "{_shown(expected)}"'
        return Finding(kind, what, FAIL, text, WRONG)
    if own["text"] != expected:
        text = f"{took}; the text is the CPU's in float32, and another in {own['dtype']}"
        return Finding(kind, what, WARN, text, "`--dtype float32` where letters count")
    return Finding(kind, what, OK, f"{took}; both texts are the CPU's")


def _ask(bundled: Bundled, device: str, *dtypes: str, look: Look) -> Answer:
    return ask("speech", device, bundled.model, bundled.recordings, *dtypes, look=look)


def _mend(bundled: Bundled, device: str) -> str:
    return f"`literatim transcribe --model {bundled.model} --device {device} RECORDING` shows the whole error"


def _took(said: dict[str, Any], run: dict[str, Any]) -> str:
    return f"{said['audio_seconds']:g} s of {said['recording']} in {run['seconds']:.1f} s"


def _shown(text: str, most: int = 60) -> str:
    text = text.strip()
    return text if len(text) <= most else f"{text[: most - 3].rstrip()}..."


def _rates(found: Mapping[str, float]) -> str:
    unit, name = (1e12, "TFLOP/s") if max(found.values(), default=0.0) >= 1e12 else (1e9, "GFLOP/s")
    listed = ", ".join(f"{dtype} {value / unit:.3g}" for dtype, value in found.items())
    return f"{listed} {name}" if listed else ""
