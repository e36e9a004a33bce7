"""What a container lets a process have: processors and memory, from Linux's control groups, both versions.

https://docs.kernel.org/admin-guide/cgroup-v2.html and .../cgroup-v1. `root` is the root of the file system.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from literatim.device.host import read

_ROOT = Path("/")
_NO_LIMIT = 1 << 60  # version 1 writes a huge number where there is no limit


def processors(root: Path = _ROOT) -> float | None:
    """How many processors' time the tightest group of this process may use; None without a quota."""
    quotas = []
    for folder in _folders(root, ""):
        words = read(folder / "cpu.max").split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
            quotas.append(int(words[0]) / int(words[1]))
    for folder in _folders(root, "cpu"):
        quota, period = read(folder / "cpu.cfs_quota_us").strip(), read(folder / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory(root: Path = _ROOT) -> int | None:
    """Bytes that the tightest group of this process may use; None without a limit."""
    files = [folder / "memory.max" for folder in _folders(root, "")]
    files += [folder / "memory.limit_in_bytes" for folder in _folders(root, "memory")]
    sizes = [int(text) for text in (read(file).strip() for file in files) if text.isdigit()]
    return min((size for size in sizes if size < _NO_LIMIT), default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those above it; `controller` is "" for version 2."""
    for line in read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller not in controllers.split(",") or (not controller and number != "0"):
            continue
        for mount in (root / "sys/fs/cgroup" / controller, root / "sys/fs/cgroup" / controllers):
            # Inside a container the path may be the host's, which is not mounted here: the mount's root then counts.
            group = mount / path.lstrip("/")
            while group != mount:
                yield group
                group = group.parent
            yield mount
