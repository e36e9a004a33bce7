"""What torch runs on: the processor, the cores a process may use, memory as Linux lists it, installed packages."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_ROOT = Path("/")
# Of a processor's many features, those that decide how fast it multiplies.
_FEATURES = (
    *("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve"),
)


@dataclass(frozen=True)
class Processor:
    """`name` as the system gives it; `model` tells generations of one name apart, `flags` is all that it can do.

    Only Linux tells the last two: they are None and empty elsewhere.
    """

    name: str
    model: str | None
    flags: frozenset[str]

    @property
    def features(self) -> list[str]:
        """Those of its flags that decide how fast it multiplies."""
        return [name for name in _FEATURES if name in self.flags]


def processor(root: Path = _ROOT) -> Processor:
    """The first one of the machine's list; `root` is the root of the file system."""
    first = read(root / "proc/cpuinfo").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    found = {name.strip(): value.strip() for name, _, value in pairs}
    numbers = {"family": found.get("cpu family"), "model": found.get("model"), "stepping": found.get("stepping")}
    return Processor(
        name=found.get("model name") or platform.processor() or platform.machine(),
        model=", ".join(f"{name} {value}" for name, value in numbers.items() if value) or None,
        flags=frozenset(found.get("flags", found.get("Features", "")).split()),
    )


def usable() -> int | None:
    """Cores this process may run on, where the system tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return None if affinity is None else len(affinity(0))


def version(distribution: str) -> str | None:
    """The installed version of a distribution, None where absent; nothing is imported, since it may not load."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def sizes(listing: Path) -> dict[str, int]:
    """Bytes by name from lines such as `VmRSS:   1234 kB`; empty where there is no such file."""
    fields = (line.split() for line in read(listing).splitlines())
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in fields if len(line) == 3 and line[2] == "kB"}


def read(file: Path) -> str:
    """A small file of the kernel, or nothing where it is not, or not for us."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
