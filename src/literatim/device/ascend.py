"""Huawei Ascend: find torch_npu, say what stands in its way, and set what has to be set before the first kernel.

The package is at https://gitcode.com/ascend/pytorch. Its failures are told apart by what it raises, from an import
that CANN's absence breaks to a count of 0 for a list of visible devices that does not ascend.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

from literatim.device.host import version

VISIBLE = "ASCEND_RT_VISIBLE_DEVICES"
SET_ENVIRONMENT = "source /usr/local/Ascend/ascend-toolkit/set_env.sh"
CPU_WHEELS = "--index-url https://download.pytorch.org/whl/cpu"
_LIBRARY = re.compile(r"(lib\w+\.so[.\d]*): cannot open shared object file")
_TRANSFER = "torch_npu.contrib.transfer_to_npu"

_settings: dict[str, Any] = {}  # what `prepare` has set in this process


@dataclass(frozen=True)
class Finding:
    """How many devices can be used now, and, where none can, why and with which command it is mended."""

    devices: int
    problem: str | None = None


def installed() -> bool:
    """Whether a torch_npu package is there, working or not; it is not imported."""
    return find_spec("torch_npu") is not None


def look() -> Finding:
    """Import torch_npu where it is installed, and count its devices."""
    if not installed():
        release = _release(version("torch")) or "<the version of torch>"
        mend = f"`pip install torch=={release} {CPU_WHEELS}`, then `pip install torch-npu=={release}`"
        return Finding(0, f"torch_npu is not installed; {mend}")
    try:
        with redirect_stdout(sys.stderr):  # it prints remarks on the environment, and standard output is for results
            npu = import_module("torch_npu").npu
        found = int(npu.device_count()) if npu.is_available() else 0
    except Exception as error:  # it raises ImportError, OSError, RuntimeError and plain Exception, as `explain` knows
        return Finding(0, explain(error))
    return Finding(found) if found else Finding(0, _none_found())


def explain(error: BaseException) -> str:
    """What an error raised while torch_npu loads means, and the command that mends it."""
    said = " ".join(_chain(error))
    library = _LIBRARY.search(said)
    wrong = mismatch()
    if "Two accelerators cannot be used" in said:
        release = _release(version("torch")) or "<version>"
        cause = (
            f"torch_npu does not load beside a torch that is built for another accelerator ({version('torch')}); "
            f"`pip install --force-reinstall torch=={release} {CPU_WHEELS}`"
        )
    elif library is not None and library[1].startswith("libascend_hal"):
        cause = (
            f"the Ascend driver is missing ({library[1]} is not found); install it, or in a container mount "
            "/usr/local/Ascend/driver; `npu-smi info` shows whether it works"
        )
    elif library is not None or re.search(r"ASCEND_(HOME|RUNTIME|COMPILER)_PATH", said):
        what = f"{library[1]} is not found" if library else said
        cause = f"CANN is missing or not set up in this shell ({what}); `{SET_ENVIRONMENT}`, or install the toolkit"
    elif wrong is not None:
        return wrong
    else:
        cause = f"torch_npu does not load ({said}); `python -c 'import torch_npu'` shows all of it"
    return cause if wrong is None else f"{cause}; also, {wrong}"


def mismatch() -> str | None:
    """Whether torch_npu belongs to another torch: the first three numbers of their versions must be equal."""
    theirs, ours = version("torch_npu"), version("torch")
    if _release(theirs) is None or _release(theirs) == _release(ours):
        return None
    return (
        f"torch_npu {theirs} does not belong to torch {ours} (the first three numbers must be equal); "
        f"`pip install torch-npu=={_release(ours)}`, or `pip install torch=={_release(theirs)} {CPU_WHEELS}`"
    )


def visible_problem(value: str | None) -> str | None:
    """What is wrong with a value of ASCEND_RT_VISIBLE_DEVICES; None where nothing is.

    The runtime reads up to the first character that is neither digit nor comma, and takes a list that does not
    strictly ascend for an empty one.
    """
    if value is None:
        return None
    if not value:
        return f"{VISIBLE} is empty, which hides every device; `unset {VISIBLE}`"
    if re.fullmatch(r"\d+(,\d+)*", value) is None:
        return f"{VISIBLE}={value} is not a list of numbers with commas between them; `export {VISIBLE}=0,1`"
    numbers = [int(item) for item in value.split(",")]
    if any(after <= before for before, after in pairwise(numbers)):
        ordered = ",".join(str(number) for number in sorted(set(numbers)))
        return f"{VISIBLE}={value} does not ascend, which hides every device; `export {VISIBLE}={ordered}`"
    return None


def prepare() -> None:
    """Set, once per process, what holds for every model: no compilation just in time, no private memory formats.

    Just-in-time compilation is on by default for the older series (310P, 910A) and makes a first run last minutes;
    private formats (NZ) are on there as well and change results. Both are off on 910B and later.
    """
    if _settings:
        return
    npu = import_module("torch_npu").npu
    for name, change in (("jit_compile", _no_jit), ("allow_internal_format", _no_internal_format)):
        try:
            change(npu)
            _settings[name] = False
        except (AttributeError, RuntimeError) as error:
            _settings[name] = f"not set ({error})"


def settings() -> dict[str, Any]:
    """What `prepare` has set: a value, or `not set` with the reason; empty before it ran."""
    return dict(_settings)


def pretends() -> bool:
    """Whether transfer_to_npu has rebound torch.cuda to the NPU in this process."""
    import torch

    # it replaces the functions one by one and leaves the module's name
    owner = str(getattr(torch.cuda.is_available, "__module__", ""))
    return _TRANSFER in sys.modules or owner.startswith("torch_npu") or torch.cuda.__name__.startswith("torch_npu")


def remarks() -> tuple[str, ...]:
    """What a user of an Ascend device should know of this process."""
    found = []
    if pretends():
        found.append(
            "transfer_to_npu is active: it makes torch.cuda mean the NPU and switches torch.jit.script off for the "
            "whole process; Literatim does not need it, so leave its import (and TORCH_TRANSFER_TO_NPU) out"
        )
    found += [text for text in (mismatch(), visible_problem(os.environ.get(VISIBLE))) if text is not None]
    found += [f"Ascend option {name} is {value}" for name, value in _settings.items() if value is not False]
    return tuple(found)


def _no_jit(npu: Any) -> None:
    npu.set_compile_mode(jit_compile=False)


def _no_internal_format(npu: Any) -> None:
    npu.config.allow_internal_format = False


def _none_found() -> str:
    wrong = visible_problem(os.environ.get(VISIBLE))
    if wrong is not None:
        return wrong
    container = "--device /dev/davinci0 --device /dev/davinci_manager --device /dev/devmm_svm --device /dev/hisi_hdc"
    reason = f"torch_npu loads but finds no device; `npu-smi info` lists the driver's, a container needs `{container}`"
    also = mismatch()
    return reason if also is None else f"{reason}; also, {also}"


def _chain(error: BaseException) -> list[str]:
    """The messages of an error and of those it came from, the first cause first."""
    texts: list[str] = []
    at: BaseException | None = error
    while at is not None:
        texts.insert(0, f"{type(at).__name__}: {str(at).splitlines()[0] if str(at) else ''}")
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return texts


def _release(version: str | None) -> str | None:
    """`2.9.0` of `2.9.0.post1` and of `2.9.0+cpu`."""
    match = re.match(r"\d+\.\d+\.\d+", version or "")
    return match[0] if match else None
