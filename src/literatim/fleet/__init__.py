"""Several devices of one host for many recordings: one process each. What `--device_index 0,1` stands on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from multiprocessing.connection import wait
from pathlib import Path
from pickle import PicklingError
from typing import TYPE_CHECKING, Any

from literatim import device as devices
from literatim import hub
from literatim.declare import build
from literatim.errors import DeviceError, LiteratimError, OptionError
from literatim.fleet.share import Share
from literatim.fleet.worker import Place, Worker, start
from literatim.models.folder import read_json
from literatim.options import HubOptions, LoadOptions
from literatim.pipeline.strategy import are_several, settled

if TYPE_CHECKING:
    from literatim.api import Outcome

DEATHS = 5  # of a device's processes in a row, no recording finished between them: then the device is given up
_UNSENDABLE = (PicklingError, TypeError, AttributeError, ValueError)  # what pickle raises, e.g. for an open file


class Fleet:
    """A model on several devices, each in a process of its own; use it in a `with` block, or call `close`.

        if __name__ == "__main__":
            with literatim.Fleet("openai/whisper-small", device="npu", device_index="0,1") as fleet:
                for outcome in fleet.transcribe_many(paths): ...

    The guard is needed in a script: the processes import it again.
    """

    def __init__(self, name_or_path: str | Path | None = None, **options: Any) -> None:
        """Arguments as for `literatim.load`. Raises what it raises, from whichever process comes to it first."""
        hub_names = {item.name for item in fields(HubOptions)}
        where = build(HubOptions, {name: value for name, value in options.items() if name in hub_names})
        how = build(LoadOptions, {name: value for name, value in options.items() if name not in hub_names})
        self.devices = devices.several(how.device, how.device_index)
        self.warnings = devices.remarks(self.devices[0], how.device)
        self.name = name = str(name_or_path) if name_or_path is not None else hub.default_model()
        folder = str(hub.resolve(name, where))  # here, and once: the processes would all download it
        numbers: dict[str, Any] = {"dtype": how.dtype, "precision": how.precision}
        numbers["num_assistant_tokens"] = how.num_assistant_tokens
        found = hub.find_assistant(how.assistant, name, where)
        numbers["assistant"] = "none" if found is None else str(found[1])
        self.model_type = read_json(Path(folder) / "config.json").get("model_type", "whisper")
        self._places = [Place(folder, str(device), numbers, len(self.devices)) for device in self.devices]
        self._workers: list[Worker] = []
        self._start()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; the next `transcribe_many` starts new ones."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.end()

    def transcribe_many(
        self, audios: Iterable[Any], *, progress_callback: Callable[[float], None] | None = None, **options: Any
    ) -> Iterator[Outcome]:
        """As `Recognizer.transcribe_many`: outcomes as they finish, `Outcome.index` is the place in the input.

        A process that dies costs the recording that killed it and no other. A device whose processes cannot live is
        given up and named in `warnings`; what is left when none lives comes back as an Outcome with a DeviceError.
        Standard input and open files are refused: pass their bytes.
        """
        if (
            options.get("diarize") and options.get("speaker_model") is None
        ):  # the processes know the model by its folder
            options["speaker_model"] = hub.speaker_model_beside(self.name)
        self._start()
        run = _Run(self._workers, Share(audios), settled(options, are_several(audios), self.model_type))
        whole = False
        try:
            for outcomes in run.steps():
                yield from outcomes
                if progress_callback is not None:
                    progress_callback(run.done)
            whole = True
        finally:
            self.warnings += tuple(run.warnings)
            if not whole or len(self._workers) < len(self._places):
                self.close()  # what is under way is nobody's any more

    def _start(self) -> None:
        """All processes, loading at once, until every one is ready."""
        if self._workers:
            return
        self._workers = [start(place) for place in self._places]
        try:
            for worker in self._workers:
                _await_ready(worker)
        except LiteratimError:
            self.close()
            raise


def _await_ready(worker: Worker) -> None:
    try:
        word, *rest = worker.connection.recv()
    except (EOFError, ConnectionError) as error:
        why = f"its process ended while it loaded the model ({worker.epitaph()})"
        raise DeviceError(f"device {worker.place.device} cannot be used: {why}") from error
    if word == "ready":
        worker.ready = True
    elif word == "refused":
        raise rest[0]
    else:
        raise DeviceError(f"device {worker.place.device} cannot be used: {rest[0]}")


class _Run:
    """One `transcribe_many`: messages in, outcomes out."""

    def __init__(self, workers: list[Worker], share: Share, options: dict[str, Any]) -> None:
        self._workers, self._share, self._options = workers, share, options
        self._deaths: dict[str, int] = {}
        self._ended = 0
        self.warnings: list[str] = []

    @property
    def done(self) -> float:
        """Recordings done, those under way counted in part."""
        return self._ended + sum(worker.part for worker in self._workers)

    def steps(self) -> Iterator[list[Outcome]]:
        """The outcomes that each message brought, often none."""
        self._wake()
        while self._workers and (self._share.waiting or not all(worker.resting for worker in self._workers)):
            for connection in wait([worker.connection for worker in self._workers]):
                worker = next(worker for worker in self._workers if worker.connection is connection)
                outcomes = self._hear(worker)
                self._ended += len(outcomes)
                yield outcomes
            self._wake()
        # the recordings of devices that were given up, where no other is left
        lost = [_failed(key, DeviceError(self.warnings[-1])) for key in self._share.rest()]
        self._ended += len(lost)
        yield lost

    def _wake(self) -> None:
        """Begin a round wherever one is possible."""
        for worker in self._workers:
            if worker.ready and worker.resting and self._share.waiting:
                worker.resting = False
                worker.tell(self._options)

    def _hear(self, worker: Worker) -> list[Outcome]:
        from literatim.api import Outcome

        try:
            word, *rest = worker.connection.recv()
        except (EOFError, ConnectionError):
            return self._bury(worker, f"its process ended ({worker.epitaph()})")
        if word == "wants":
            return self._give(worker)
        if word == "outcome":
            worker.held.pop(rest[0])
            worker.part = max(0.0, worker.part - 1)
            self._deaths.pop(worker.place.device, None)
            return [Outcome(*rest)]
        if word == "crashed" or (word == "refused" and not worker.ready):
            return self._bury(worker, str(rest[0]))
        if word == "refused":
            raise rest[0]
        if word == "part":
            worker.part = rest[0]
        else:
            worker.ready, worker.resting, worker.part = True, True, 0.0  # "ready" or "rests"
        return []

    def _give(self, worker: Worker) -> list[Outcome]:
        """Answer a process that has room; returns those recordings that cannot be sent to one."""
        refused: list[Outcome] = []
        while (item := self._share.give(worker.held)) is not None:
            key, audio = item
            error = _send(worker, key, audio)
            if error is None:
                worker.held[key] = audio
                return refused
            refused.append(_failed(key, error))
        worker.tell(None)
        return refused

    def _bury(self, worker: Worker, why: str) -> list[Outcome]:
        """A process is gone: another takes its place, unless there is nothing left or too many have died there."""
        device, loading = worker.place.device, not worker.ready
        self._workers.remove(worker)
        worker.end()
        failed = self._share.lost(worker.held)
        self._deaths[device] = self._deaths.get(device, 0) + 1
        if loading or self._deaths[device] >= DEATHS:
            self.warnings.append(f"device {device} was given up: {why}")
        elif self._share.waiting:
            self._workers.append(start(worker.place))
        return [_failed(key, DeviceError(f"{why} on {device}, twice, at this recording")) for key in failed]


def _send(worker: Worker, key: int, audio: Any) -> OptionError | None:
    if isinstance(audio, str) and audio == "-":
        return OptionError("standard input cannot be shared with other processes; give one device, or a file")
    try:
        worker.tell((key, audio))
    except _UNSENDABLE as error:
        return OptionError(f"this audio cannot be sent to another process ({error}); give its path or its bytes")
    return None


def _failed(key: int, error: LiteratimError) -> Outcome:
    from literatim.api import Outcome

    return Outcome(key, None, error)
