"""Programs without speculation, each in its own process, beside ours in `bench spec`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from literatim.bench.protocol import Refused, Worker
from literatim.bench.runners.base import Runner, Setting
from literatim.bench.spec_ways import Group, Run
from literatim.bench.windows import Windows

Launch = Callable[[str, int], Worker]


@dataclass(frozen=True)
class Place:
    """What all of them share; `folder` is the model's."""

    folder: Path
    scratch: Path
    device: str
    threads: int
    timeout: float
    launch: Launch

    def request(self, do: str, kind: type[Runner], dtype: str, setting: Setting) -> dict[str, Any]:
        """A request to prepare or load."""
        return {
            "do": do,
            "runner": f"{kind.__module__}:{kind.__name__}",
            "dtype": dtype,
            "setting": setting.name,
            "folder": str(self.folder),
            "scratch": str(self.scratch),
            "device": self.device,
            "threads": self.threads,
            "precision": "default",
        }

    def loaded(self, kind: type[Runner], dtype: str, setting: Setting) -> tuple[Worker, dict[str, Any]]:
        """Convert in another process where that is needed, then a process with the runner in it, and what it says.

        Raises Refused.
        """
        if kind.converts:
            helper = self.launch(kind.name, self.threads)
            try:
                helper.ask(self.request("prepare", kind, dtype, setting), self.timeout)
            finally:
                helper.close()
        worker = self.launch(kind.name, self.threads)
        try:
            return worker, worker.ask(self.request("load", kind, dtype, setting), self.timeout)
        except Refused:
            worker.close()
            raise


@dataclass
class Peer:
    """A runner of `bench speed` at its best setting. `windows` gives a batch's sound."""

    kind: type[Runner]
    dtype: str
    place: Place
    windows: Callable[[int], Windows]
    drafted: bool = False
    _worker: Worker | None = None
    _loaded: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The runner's."""
        return self.kind.name

    @property
    def package(self) -> str:
        """Its distribution."""
        return self.kind.package

    @property
    def version(self) -> str | None:
        """Of the package, in its own environment."""
        return self._loaded.get("version")

    @property
    def most_rows(self) -> int | None:
        """That it decodes together."""
        return self.kind.most_rows

    @property
    def setting(self) -> Setting:
        """Its best one for this dtype."""
        return next(s for s in self.kind.settings if "best" in s.roles and self.dtype in (s.dtypes or (self.dtype,)))

    @property
    def what(self) -> str:
        """For the tables."""
        return self.setting.what

    def begin(self, groups: Sequence[Group]) -> list[Run]:
        """Load, the first time, and decode the batch once, without a clock. Raises Refused."""
        (group,) = groups
        if self._worker is None:
            self._load()
        file = self.place.scratch / f"windows-{len(group)}.npz"
        self.windows(len(group)).save(file)
        found = self._ask({"do": "batch", "windows": str(file), "rows": len(group), "tokens": group.most})
        return [Run(0.0, found["first_run_seconds"], found["ids"])]

    def run(self, index: int) -> Run:  # noqa: ARG002
        """By its own clock."""
        found = self._ask({"do": "turn"})
        return Run(found["encoder"], found["total"] - found["encoder"], [])

    def close(self) -> None:
        """End its process."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _load(self) -> None:
        self._worker, self._loaded = self.place.loaded(self.kind, self.dtype, self.setting)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._worker is None:
            raise Refused("failed", "its process was ended")
        return self._worker.ask(request, self.place.timeout)
