"""Several devices: every recording comes back once, whatever happens to the processes that work on them.

Threads stand in for the processes, with the same messages through the same pipes; the last test has real ones.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from literatim import device as devices
from literatim import fleet, hub
from literatim.api import Outcome, load
from literatim.errors import AudioFormatError, DeviceError, ModelNotFound, OptionError
from literatim.fleet import Fleet, worker
from literatim.fleet.share import Share
from literatim.fleet.worker import Place, Worker, serve
from literatim.options import HubOptions
from literatim.types import Transcript
from whisper_builders import random_whisper_folder


class Death(BaseException):
    """What ends a thread as SIGKILL ends a process."""


class Recognizer:
    """Says where it ran; some recordings are bad, some kill."""

    warnings: tuple[str, ...] = ()

    def __init__(self, device: str, begun: Callable[[], object]) -> None:
        self._device, self._begun = device, begun

    def transcribe_many(
        self,
        audios: Iterable[Any],
        *,
        progress_callback: Callable[[float], None],
        batch_size: int = 1,
        strategy: str = "auto",
    ) -> Iterator[Outcome]:
        if batch_size < 1:
            raise OptionError("batch_size is 0")
        waiting, active = enumerate(audios), []
        done = 0
        while True:
            while len(active) < batch_size and (item := next(waiting, None)) is not None:
                active.append(item)
                if not done:
                    self._begun()
            if not active:
                return
            if any(audio == "kills" for _, audio in active):
                raise Death
            if any(audio == "crashes" for _, audio in active):
                raise RuntimeError("out of memory")
            index, audio = active.pop(0)
            done += 1
            if audio == "bad":
                yield Outcome(index, None, AudioFormatError("not audio"))
            else:
                yield Outcome(index, Transcript(f"{audio} on {self._device}", "en", 1.0, 1.0, ()))
            progress_callback(done)


class Thread:
    """The part of a process's face that is used."""

    exitcode = -9

    def __init__(self, target: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=target, daemon=True)
        self._thread.start()
        self.killed = False

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def kill(self) -> None:
        self.killed = True  # its pipe is closed, which ends it


class Threads:
    """`start` with threads; `loads` says what each load, counted from 0, comes to."""

    def __init__(self) -> None:
        self.started: list[Worker] = []
        self.loads: Callable[[int, Place], None] = lambda number, place: None
        self.begun: Callable[[], object] = lambda: None

    def __call__(self, place: Place) -> Worker:
        number = len(self.started)
        ours, theirs = Pipe()

        def make() -> Any:
            self.loads(number, place)
            return Recognizer(place.device, self.begun)

        def life() -> None:
            try:
                serve(theirs, make)
            except Death:
                pass
            finally:
                theirs.close()

        self.started.append(Worker(place, ours, Thread(life)))
        return self.started[-1]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    """Two devices, with threads for processes."""
    made = Threads()
    monkeypatch.setattr(fleet, "start", made)
    monkeypatch.setattr(fleet, "DEATHS", 5)
    monkeypatch.setattr(hub, "resolve", lambda name, where: Path(name))
    found = (torch.device("cuda", 0), torch.device("cuda", 1))
    monkeypatch.setattr(devices, "several", lambda name, indices: found[: len(str(indices).split(","))])
    return made


def run(audios: list[Any], **options: Any) -> tuple[dict[int, Outcome], Fleet]:
    """Outcomes by index, each once."""
    with Fleet("model", device="cuda", device_index="0,1") as many:
        outcomes = list(many.transcribe_many(audios, **options))
    assert sorted(outcome.index for outcome in outcomes) == list(range(len(audios)))
    return {outcome.index: outcome for outcome in outcomes}, many


def said(outcome: Outcome) -> str:
    return outcome.transcript.text.split(" on ")[0] if outcome.transcript else f"{outcome.error}"


def test_every_recording_comes_back_and_each_device_works(threads: Threads) -> None:
    both = threading.Barrier(2, timeout=60)
    first = threading.local()

    def begun() -> None:
        if not hasattr(first, "met"):
            first.met = True
            both.wait()  # neither goes on before the other has a recording as well

    threads.begun = begun
    audios = [f"a{number}" for number in range(9)]
    found, _ = run(audios, batch_size=2)
    assert [said(found[at]) for at in range(9)] == audios
    assert {str(found[at].transcript and found[at].transcript.text).split(" on ")[1] for at in range(9)} == {
        "cuda:0",
        "cuda:1",
    }


def test_nothing_to_do(threads: Threads) -> None:
    assert run([])[0] == {}


