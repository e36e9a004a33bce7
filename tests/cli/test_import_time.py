"""`import literatim` and `literatim --help` are light: nothing heavy is imported, and little time is used."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "av", "soxr", "huggingface_hub", "tokenizers", "safetensors", "transformers", "rich"}
HELP = "import sys; sys.argv = ['literatim', '--help']; from literatim.cli.main import main; main()"
MODULES = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
MOST_SECONDS = 0.3


def _child(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)


def _cpu_seconds(code: str) -> float:
    """User and system time of the quickest of three runs: a busy machine can only add to it."""
    used = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _child(code)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(used)


@pytest.mark.parametrize(
    "code", ["import literatim", "import literatim.cli.main", "from literatim import Transcript, errors", HELP]
)
def test_nothing_heavy_is_imported(code: str) -> None:
    modules = set(_child(MODULES + code).stderr.split())
    assert "literatim" in modules
    assert modules & HEAVY == set()


def test_torch_is_imported_when_it_is_needed() -> None:
    """The check above would see it."""
    modules = set(_child(MODULES + "import literatim; literatim.load").stderr.split())
    assert "torch" in modules


def test_help_lists_the_commands() -> None:
    shown = _child(HELP).stdout
    assert "Usage: literatim" in shown
    assert "transcribe" in shown


def test_help_is_quick() -> None:
    assert _cpu_seconds(HELP) - _cpu_seconds("pass") < MOST_SECONDS
