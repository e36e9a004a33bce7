"""Python, the packages that literatim needs, and the optional ones with what each brings."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from importlib import metadata

from literatim.device.host import version
from literatim.doctor.child import Answer, Look, ask_each
from literatim.doctor.findings import FAIL, INFO, OK, WARN, Finding
from literatim.doctor.matrix import at_least

SECTION = "python"
OLDEST_PYTHON = (3, 10)
BRINGS = {
    "eval": "word error rates",
    "bench": "peers to measure against, and drawings",
    "diarize": "spectral clustering of voices, and diarization error rates",
    "modelscope": "models from ModelScope",
    "train": "training of the bundled models",
    "lm": "n-gram models in KenLM's binary form",
}
_TORCH = "torch"  # looked at by itself


@dataclass(frozen=True)
class Need:
    """A line of the package's requirements: a distribution, its oldest version, and the extra it belongs to."""

    name: str
    oldest: str
    extra: str | None


def findings(torch: Finding, look: Look) -> list[Finding]:
    """Python, torch (looked at by itself), each other package as a child imports it, and the extras."""
    needs = requirements()
    return [_python(), torch, *_needed([need for need in needs if need.extra is None], look), *extras(needs)]


def requirements() -> list[Need]:
    """What this installation says it needs; empty when it was not installed but only put on the path."""
    try:
        lines = metadata.requires("literatim") or []
    except metadata.PackageNotFoundError:
        return []
    return [need for need in (_need(line) for line in lines) if need is not None]


def _need(line: str) -> Need | None:
    match = re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*(?:>=\s*([\w.]+))?", line)
    if match is None:
        return None
    extra = re.search(r"""extra == ['"]([\w-]+)['"]""", line)
    return Need(match[1], match[2] or "0", extra[1] if extra else None)


def _python() -> Finding:
    text = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Finding(SECTION, "python", OK, text)
    wanted = ".".join(str(part) for part in OLDEST_PYTHON)
    return Finding(
        SECTION, "python", FAIL, f"{text} is too old", f"install Python {wanted} or newer, and literatim in it"
    )


def _needed(needs: list[Need], look: Look) -> list[Finding]:
    if not needs:
        text = "literatim is on the path but not installed: what it needs is not known"
        return [Finding(SECTION, "packages", WARN, text, "pip install literatim")]
    mine = [need for need in needs if need.name != _TORCH]
    answer = ask_each("packages", [_module(need.name) for need in mine], look)
    good: list[Finding] = []
    bad: list[Finding] = []
    for need in mine:
        finding = _one(need, answer[_module(need.name)])
        (good if finding.state == OK else bad).append(finding)
    listed = ", ".join(f"{finding.name} {finding.text}" for finding in good)
    found = [Finding(SECTION, "packages", OK, listed)] if good else []
    return [*found, *bad, *_sound(answer.get("av"))]


def _one(need: Need, answer: Answer) -> Finding:
    install = f"pip install '{need.name}>={need.oldest}'"
    found = version(need.name)
    if answer.result is None and found is None:
        return Finding(SECTION, need.name, FAIL, "is not installed", install)
    if answer.result is None:
        text = f"{found} is installed and cannot be imported: {answer.trouble}"
        return Finding(SECTION, need.name, FAIL, text, f"{install} --force-reinstall")
    found = found or answer.result.get("version") or "of unknown version"
    if found[0].isdigit() and not at_least(found, need.oldest):
        return Finding(SECTION, need.name, FAIL, f"{found} is older than {need.oldest}", f"{install} --upgrade")
    return Finding(SECTION, need.name, OK, found)


def _sound(answer: Answer | None) -> list[Finding]:
    if answer is None or answer.result is None:
        return []
    ffmpeg = answer.result.get("ffmpeg")
    return [Finding(SECTION, "ffmpeg", OK, f"{ffmpeg or 'a library'} inside PyAV; the ffmpeg program is not needed")]


def extras(needs: list[Need]) -> list[Finding]:
    """One line for the extras that are here and one for those that are not; an extra half there counts as not."""
    here, away = [], []
    for extra, brings in BRINGS.items():
        names = [need.name for need in needs if need.extra == extra]
        missing = [name for name in names if name != "literatim" and version(name) is None]
        if missing:
            away.append(f"{extra} ({brings}; lacks {', '.join(missing)})")
        elif names:
            here.append(f"{extra} ({brings})")
    found = [Finding(SECTION, "extras here", INFO, ", ".join(here))] if here else []
    if away:
        found.append(Finding(SECTION, "extras not here", INFO, ", ".join(away), "pip install 'literatim[NAME]'"))
    return found


def _module(distribution: str) -> str:
    return distribution.replace("-", "_")