def test_a_bad_file_is_an_outcome(threads: Threads) -> None:
    found, _ = run(["a", "bad", "b"])
    assert [said(found[at]) for at in range(3)] == ["a", "not audio", "b"]
    assert isinstance(found[1].error, AudioFormatError)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("kills", r"its process ended \(signal 9, perhaps for want of memory\) on cuda:\d, twice, at this recording"),
        ("crashes", r"RuntimeError: out of memory on cuda:\d, twice, at this recording"),
    ],
)
def test_a_process_that_dies_costs_the_recording_at_fault_and_no_other(
    kind: str, reason: str, threads: Threads
) -> None:
    audios = ["a", "b", kind, "c", "d", "e", kind, "f"]
    found, many = run(audios, batch_size=4)
    fine = [at for at, audio in enumerate(audios) if audio != kind]
    assert [said(found[at]) for at in fine] == [audios[at] for at in fine]
    for at in (2, 6):
        assert isinstance(found[at].error, DeviceError)
        with pytest.raises(DeviceError, match=reason):
            raise found[at].error
    assert many.warnings == ()


def test_all_processes_have_ended_afterwards(threads: Threads) -> None:
    run(["a", "kills", "b"])
    for one in threads.started:
        one.process.join(60)
        assert not one.process.is_alive()


def test_a_model_that_does_not_load_is_its_error(threads: Threads) -> None:
    def loads(number: int, place: Place) -> None:
        if number == 1:
            raise ModelNotFound("no such model")

    threads.loads = loads
    with pytest.raises(ModelNotFound, match="no such model"):
        Fleet("model", device="cuda", device_index="0,1")
    assert len(threads.started) == 2
    for one in threads.started:
        one.process.join(60)
        assert not one.process.is_alive()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Death(), r"cuda:0 cannot be used: its process ended while it loaded"),
        (RuntimeError("why"), "RuntimeError: why"),
    ],
)
def test_a_process_that_dies_while_it_loads(error: BaseException, said: str, threads: Threads) -> None:
    def loads(number: int, place: Place) -> None:
        raise error

    threads.loads = loads
    with pytest.raises(DeviceError, match=said):
        Fleet("model", device="cuda", device_index="0,1")


def test_options_are_refused_as_by_one_recognizer(threads: Threads) -> None:
    with Fleet("model", device="cuda", device_index="0,1") as many:
        with pytest.raises(OptionError, match="batch_size is 0"):
            list(many.transcribe_many(["a"], batch_size=0))
        assert [said(outcome) for outcome in many.transcribe_many(["a"])] == ["a"]  # and it works again


