"""The reference, made in a process of its own that no accelerator's backend is ever loaded in.

A backend changes a process: torch_npu and transformers' branches for it give other results on the CPU as well
(transformers inverts float masks where torch_npu can be imported), and a reference that is wrong in the same way as the
device proves nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from literatim.errors import DeviceError

if TYPE_CHECKING:
    from literatim.verify.golden import Golden

BACKENDS = ("torch_npu", "torch_xla", "intel_extension_for_pytorch", "torch_musa", "torch_mlu")
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


def make(folder: Path, job: Golden, work: Path) -> Golden:
    """Run the reference of the clips in `job` for the model in `folder`; `work` is an empty folder for it.

    `job.about` has the settings: `dtype`, and `steps`, how many are recorded. DeviceError where the child fails.
    """
    from literatim.verify.golden import Golden

    job.save(work)
    command = [sys.executable, "-m", "literatim.verify.reference", str(folder), str(work)]
    done = subprocess.run(command, env=clean_environment(os.environ), capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise DeviceError(
            f"the reference could not be made on the CPU (code {done.returncode}, said last: {said[0][:300]}); "
            "where memory ran out, give fewer clips by --batch"
        )
    return Golden.load(work)


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """For a child: no backend loads itself, nothing is imported from the current folder."""
    paths = [str(_PACKAGE_ROOT), *filter(None, [variables.get("PYTHONPATH")])]
    own = {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}
    return {**variables, **own}


def forbid_backends() -> None:
    """From now on importing a backend fails in this process, and looking for one finds nothing."""
    modules: dict[str, Any] = sys.modules
    for name in BACKENDS:
        modules[name] = None


def main(folder: Path, work: Path) -> None:
    """Fill the golden folder `work`, which holds clips and settings."""
    import torch

    from literatim.verify.family import load_subject
    from literatim.verify.golden import FLOORS, Golden
    from literatim.verify.passes import Chain, Floor, Truth
    from literatim.verify.subject import CPU
    from literatim.verify.voices import FLOOR, TRUTH, VoiceSubject

    golden = Golden.load(work)
    dtype = getattr(torch, golden.about["dtype"])

    def keep(stage: str) -> bool:
        kind, _, number = stage.partition(" ")
        return kind != "step" or int(number) <= golden.about["steps"]

    truth = Truth(golden, keep)
    subject = load_subject(folder, dtype, CPU, wide=True)
    golden.said = subject.watch(truth, golden.heard, truth.at)
    if isinstance(subject, VoiceSubject):
        golden.outputs[TRUTH] = subject.vectors(golden.clips)
    del subject
    subject = load_subject(folder, dtype, CPU)
    floors = FLOORS if dtype == torch.float32 else FLOORS[:1]
    for name in floors:
        subject.watch(Floor(golden, keep, name), golden.heard)
    if isinstance(subject, VoiceSubject):
        golden.outputs[FLOOR] = subject.vectors(golden.clips)
    subject.watch(Chain(golden, keep), golden.heard, steps=golden.about["steps"])
    golden.about |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    golden.save(work)


if __name__ == "__main__":
    forbid_backends()
    main(Path(sys.argv[1]), Path(sys.argv[2]))
