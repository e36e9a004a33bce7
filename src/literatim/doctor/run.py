"""All looks in order: what is asked of whom, and which answer makes another question unnecessary."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from literatim.device.backend import KINDS
from literatim.doctor import backends, cuda, machine, models, notices, npu, packages, voices, work
from literatim.doctor.child import Answer, Look, ask, ask_each
from literatim.doctor.findings import FAIL, INFO, Finding

_NO_TORCH = "not looked at, since torch cannot be imported"


@dataclass(frozen=True)
class Plan:
    """What to look at. `device` is one (`cuda`, `npu:1`), None for every kind; `say` is told what is under way."""

    device: str | None = None
    quick: bool = False  # without products of matrices and speech
    network: bool = False  # ask the hub
    look: Look = field(default_factory=Look)
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    say: Callable[[str], None] = lambda _what: None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds to look at; the CPU is always one, since texts are compared with its."""
        if self.device is None:
            return KINDS
        kind = self.device.partition(":")[0]
        return tuple(dict.fromkeys(("cpu", kind)))


class _Notes:
    """The findings so far."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.findings: list[Finding] = []
        self._say = say

    def add(self, section: str, what: str, look: Callable[[], Iterable[Finding]]) -> None:
        """Do one look. An error of this package in it is a finding as well: the rest of the page still counts."""
        self._say(what)
        try:
            self.findings.extend(look())
        except Exception as error:  # the page must come, whatever this machine is like
            text = f"doctor itself failed at it: {type(error).__name__}: {error}"
            self.findings.append(Finding(section, what, FAIL, text, "please report this"))


def collect(plan: Plan) -> list[Finding]:
    """Every finding, in the order of the page. Never raises for what it finds."""
    notes = _Notes(plan.say)
    plan.say("torch")
    torch = ask("torch", look=plan.look)
    look = plan.look
    first = torch
    notes.add("python", "packages", lambda: packages.findings(backends.torch_itself(first), plan.look))
    if backends.breaks_torch(torch):
        look = look.with_variables(TORCH_DEVICE_BACKEND_AUTOLOAD="0")
        torch = ask("torch", look=look)
    said = torch.result
    notes.add("machine", "machine", lambda: machine.findings(said, plan.variables))
    notes.add("models", "models", lambda: models.findings(look, plan.variables, plan.network))
    if said is None:
        notes.add("devices", "devices", lambda: _without_torch(plan))
    else:
        _devices(plan, look, torch, notes)
    notes.add("warnings", "warnings", lambda: notices.findings(look.heard))
    return _sorted(notes.findings)


def _without_torch(plan: Plan) -> list[Finding]:
    """What shows of the devices from outside."""
    found = [Finding("cpu", "devices", INFO, _NO_TORCH)] if plan.device in (None, "cpu") else []
    if "cuda" in plan.kinds:
        found += cuda.findings(cuda.driver(), None, plan.variables)
    if "npu" in plan.kinds:
        found += npu.findings(npu.driver(), None, plan.variables)
    asked = plan.device is not None and plan.kinds[-1] != "cpu"
    return [*found, Finding(plan.kinds[-1], "devices", FAIL, _NO_TORCH, "mend torch")] if asked else found


def _devices(plan: Plan, look: Look, torch: Answer, notes: _Notes) -> None:
    plan.say("devices")
    answers = ask_each("devices", plan.kinds, look)
    for kind in plan.kinds:
        notes.add(kind, kind, lambda kind=kind: _kind(kind, answers[kind], torch, plan))  # type: ignore[misc]
    if plan.quick:
        return
    plan.say("speech on cpu")
    references = {bundled: work.reference(bundled, look) for bundled in work.BUNDLED}
    vectors = voices.reference(look)
    names = [plan.device or kind for kind in plan.kinds if kind != "cpu" and backends.here(answers[kind])]
    if plan.device in (None, "cpu"):
        notes.add("cpu", "matmul", lambda: [work.matmul("cpu", look)])
        notes.add("cpu", "speech", lambda: [work.on_cpu(*item) for item in references.items()])
        notes.add("cpu", "voices", lambda: [voices.on_cpu(vectors)])
    for name in names:
        kind = name.partition(":")[0]
        notes.add(kind, f"matmul on {name}", lambda name=name: [work.matmul(name, look)])  # type: ignore[misc]
        notes.add(
            kind,
            f"speech on {name}",
            lambda name=name: [work.on_device(which, name, cpu, look) for which, cpu in references.items()],  # type: ignore[misc]
        )
        notes.add(kind, f"voices on {name}", lambda name=name: [voices.on_device(name, vectors, look)])  # type: ignore[misc]


def _kind(kind: str, answer: Answer, torch: Answer, plan: Plan) -> list[Finding]:
    """All of one kind but its work: driver, versions, variables, devices."""
    asked = plan.device is not None and kind == plan.kinds[-1]
    if kind == "cuda":
        ran = cuda.driver()
        outside = cuda.findings(ran, torch.result, plan.variables)
        wanted = asked or cuda.present(ran)
    elif kind == "npu":
        driver = npu.driver()
        cann = ((answer.result or {}).get("versions") or {}).get("toolkit")
        outside = npu.findings(driver, cann, plan.variables)
        wanted = asked or npu.expected(driver)
    else:
        outside, wanted = [], asked
    if kind == "cpu" and plan.device not in (None, "cpu"):
        return []
    told = {finding.text for finding in outside}
    return [*outside, *(one for one in backends.findings(kind, answer, wanted) if one.text not in told)]


def _sorted(found: list[Finding]) -> list[Finding]:
    """By section, in the order in which sections first came, absent devices after all others but the warnings."""
    order = list(dict.fromkeys(finding.section for finding in found))
    last = {backends.ABSENT: 1, notices.SECTION: 2}
    order.sort(key=lambda section: last.get(section, 0))
    return sorted(found, key=lambda finding: order.index(finding.section))