def test_the_model_is_found_once(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def resolve(name: str, where: HubOptions) -> Path:
        asked.append((name, where.hub))
        return Path("found")

    monkeypatch.setattr(hub, "resolve", resolve)
    with Fleet("tiny", device="cuda", device_index="0,1", hub="modelscope", dtype="float32"):
        pass
    assert asked == [("tiny", "modelscope")]
    numbers = {"dtype": "float32", "precision": "default", "num_assistant_tokens": None, "assistant": "none"}
    assert [one.place for one in threads.started] == [Place("found", f"cuda:{at}", numbers, 2) for at in (0, 1)]


def test_voices_are_told_apart_by_what_goes_with_the_models_name(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes know the model by its folder alone."""
    seen: list[dict[str, Any]] = []
    real = fleet._Run

    def watched(workers: Any, share: Any, options: dict[str, Any]) -> Any:
        seen.append(options)
        return real(workers, share, {})

    monkeypatch.delenv("LITERATIM_SPEAKER_MODEL", raising=False)
    monkeypatch.setattr(fleet, "_Run", watched)
    with Fleet("demo", device="cuda", device_index="0,1") as many:
        for options in ({"diarize": True}, {"diarize": True, "speaker_model": "mine"}, {}):
            list(many.transcribe_many(["a"], **options))
    assert [one.get("speaker_model") for one in seen] == ["demo-speaker", "mine", None]


@pytest.mark.parametrize("options", [{"devic": "cuda"}, {"precision": "low"}, {"hub": "nowhere"}])
def test_options_of_loading_are_checked_before_any_process_starts(options: dict[str, str], threads: Threads) -> None:
    with pytest.raises(OptionError):
        Fleet("model", **options)
    assert threads.started == []


def test_what_cannot_be_sent(threads: Threads, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (tmp_path / "file").open("rb") as file:
        found, _ = run(["a", "-", file, (item for item in ()), "b"])
    assert [said(found[at]) for at in (0, 4)] == ["a", "b"]
    assert "standard input cannot be shared" in said(found[1])
    assert "give its path or its bytes" in said(found[2])
    assert isinstance(found[3].error, OptionError)


def test_a_device_that_cannot_come_back_is_given_up(threads: Threads) -> None:
    def loads(number: int, place: Place) -> None:
        if number > 1:
            raise RuntimeError("device lost")

    threads.loads = loads
    found, many = run(["kills", *"abcdefgh"])
    # the first death makes a suspect; the other device tries it once more, and dies of it as well
    assert {said(found[at]) for at in range(1, 9)} <= {*"abcdefgh", many.warnings[-1]}
    assert found[0].transcript is None
    assert sorted(many.warnings) == [f"device cuda:{n} was given up: RuntimeError: device lost" for n in (0, 1)]


def test_the_other_device_goes_on(threads: Threads) -> None:
    def loads(number: int, place: Place) -> None:
        if number > 1 and place.device == "cuda:0":
            raise RuntimeError("device lost")

    threads.loads = loads
    found, _ = run(["kills", "a", "b", "c"])
    assert [said(found[at]) for at in range(1, 4)] == ["a", "b", "c"]


def test_a_device_on_which_everything_dies_is_given_up(threads: Threads) -> None:
    found, many = run(["kills"] * 30)
    assert all(isinstance(found[at].error, DeviceError) for at in range(30))
    assert len(threads.started) <= 2 * 5  # DEATHS for each device
    assert len(many.warnings) == 2


def test_deaths_count_only_while_nothing_is_finished_between_them(threads: Threads) -> None:
    with Fleet("model", device="cuda", device_index="0") as many:
        found = {outcome.index: outcome for outcome in many.transcribe_many(["a", "kills"] * 6)}
    assert [said(found[at]) for at in range(0, 12, 2)] == ["a"] * 6
    assert len(threads.started) > 2 * 5  # more deaths than DEATHS, and the device is still there
    assert many.warnings == ()


def test_progress_comes_to_the_number_of_recordings(threads: Threads) -> None:
    told: list[float] = []
    run(["a", "bad", "kills", "b", "-"], progress_callback=told.append, batch_size=2)
    assert told[-1] == 5
    assert min(told) >= 0
    assert max(told) == 5


def test_leaving_early_ends_what_is_under_way(threads: Threads) -> None:
    with Fleet("model", device="cuda", device_index="0,1") as many:
        outcomes = many.transcribe_many(["a", "b", "c", "d"])
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]
        assert [said(outcome) for outcome in many.transcribe_many(["e"])] == ["e"]
    assert len(threads.started) == 4  # two, and two again


def test_processes_are_kept_between_calls(threads: Threads) -> None:
    with Fleet("model", device="cuda", device_index="0,1") as many:
        for audio in "abc":
            assert [said(outcome) for outcome in many.transcribe_many([audio])] == [audio]
    assert len(threads.started) == 2


def test_an_iterator_is_not_read_ahead_of_the_work(threads: Threads) -> None:
    read: list[int] = []

    def audios() -> Iterator[str]:
        for number in range(1000):
            read.append(number)
            yield "a"

    with Fleet("model", device="cuda", device_index="0,1") as many:
        outcomes = many.transcribe_many(audios())
        next(outcomes)
        assert len(read) < 20
        outcomes.close()  # type: ignore[attr-defined]


def test_a_recognizer_is_on_one_device(threads: Threads) -> None:
    with pytest.raises(OptionError, match=r"several are a literatim\.Fleet"):
        load("demo", device="cuda", device_index="0,1")


def test_a_suspect_is_given_out_alone() -> None:
    share = Share("abcd")
    held = dict(item for _ in range(2) if (item := share.give(())) is not None)
    assert held == {0: "a", 1: "b"}
    assert share.lost(held) == []
    assert share.give([9]) == (2, "c")  # a process at work on others gets no suspect
    assert share.give(()) == (0, "a")
    assert share.give([0]) is None  # and one at work on a suspect gets nothing
    assert share.lost({0: "a"}) == [0]
    assert share.give(()) == (1, "b")
    assert share.give(()) == (3, "d")
    assert not share.waiting
    assert share.give(()) is None


class Killer:
    """Ends the process that unpacks it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


def test_real_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two on the CPU, one of which is killed: the texts are those of one recognizer in this process."""
    folder = random_whisper_folder(tmp_path / "model", 3)
    monkeypatch.setattr(devices, "several", lambda *_: (torch.device("cpu"), torch.device("cpu")))
    random = np.random.default_rng(1)
    audios = [random.uniform(-0.3, 0.3, 16_000).astype(np.float32) for _ in range(3)]
    options: dict[str, Any] = {"language": "en", "no_speech_threshold": None, "temperature": 0.0, "max_new_tokens": 8}
    options |= {"batch_size": 2}
    options["strategy"] = "sequential"
    with Fleet(folder, device="cuda", device_index="0,1", dtype="float32") as many:
        found = {outcome.index: outcome for outcome in many.transcribe_many([*audios, Killer()], **options)}
    assert "exit code 3" in str(found[3].error)
    monkeypatch.undo()
    recognizer = load(folder, device="cpu", dtype="float32")
    for index, audio in enumerate(audios):
        transcript = found[index].transcript
        assert transcript is not None
        assert transcript.text == recognizer.transcribe(audio, **options).text
        assert transcript.text


def test_threads_are_shared_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(10), raising=False)
    monkeypatch.setattr(worker, "serve", lambda connection, make: None)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    worker._main(None, Place("model", "npu:0", {}, 4))  # type: ignore[arg-type]
    assert os.environ.pop("OMP_NUM_THREADS") == "2"
